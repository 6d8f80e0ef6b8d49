/**
 * What the proxy does with members beyond choosing one: waiting for room, keeping connections,
 * and leaving out those that fail.
 *
 * Invariant: as elsewhere, a share is compared only when enough was seen to mean something.
 */
import { z } from 'zod';
import { duration } from './fields.js';
import { share } from './share.js';

export const queueSchema = z
  .strictObject({
    length: z.int().min(1).max(1_000_000).describe('Most requests or connections that wait.'),
    timeout: duration({ min: '10ms', max: '10m' })
      .prefault('5s')
      .describe(
        'How long one waits. Over it: 503, or the connection is closed. Of several pools that a service leads to, the longest holds for all.',
      ),
  })
  .describe(
    'What comes while every member has its max-connections waits for room (proxied services). Left out: it is refused at once.',
  );

export const keepAliveSchema = z
  .strictObject({
    connections: z
      .int()
      .min(0)
      .max(65_536)
      .default(64)
      .describe('Idle connections that each worker keeps to each member. 0: none.'),
    timeout: duration({ min: '100ms', max: '1d' })
      .prefault('30s')
      .describe('How long an idle one is kept; members should keep theirs longer.'),
    requests: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .default(10_000)
      .describe('Requests on one connection before it gives way to a new one.'),
  })
  .describe('Connections to members that are used again (http and https).');

export const ejectionSchema = z
  .strictObject({
    failures: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(5)
      .describe(
        'Failures in a row, from which a member is left out: no connection, no answer in time, or a status of 5xx.',
      ),
    share: share()
      .prefault('50%')
      .describe('Share of failures within the time, from which a member is left out.'),
    minimum: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(20)
      .describe('Requests within the time that a share is worked out from.'),
    within: duration({ min: '1s', max: '10m' })
      .prefault('10s')
      .describe('Time that requests are counted over.'),
    hold: duration({ min: '1s', max: '1h' })
      .prefault('10s')
      .describe('How long a member is left out the first time; each further time as much longer.'),
    most: share()
      .prefault('50%')
      .describe('Share of the members of the pool that may be left out at one time.'),
  })
  .describe(
    'Leaves members out for a while that fail too often (proxied services). Left out: only the monitor decides.',
  );

export type Queue = z.output<typeof queueSchema>;
export type KeepAlive = z.output<typeof keepAliveSchema>;
export type Ejection = z.output<typeof ejectionSchema>;
