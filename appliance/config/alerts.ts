/**
 * Alerts: who is told when something happens, and how. What happens has a kind: that of an event, or
 * the code of an alarm.
 *
 * Invariant: secrets are files, named by their absolute path; none is ever a value of the document.
 */
import { z } from 'zod';
import { parseAddress } from './addresses.js';
import { hostName, line, port } from './basics.js';
import { SEVERITIES } from './severities.js';
import { duration, refuseRepeats, textField } from './fields.js';

/** Everything that is told; `appliance/alerts/kinds.ts` holds it against what can happen. */
export const alertKinds = [
  // Alarms: told when they come and when they go.
  'member-down',
  'next-hop-unresolved',
  'pool-down',
  'pool-short',
  'weights-failed',
  'tier-degraded',
  'confirm-pending',
  'apply-failed',
  'access-list',
  'not-listening',
  'worker-failing',
  'proxy-unavailable',
  'access-log',
  'certificate-unusable',
  'table-full',
  'peer-lost',
  'pair-link-down',
  'virtual-router',
  'alert-target-failing',
  'member-flapping',
  'limit-hit',
  'disk-space',
  'clock-unsynchronised',
  'clock-difference',
  'metrics',
  // Events: told once.
  'revision',
  'confirmed',
  'rolled-back',
  'link',
  'repair',
  'worker',
  'daemon',
  'upgrade',
  'syn-cookies',
  'certificate',
  'certificate-expiring',
  'certificate-expired',
  'pair',
  'role-changed',
  'replication',
  'login',
  'user',
] as const;

/** RFC 5424 §6.2.1, by number. */
export const syslogFacilities = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron'],
  ...['authpriv', 'ftp', 'ntp', 'audit', 'alert', 'clock'],
  ...['local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'],
] as const;

const server = z
  .union([
    hostName(),
    textField('a host name or an address is text', parseAddress, {
      kind: 'address',
      examples: ['10.0.0.9'],
    }).transform(({ text }) => text),
  ])
  .describe('Host name or address of the server.');

function file(what: string) {
  return z
    .string()
    .regex(/^\/[^\0]+$/, { error: 'write the absolute path of a file' })
    .max(4096)
    .describe(what);
}

const caFile = file(
  'Certificates in PEM of the authorities that are trusted here. Left out: the public ones.',
).optional();
const ownSecret = 'A file that belongs to root and nobody else can read.';

/** A mailbox without a display name; no octet of it could end a line of a header (RFC 5322 §2.2). */
function mailbox() {
  return z
    .email({ error: 'write an e-mail address, such as ops@shop.example' })
    .max(254, { error: 'an e-mail address has at most 254 characters' });
}

const common = {
  severity: z.enum(SEVERITIES).default('warning').describe('Least severity of what is told.'),
  kinds: z
    .array(z.enum(alertKinds))
    .min(1)
    .max(alertKinds.length)
    .superRefine(refuseRepeats)
    .optional()
    .describe('What is told. Left out: everything.'),
  group: duration({ min: '0s', max: '1h' })
    .prefault('5s')
    .describe(
      'What happens to the same thing within this time of the first is told as one, with a count.',
    ),
  repeat: duration({ min: '1m', max: '30d' })
    .prefault('24h')
    .describe('How often an alarm that lasts is told again.'),
  timeout: duration({ min: '1s', max: '60s' })
    .prefault('10s')
    .describe('How long one delivery may take.'),
};

export const alertSchema = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z.literal('webhook').describe('By HTTP.'),
        url: z
          .url({ protocol: /^https?$/, error: 'write an http or https URL' })
          .max(2048)
          .refine((url) => !/^[^/]*\/\/[^/?#]*@/.test(url), {
            error: 'has a user or password in it, which everybody who reads the document sees',
          })
          .describe('Where to POST each alert as JSON. Redirects are not followed.'),
        'secret-file': file(
          `Secret of at least 16 characters that the header Weir-Signature is made with. ${ownSecret} Left out: no signature.`,
        ).optional(),
        'ca-file': caFile,
        ...common,
      })
      .describe('POSTs each alert as JSON.'),
    z
      .strictObject({
        type: z.literal('syslog').describe('By syslog.'),
        server,
        port: port().optional().describe('Left out: 514, or 6514 for tls.'),
        transport: z
          .enum(['udp', 'tcp', 'tls'])
          .default('udp')
          .describe(
            'How messages travel: udp (RFC 5426), tcp with octet counting (RFC 6587 §3.4.1) or tls (RFC 5425).',
          ),
        facility: z.enum(syslogFacilities).default('daemon').describe('Facility of the messages.'),
        'app-name': z
          .string()
          .regex(/^[!-~]{1,48}$/, { error: 'write 1 to 48 printable ASCII characters, no space' })
          .default('weir')
          .describe('APP-NAME of the messages.'),
        'ca-file': caFile,
        ...common,
      })
      .superRefine((target, context) => {
        if (target.transport === 'tls' || target['ca-file'] === undefined) return;
        context.addIssue({
          code: 'custom',
          path: ['ca-file'],
          message: `does nothing with transport ${target.transport}: remove it, or use tls`,
          params: { code: 'conflict' },
        });
      })
      .describe('Sends each alert to a syslog collector (RFC 5424).'),
    z
      .strictObject({
        type: z.literal('email').describe('By e-mail.'),
        server,
        port: port().optional().describe('Left out: 587 for starttls, 465 for tls, 25 for none.'),
        tls: z
          .enum(['starttls', 'tls', 'none'])
          .default('starttls')
          .describe(
            'starttls: nothing is sent before TLS has begun (RFC 3207); tls: from the beginning (RFC 8314); none: in the clear.',
          ),
        user: line(256).optional().describe('Name to log in with. Left out: no login.'),
        'password-file': file(`The password of user. ${ownSecret}`).optional(),
        'ca-file': caFile,
        from: mailbox().describe('Address of the sender.'),
        to: z
          .array(mailbox())
          .min(1)
          .max(50)
          .superRefine(refuseRepeats)
          .describe('Addresses of those who are told.'),
        ...common,
      })
      .superRefine((target, context) => {
        const refuse = (key: string, message: string): void => {
          context.addIssue({
            ...{ code: 'custom', path: [key], message, params: { code: 'conflict' } },
          });
        };
        if ((target.user === undefined) !== (target['password-file'] === undefined)) {
          const [there, missing] =
            target.user === undefined ? ['password-file', 'user'] : ['user', 'password-file'];
          refuse(there, `needs ${missing} beside it`);
        }
        if (target.tls !== 'none') return;
        if (target.user !== undefined) {
          refuse('user', 'would send the password in the clear: use starttls or tls');
        }
        if (target['ca-file'] !== undefined) {
          refuse('ca-file', 'does nothing with tls: none: remove it, or use starttls or tls');
        }
      })
      .describe('Sends alerts by e-mail (SMTP), those of one moment in one message.'),
  ])
  .describe('Somebody who is told when something happens.');

export type Alert = z.output<typeof alertSchema>;
export type AlertKind = (typeof alertKinds)[number];
