/**
 * Monitors: how a pool finds out which members are alive.
 *
 * Invariant: at most one probe of a member is in flight, so `timeout` may not be
 * longer than `interval`: a slow answer then never overlaps the next question, and the
 * time to notice a dead member has the simple bound (fall × interval) + timeout.
 */
import { z } from 'zod';
import { hostName, oneOrMore, payload, port } from './basics.js';
import { anyAddress, duration, textField, unicastAddress } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { formatDuration } from './units-of-measure.js';
import { quote } from './words.js';

/** First and last status code, both included. */
export type StatusRange = readonly [from: number, to: number];

export const monitorTypes = [
  'tcp',
  'http',
  'https',
  'tls',
  'icmp',
  'udp',
  'dns',
  'agent',
  'external',
] as const;
export type MonitorType = (typeof monitorTypes)[number];

const schedule = {
  interval: duration({ min: '100ms', max: '1h' })
    .prefault('2s')
    .describe('Time from one probe of a member to the next.'),
  timeout: duration({ min: '10ms', max: '1h' })
    .optional()
    .describe(
      'How long an answer may take, at most the interval. Left out: 1s, or the interval when that is shorter.',
    ),
  rise: z
    .int()
    .min(1)
    .max(100)
    .default(2)
    .describe(
      'Good probes in a row that bring a member back. The very first probe decides at once.',
    ),
  fall: z
    .int()
    .min(1)
    .max(100)
    .default(3)
    .describe(
      'Failed probes in a row that take a member out. The very first probe decides at once.',
    ),
  damping: z
    .strictObject({
      changes: z
        .int()
        .min(1)
        .max(1000)
        .default(5)
        .describe('Changes of state that are still tolerated within that time.'),
      within: duration({ min: '1s', max: '24h' })
        .prefault('1m')
        .describe('Time that the changes are counted over.'),
      hold: duration({ min: '1s', max: '24h' })
        .prefault('30s')
        .describe('How long every probe must be good before the member serves again.'),
    })
    .optional()
    .describe(
      'Holds a member down that comes and goes: after more changes than these. Left out: no change is one too many.',
    ),
};

const source = {
  source: unicastAddress()
    .optional()
    .describe(
      'Address that probes come from, one that the unit has. Left out: the kernel chooses by its routes.',
    ),
};

const probePort = {
  port: port()
    .optional()
    .describe(
      "Port to probe. Left out: the member's own, else that of the first service that uses the pool.",
    ),
};

