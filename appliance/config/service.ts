/**
 * Services: the addresses and ports that clients connect to, and what happens then.
 *
 * Layer-4 protocols (tcp, udp) are forwarded packet by packet; http, https and tls are
 * served by the layer-7 tier. Invariant: after parsing, a layer-4 service always has
 * `forwarding` and `pool`, and a layer-7 service never has `forwarding`.
 */
import { z } from 'zod';
import { accessSchema } from './access.js';
import { familyOf } from './addresses.js';
import { duration, size, unicastAddress } from './fields.js';
import { line, name, port } from './basics.js';
import { rateFields } from './rate-fields.js';
import { routeSchema } from './routes.js';

export const protocols = ['tcp', 'udp', 'http', 'https', 'tls'] as const;
export type Protocol = (typeof protocols)[number];

export const forwardings = ['dsr', 'tunnel', 'nat', 'full-nat'] as const;
export type Forwarding = (typeof forwardings)[number];

export const tierNames = ['nic', 'xdp', 'l7'] as const;
export type TierName = (typeof tierNames)[number];

export function isLayer4(protocol: Protocol): protocol is 'tcp' | 'udp' {
  return protocol === 'tcp' || protocol === 'udp';
}

/** What is on the wire: https and its like are TCP. */
export function transportOf(protocol: Protocol): 'tcp' | 'udp' {
  return protocol === 'udp' ? 'udp' : 'tcp';
}

export const synCookieModes = ['auto', 'always', 'off'] as const;
export type SynCookies = (typeof synCookieModes)[number];

export const listenSchema = z
  .strictObject({
    address: unicastAddress().describe('Address that clients connect to. The unit answers for it.'),
    port: port().describe('Port that clients connect to.'),
    protocol: z
      .enum(protocols)
      .describe(
        'tcp and udp are forwarded as they are; http, https and tls are served by the layer-7 tier.',
      ),
  })
  .describe('Where clients connect.');

export const persistenceTypes = ['source-address', 'cookie'] as const;
export type PersistenceType = (typeof persistenceTypes)[number];

export const persistenceSchema = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z.literal('source-address').describe("By the client's address."),
        timeout: duration({ min: '1s', max: '7d' })
          .prefault('10m')
          .describe('How long after its last flow a client is remembered.'),
        prefix: z
          .int()
          .min(1)
          .max(128)
          .optional()
          .describe(
            'How many bits of the client address count: clients of one prefix stay together. Left out: all (32 or 128).',
          ),
      })
      .describe('New flows of one client go to the member that its last flow went to.'),
    z
      .strictObject({
        type: z.literal('cookie').describe('By a cookie.'),
        name: z
          .string()
          .max(64)
          .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, {
            error: 'write a cookie name (RFC 6265 §4.1.1) of letters, digits and "-" or "_"',
          })
          .default('WEIR')
          .describe('Name of the cookie.'),
        timeout: duration({ min: '1s', max: '365d' })
          .optional()
          .describe('Lifetime of the cookie. Left out: until the browser closes.'),
      })
      .describe(
        'The first answer sets a cookie, and requests that carry it go to the same member.',
      ),
  ])
  .describe('How a client stays with its member beyond one flow.');

const rateLimit = {
  ...rateFields,
  per: z
    .enum(['client-address', 'service'])
    .default('client-address')
    .describe('Whether each client has its own allowance or all share one.'),
};

