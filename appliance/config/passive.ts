/**
 * Passive health: what the traffic itself says about a member, without a probe.
 *
 * Invariant: a share is compared only when enough connections were opened to mean something.
 */
import { z } from 'zod';
import { duration } from './fields.js';
import { share } from './share.js';

export const passiveSchema = z
  .strictObject({
    resets: share()
      .prefault('50%')
      .describe('Share of new connections that the member resets, from which it is suspect.'),
    unanswered: share()
      .prefault('50%')
      .describe('Share of new connections that get no answer at all, from which it is suspect.'),
    minimum: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(20)
      .describe('New connections within the time that are needed for a verdict.'),
    within: duration({ min: '1s', max: '10m' })
      .prefault('10s')
      .describe('Time that connections are counted over.'),
    hold: duration({ min: '1s', max: '1h' })
      .prefault('30s')
      .describe('How long a suspect member takes no new flows before it is tried again.'),
  })
  .describe(
    'Takes a member out that resets the connections of clients or leaves them unanswered (tcp by nat and full-nat). Left out: only the monitor decides.',
  );

export type PassiveRule = z.output<typeof passiveSchema>;