function parseStatusRange(text: string): Parsed<StatusRange> {
  const match = /^([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?$/.exec(text);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (!match || from > to) {
    return refused(
      `${quote(text)} is no range of status codes: write 200 or 200-299, from 100 to 599`,
    );
  }
  return parsed([from, to]);
}

const statusHelp = 'a status is a number or a range from 100 to 599, such as 200 or 200-299';

const statusCode = z
  .int()
  .min(100, { error: statusHelp })
  .max(599, { error: statusHelp })
  .transform((code): StatusRange => [code, code]);

const statusRange = textField(statusHelp, parseStatusRange, {
  kind: 'status or range',
  pattern: '^[1-5][0-9]{2}(?:-[1-5][0-9]{2})?$',
  examples: ['200-299'],
});

const headerNamePattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$";

const http = {
  ...probePort,
  path: z
    .string()
    .max(2048)
    .regex(/^\/[!-~]*$/, {
      error: 'the path begins with "/" and has no spaces: write one such as /healthz',
    })
    .default('/')
    .describe('Path (and query) to ask for.'),
  method: z.enum(['GET', 'HEAD', 'OPTIONS']).default('GET').describe('Request method.'),
  host: z
    .string()
    .regex(/^[!-~]{1,255}$/, {
      error: 'write a host name, with a port if needed, such as shop.example',
    })
    .optional()
    .describe("Value of the Host header. Left out: the member's address and port."),
  expect: oneOrMore(z.union([statusCode, statusRange]), 32)
    .prefault('200-299')
    .describe('Status codes that mean alive: a code, a range, or a list of them.'),
  headers: z
    .record(
      z.string().regex(new RegExp(headerNamePattern), { error: 'is no name of a header field' }),
      z
        .string()
        .max(1024)
        .regex(/^[\t -~]*$/, { error: 'a header value is one line of ASCII text' }),
    )
    .optional()
    .describe('Header fields to send besides Host, User-Agent and Connection.'),
  body: payload().optional().describe('Text that must occur in the first 64 KiB of the body.'),
};

const secure = {
  'server-name': hostName()
    .optional()
    .describe('Name to ask for in the TLS handshake (RFC 6066 §3). Left out: none.'),
  verify: z
    .boolean()
    .default(false)
    .describe("Whether the member's certificate must be valid for the server name."),
};

export const monitorSchema = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z.literal('tcp').describe('Connect, and optionally talk.'),
        ...schedule,
        ...source,
        ...probePort,
        send: payload().optional().describe('Text to send once connected.'),
        receive: payload().optional().describe('Text that the answer must contain.'),
      })
      .describe('Alive when a TCP connection can be made.'),
    z
      .strictObject({
        type: z.literal('http').describe('Ask over HTTP/1.1.'),
        ...schedule,
        ...source,
        ...http,
      })
      .describe('Alive when an HTTP request is answered with an expected status.'),
    z
      .strictObject({
        type: z.literal('https').describe('Ask over HTTP/1.1 and TLS.'),
        ...schedule,
        ...source,
        ...http,
        ...secure,
      })
      .describe('Alive when an HTTPS request is answered with an expected status.'),
    z
      .strictObject({
        type: z.literal('tls').describe('Make a TLS handshake.'),
        ...schedule,
        ...source,
        ...probePort,
        ...secure,
      })
      .describe('Alive when a TLS handshake succeeds.'),
    z
      .strictObject({
        type: z.literal('icmp').describe('Send an echo request.'),
        ...schedule,
        ...source,
      })
      .describe('Alive when the member answers an ICMP or ICMPv6 echo request.'),
    z
      .strictObject({
        type: z.literal('udp').describe('Send a datagram.'),
        ...schedule,
        ...source,
        ...probePort,
        send: payload().optional().describe('Text to send. Left out: an empty datagram.'),
        receive: payload()
          .optional()
          .describe('Text that the answer must contain. Left out: no answer is needed.'),
      })
      .describe(
        'Alive unless the member says that the port is closed, or when it answers as told.',
      ),
    z
      .strictObject({
        type: z.literal('dns').describe('Ask a DNS question.'),
        ...schedule,
        ...source,
        ...probePort,
        name: hostName().describe('Name to ask for.'),
        record: z
          .enum(['A', 'AAAA', 'CNAME', 'MX', 'NS', 'SOA', 'TXT', 'SRV'])
          .default('A')
          .describe('Record type to ask for.'),
        transport: z.enum(['udp', 'tcp']).default('udp').describe('How the question travels.'),
        answer: anyAddress().optional().describe('Address that the answer must contain.'),
      })
      .describe('Alive when a DNS question is answered without an error.'),
    z
      .strictObject({
        type: z.literal('agent').describe('Ask an agent on the member.'),
        ...schedule,
        ...source,
        port: port().describe('Port of the agent.'),
        send: payload().optional().describe('Text to send once connected.'),
      })
      .describe(
        'An agent on the member says over TCP how it is, in one line as HAProxy reads it: up, ready, drain, maint, down, stopped, fail, a percentage of its weight; also cpu:NN%.',
      ),
    z
      .strictObject({
        type: z.literal('external').describe('Run a program.'),
        ...schedule,
        ...probePort,
        command: z
          .array(z.string().min(1).max(4096))
          .min(1)
          .max(64)
          .describe(
            'Program, by its absolute path, and its arguments. The address and port follow as the last two arguments.',
          ),
        user: z
          .string()
          .regex(/^[a-z_][a-z0-9_-]{0,31}$/, {
            error: 'write the name of a user of this unit, such as nobody',
          })
          .default('nobody')
          .describe(
            'User of this unit that the program runs as; its groups are that of the user alone.',
          ),
      })
      .describe('Alive when a program of yours exits with status 0.'),
  ])
  .superRefine((monitor, context) => {
    if (monitor.timeout !== undefined && monitor.timeout > monitor.interval) {
      context.addIssue({
        code: 'custom',
        path: ['timeout'],
        message:
          `${formatDuration(monitor.timeout)} is longer than the interval of ${formatDuration(monitor.interval)}, ` +
          `so probes would overlap: shorten the timeout or lengthen the interval`,
        params: { code: 'conflict' },
      });
    }
    if (monitor.type === 'external' && monitor.command[0]?.startsWith('/') !== true) {
      context.addIssue({
        code: 'custom',
        path: ['command', 0],
        message: 'write the absolute path of the program, such as /usr/local/bin/check-member',
        params: { code: 'value' },
      });
    }
  })
  .transform(withTimeout)
  .describe('How to find out whether a member is alive. Left out: members always count as alive.');

type Timed<M> = M extends unknown ? Omit<M, 'timeout'> & { timeout: number } : never;

function withTimeout<M extends { interval: number; timeout?: number | undefined }>(
  monitor: M,
): Timed<M> {
  return { ...monitor, timeout: monitor.timeout ?? Math.min(1_000, monitor.interval) } as Timed<M>;
}

export type MonitorSettings = z.output<typeof monitorSchema>;
