/**
 * What a service takes at most: connections, requests, and how fast they may come.
 *
 * Invariant: whatever is over a limit is refused and counted, never queued without being asked to.
 */
import { z } from 'zod';
import { name, oneOrMore } from './basics.js';
import { whenSchema } from './conditions.js';
import { size } from './fields.js';
import { headerName } from './http-words.js';
import { rateFields } from './rate-fields.js';

const connectionRate = {
  ...rateFields,
  per: z
    .enum(['client-address', 'service'])
    .default('client-address')
    .describe('Whether each client has its own allowance or all share one.'),
};

export const limitKinds = ['client-address', 'service', 'host', 'path'] as const;

const requestLimit = z
  .strictObject({
    name: name()
      .optional()
      .describe('Names the limit in counters and logs. Left out: its number, from 1 on.'),
    ...rateFields,
    per: z
      .union([
        z.enum(limitKinds),
        z
          .strictObject({ header: headerName().describe('Name of the header field.') })
          .describe('Each value of a header field by itself, such as a key of an API.'),
      ])
      .default('client-address')
      .describe(
        'Who has an allowance: each client, all of the service together, each host, each path (without the query), or each value of a header field.',
      ),
    when: whenSchema
      .optional()
      .describe('Which requests count; all of it must hold. Left out: all.'),
  })
  .describe('How fast requests may come. One that comes too fast is answered with 429.');

/** One or a list; all must allow a request. */
export function requestLimits() {
  return oneOrMore(requestLimit, 64);
}

const most = () => z.int().min(1).max(1_000_000_000);

export const limitsSchema = z
  .strictObject({
    connections: most().optional().describe('Most connections or UDP flows at one time.'),
    'connections-per-client': most()
      .optional()
      .describe(
        'Most connections or UDP flows of one client at one time. What one client is, new-connections says; of a proxied service, client-prefix.',
      ),
    'new-connections': z
      .strictObject({
        ...connectionRate,
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
    requests: requestLimits()
      .optional()
      .describe(
        'How fast requests may come (http and https): one limit, or a list that all must allow.',
      ),
    'client-prefix': z
      .int()
      .min(1)
      .max(32)
      .optional()
      .describe(
        'How many bits of an IPv4 client count in limits of each client (proxied services). Left out: 32.',
      ),
    'client-prefix6': z
      .int()
      .min(1)
      .max(128)
      .optional()
      .describe(
        'How many bits of an IPv6 client count in limits of each client (proxied services). Left out: 64, one subnet.',
      ),
    'request-body': size({ min: '0B', max: '1TiB' })
      .optional()
      .describe(
        'Largest body of a request (http and https); a larger one is answered with 413. Left out: any.',
      ),
    'request-head': size({ min: '1KiB', max: '16KiB' })
      .optional()
      .describe(
        'Largest head of a request (http and https); a larger one is answered with 431. Left out: 16KiB.',
      ),
    'request-fields': z
      .int()
      .min(8)
      .max(1000)
      .optional()
      .describe(
        'Most header fields of a request (http and https); more are answered with 431. Left out: 100.',
      ),
  })
  .describe('What a service will take at most. What is over a limit is refused and counted.');

export type Limits = z.output<typeof limitsSchema>;
export type RequestLimit = NonNullable<Limits['requests']>[number];