export const limitsSchema = z
  .strictObject({
    connections: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe('Most connections or UDP flows at one time.'),
    'connections-per-client': z
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe(
        'Most connections or UDP flows of one client at one time. What one client is, new-connections says.',
      ),
    'new-connections': z
      .strictObject({
        ...rateLimit,
        prefix: z
          .int()
          .min(1)
          .max(32)
          .optional()
          .describe(
            'How many bits of an IPv4 client count: clients of one prefix share an allowance. Left out: 32.',
          ),
        prefix6: z
          .int()
          .min(1)
          .max(128)
          .optional()
          .describe('How many bits of an IPv6 client count. Left out: 64, one subnet.'),
      })
      .superRefine((limit, context) => {
        for (const key of ['prefix', 'prefix6'] as const) {
          if (limit.per === 'client-address' || limit[key] === undefined) continue;
          context.addIssue({
            code: 'custom',
            path: [key],
            message: `is for per: client-address, but per is ${limit.per}: remove one of them`,
            params: { code: 'conflict' },
          });
        }
      })
      .optional()
      .describe('How fast connections or UDP flows may begin.'),
    'flood-guard': z
      .enum(['auto', 'off'])
      .default('auto')
      .describe(
        'auto: new connections are refused once they come so fast that they would push established flows out of ' +
          'the flow table, which is a tenth of its size each second; new-connections per service takes its place. ' +
          'off: no such limit (tcp and udp).',
      ),
    requests: z
      .strictObject(rateLimit)
      .optional()
      .describe('How fast requests may come (http and https).'),
    'request-body': size({ min: '0B', max: '1TiB' })
      .optional()
      .describe('Largest body of a request (http and https).'),
  })
  .describe('What a service will take at most. What is over a limit is refused and counted.');

export const encapsulations = ['ip', 'gue'] as const;

export const tunnelSchema = z
  .strictObject({
    encapsulation: z
      .enum(encapsulations)
      .default('ip')
      .describe('ip: IP in IP, of any two families. gue: IP in UDP (GUE variant 1).'),
    port: port().default(6080).describe('UDP port of GUE on the members.'),
  })
  .describe('How packets travel inside of others, with the forwarding tunnel.');

