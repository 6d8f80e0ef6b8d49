/**
 * Flap damping: a member that comes and goes is held down until it was good for a while. Pure.
 *
 * Invariants:
 * - Times are of a monotonic clock: a step of the wall clock neither holds nor frees anybody.
 * - A held member is freed only by a good probe, and then has no earlier changes counted.
 */
import { formatDuration } from '../config/units-of-measure.js';

/** Milliseconds. */
export interface DampingRule {
  /** Changes that are still tolerated within the time. */
  readonly changes: number;
  readonly within: number;
  readonly hold: number;
}

export interface Flapping {
  /** When the state changed, not longer ago than the rule looks back. */
  readonly changes: readonly number[];
  /** Null: not held down. */
  readonly held: { readonly flapped: number; readonly goodSince: number | null } | null;
}

export const STEADY: Flapping = { changes: [], held: null };

/** What follows from a conclusive probe at `now`. `changed`: undamped, the state is another now. */
export function afterObservation(
  before: Flapping,
  rule: DampingRule,
  seen: { readonly good: boolean; readonly changed: boolean },
  now: number,
): Flapping {
  const { held } = before;
  if (held !== null) {
    const goodSince = seen.good ? (held.goodSince ?? now) : null;
    if (goodSince !== null && now - goodSince >= rule.hold) return STEADY;
    if (goodSince === held.goodSince) return before;
    return { changes: before.changes, held: { ...held, goodSince } };
  }
  if (!seen.changed) return before;
  const changes = [...before.changes.filter((time) => now - time < rule.within), now];
  if (changes.length <= rule.changes) return { changes, held: null };
  return {
    changes: [],
    held: { flapped: changes.length, goodSince: seen.good ? now : null },
  };
}

/** `held down: flapped 6 times in 1m, until it was good for 30s`. */
export function heldReason(held: NonNullable<Flapping['held']>, rule: DampingRule): string {
  return `held down: flapped ${held.flapped} times in ${formatDuration(rule.within)}, until it was good for ${formatDuration(rule.hold)}`;
}
