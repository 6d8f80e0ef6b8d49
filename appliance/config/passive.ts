/**
 * Passive health: what the traffic itself says about a member, without a probe.
 *
 * Invariant: a share is compared only when enough connections were opened to mean something.
 */
import { z } from 'zod';
import { duration, textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

const shareHelp = 'a share is a percentage from 1% to 100%, such as 50%';

function parseShare(text: string): Parsed<number> {
  const match = /^([0-9]{1,3})%$/.exec(text);
  const percent = Number(match?.[1]);
  if (match === null || percent < 1 || percent > 100) {
    return refused(`${quote(text)} is no share: ${shareHelp}`);
  }
  return parsed(percent / 100);
}

/** Read as a number from 0 to 1. */
function share() {
  return textField(shareHelp, parseShare, {
    kind: 'share',
    pattern: '^[0-9]{1,3}%$',
    examples: ['50%'],
  });
}

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
    'Takes a member out that resets the connections of clients or leaves them unanswered. Left out: only the monitor decides.',
  );

export type PassiveRule = z.output<typeof passiveSchema>;