export const serviceSchema = z
  .strictObject({
    description: line(200).optional().describe('A note for people.'),
    listen: listenSchema,
    forwarding: z
      .enum(forwardings)
      .optional()
      .describe(
        'How packets reach a member (tcp and udp). nat, the default: the destination is rewritten and the unit is the ' +
          "members' gateway. dsr: only the MAC address is rewritten, the member owns the service address too and answers " +
          'the client directly. tunnel: like dsr through IP-in-IP. full-nat: source and destination are rewritten.',
      ),
    tunnel: tunnelSchema.optional(),
    mss: z
      .int()
      .min(536)
      .max(65495)
      .optional()
      .describe(
        'Largest TCP segment, in bytes, that a handshake through the unit may announce: a larger one is lowered. ' +
          'Left out: none is.',
      ),
    'syn-cookies': z
      .enum(synCookieModes)
      .optional()
      .describe(
        'Whether a flood of SYNs is answered by SYN cookies (tcp by nat or full-nat). auto, the default: while more ' +
          'handshakes are left open than the flow table can hold. always: every handshake. off: never.',
      ),
    quic: z
      .boolean()
      .optional()
      .describe(
        'Whether connection ids of QUIC name the member (udp), so that a client keeps it when its address changes.',
      ),
    pool: name()
      .optional()
      .describe(
        'Pool that serves. Needed unless there are routes; with routes it takes what no route took.',
      ),
    tier: z
      .enum(tierNames)
      .optional()
      .describe('Pins the service to one tier. Left out: the fastest that can serve it.'),
    routes: z
      .array(routeSchema)
      .min(1)
      .max(1024)
      .optional()
      .describe(
        'Where requests go (http and https; tls: by host only). The first route that fits decides.',
      ),
    certificates: z
      .array(name())
      .min(1)
      .max(1024)
      .optional()
      .describe(
        'Names of the certificates to serve (https and tls); the first is for clients that name no host. ' +
          'They are those of the certificates section or of the certificate store.',
      ),
    persistence: persistenceSchema.optional(),
    limits: limitsSchema.optional(),
    access: accessSchema.optional(),
  })
  .superRefine((service, context) => {
    const refuse = (code: string, path: (string | number)[], message: string): void => {
      context.addIssue({ code: 'custom', path, message, params: { code } });
    };
    const { protocol, address } = service.listen;
    const layer4 = isLayer4(protocol);
    const web = protocol === 'http' || protocol === 'https';

    if (layer4 && service.routes !== undefined) {
      refuse(
        'conflict',
        ['routes'],
        `routes need http, https or tls, but the protocol is ${protocol}: write "pool" instead`,
      );
    }
    if (layer4 && service.pool === undefined && service.routes === undefined) {
      refuse('missing', ['pool'], 'is missing: name the pool that serves');
    }
    if (!layer4 && service.pool === undefined && service.routes === undefined) {
      refuse('missing', ['pool'], 'is missing: name the pool that serves, or write routes');
    }
    if (!layer4 && service.forwarding !== undefined) {
      refuse(
        'conflict',
        ['forwarding'],
        `is for tcp and udp, but the protocol is ${protocol}: remove it`,
      );
    }
    if (service.tunnel !== undefined && service.forwarding !== 'tunnel') {
      refuse(
        'conflict',
        ['tunnel'],
        `is for the forwarding tunnel, but the forwarding is ${service.forwarding ?? 'nat'}: remove one of them`,
      );
    }
    if (service.mss !== undefined && protocol !== 'tcp') {
      refuse('conflict', ['mss'], `is for tcp, but the protocol is ${protocol}: remove it`);
    }
    const cookies = service['syn-cookies'];
    if (cookies !== undefined && protocol !== 'tcp') {
      refuse(
        'conflict',
        ['syn-cookies'],
        `are for tcp, but the protocol is ${protocol}: remove it`,
      );
    } else if (
      cookies !== undefined &&
      cookies !== 'off' &&
      (service.forwarding === 'dsr' || service.forwarding === 'tunnel')
    ) {
      refuse(
        'conflict',
        ['syn-cookies'],
        `need answers to pass through the unit, which they do not by ${service.forwarding}: remove it or use nat or full-nat`,
      );
    }
    if (service.quic !== undefined && protocol !== 'udp') {
      refuse('conflict', ['quic'], `is for udp, but the protocol is ${protocol}: remove it`);
    }
    if (protocol === 'https' && service.certificates === undefined) {
      refuse(
        'missing',
        ['certificates'],
        'is missing: an https service needs at least one certificate',
      );
    }
    if (protocol !== 'https' && protocol !== 'tls' && service.certificates !== undefined) {
      refuse(
        'conflict',
        ['certificates'],
        `are for https and tls, but the protocol is ${protocol}: remove them or change the protocol`,
      );
    }
    if (service.persistence?.type === 'cookie' && !web) {
      refuse(
        'conflict',
        ['persistence', 'type'],
        `cookies need http or https, but the protocol is ${protocol}: use source-address`,
      );
    }
    if (
      service.persistence?.type === 'source-address' &&
      familyOf(address) === 4 &&
      (service.persistence.prefix ?? 0) > 32
    ) {
      refuse(
        'range',
        ['persistence', 'prefix'],
        `must be at most 32, because ${address} is an IPv4 address`,
      );
    }
    if (!layer4 && service.access !== undefined) {
      refuse(
        'conflict',
        ['access'],
        `is for tcp and udp, but the protocol is ${protocol}: remove it, or use client-address in a route`,
      );
    }
    for (const key of ['requests', 'request-body'] as const) {
      if (!web && service.limits?.[key] !== undefined) {
        refuse(
          'conflict',
          ['limits', key],
          `needs http or https, but the protocol is ${protocol}: remove it`,
        );
      }
    }
    service.routes?.forEach((route, index, routes) => {
      if (route.when === undefined && index < routes.length - 1) {
        refuse(
          'conflict',
          ['routes', index],
          'takes every request, so the routes after it are never reached: move it to the end or add "when"',
        );
      }
      if (protocol === 'tls' && route.when !== undefined) {
        for (const key of Object.keys(route.when)) {
          if (key !== 'host' && key !== 'client-address') {
            refuse(
              'conflict',
              ['routes', index, 'when', key],
              'cannot be seen inside TLS: use host or client-address, or the protocol https',
            );
          }
        }
      }
    });
    if (
      !layer4 &&
      service.pool !== undefined &&
      service.routes !== undefined &&
      service.routes.at(-1)?.when === undefined
    ) {
      refuse(
        'conflict',
        ['pool'],
        'is never used, because the last route takes every request: remove one of them',
      );
    }
  })
  .transform((service) =>
    isLayer4(service.listen.protocol)
      ? { ...service, forwarding: service.forwarding ?? ('nat' as const) }
      : service,
  )
  .describe('A virtual server: an address, port and protocol that clients connect to.');

export type Listen = z.output<typeof listenSchema>;
export type Persistence = z.output<typeof persistenceSchema>;
export type Limits = z.output<typeof limitsSchema>;
export type Service = z.output<typeof serviceSchema>;
