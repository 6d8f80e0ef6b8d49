/**
 * Passive health: from what the fast path counts of a member's connections to `suspect`. Pure.
 *
 * Invariants:
 * - Times are of a monotonic clock, and intervals come in order.
 * - A member is suspect for exactly the hold time, begins anew after it with nothing counted, and is
 *   never suspected for fewer connections than the rule's minimum.
 * - An open connection that may still be answered counts as unanswered only when its whole interval
 *   is over and the next one brought no answer for it either.
 */
import type { PassiveRule } from '../config/passive.js';
import { formatDuration } from '../config/units-of-measure.js';

/** What was counted of one member since the last call. */
export interface TrafficDelta {
  /** Connections that clients opened to it: first SYNs. */
  readonly opens: number;
  /** Of those or earlier ones, how many it answered with SYN and ACK. */
  readonly answers: number;
  /** Connections that it refused or broke: RSTs from it. */
  readonly resets: number;
}

export interface PassiveStatus {
  readonly suspect: boolean;
  /** Why it is suspect, as a sentence without its end; empty while it is not. */
  readonly reason: string;
  /** Intervals that still count, the oldest first. */
  readonly window: readonly (TrafficDelta & { readonly time: number })[];
  /** When the suspicion ends; null while there is none. */
  readonly until: number | null;
}

export const UNSUSPICIOUS: PassiveStatus = {
  suspect: false,
  reason: '',
  window: [],
  until: null,
};

/** What follows from an interval that ended at `now` (milliseconds). */
export function afterInterval(
  before: PassiveStatus,
  delta: TrafficDelta,
  rule: PassiveRule,
  now: number,
): PassiveStatus {
  if (before.until !== null) {
    // A suspect member takes no new flows: what is counted now are old ones, and proves nothing.
    return now < before.until ? before : UNSUSPICIOUS;
  }
  if (before.window.length === 0 && isEmpty(delta)) return before;
  const window = [...before.window, { ...delta, time: now }].filter(
    ({ time }) => now - time < rule.within,
  );
  const reason = suspicion(window, rule);
  if (reason === null) return { suspect: false, reason: '', window, until: null };
  return { suspect: true, reason, window: [], until: now + rule.hold };
}

function suspicion(window: PassiveStatus['window'], rule: PassiveRule): string | null {
  const span = formatDuration(rule.within);
  const opens = sum(window, 'opens');
  if (opens < rule.minimum) return null;
  const resets = sum(window, 'resets');
  if (resets >= opens * rule.resets) {
    return `suspect: reset ${Math.min(resets, opens)} of ${opens} new connections within ${span}`;
  }
  // The newest connections may be answered in the next interval.
  const settled = opens - (window.at(-1)?.opens ?? 0);
  const answered = sum(window, 'answers') + resets;
  const unanswered = settled - answered;
  if (settled >= rule.minimum && unanswered >= settled * rule.unanswered) {
    return `suspect: left ${unanswered} of ${settled} new connections unanswered within ${span}`;
  }
  return null;
}

function sum(window: PassiveStatus['window'], key: keyof TrafficDelta): number {
  return window.reduce((total, interval) => total + interval[key], 0);
}

function isEmpty({ opens, answers, resets }: TrafficDelta): boolean {
  return opens === 0 && answers === 0 && resets === 0;
}
