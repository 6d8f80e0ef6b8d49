/**
 * Lookup tables that are not hashed into: the schedule that a shared counter walks
 * (round-robin, weighted or not), the table of which a random slot is taken, and the list of
 * which the least busy is taken.
 *
 * Invariant: without any state. The result depends on the members' keys, weights and
 * availability alone, not on their order, so both units of a pair and a restarted daemon
 * come to the same table.
 */
import { lookupSlots, type LookupMember } from './maglev.js';
import { apportion, apportionAtLeastOne } from './shares.js';

/** Longest schedule for pools with fewer members than this; others list each member at least once. */
export const SCHEDULE_SLOTS = 4096;

interface Turn {
  readonly index: number;
  readonly key: string;
  readonly weight: number;
}

/** Members that take new flows, by key. */
function takers(members: readonly LookupMember[]): Turn[] {
  return members
    .map(({ key, weight, available }, index) => ({ index, key, weight, available }))
    .filter(({ weight, available }) => weight > 0 && available !== false)
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/**
 * A smooth schedule: each member as often as its weight says, and as evenly spread as whole
 * turns allow. Weights 3, 2 and 1 give a b a c b a, as smooth weighted round-robin does.
 *
 * The turns of a member with `n` of them stand at (k + φ) ÷ n of the way, k = 0 … n − 1, where
 * members with equally many stand apart: φ is i ÷ (m + 1) for the i-th of m. The schedule is all
 * turns of all members in that order. Its length is the sum of the weights divided by their
 * greatest common divisor; where that is more than SCHEDULE_SLOTS, the weights are rounded to it.
 *
 * @returns slot to index in `members`; no slots when none is available with a weight above 0
 */
export function buildSchedule(members: readonly LookupMember[]): Uint32Array {
  const turns = takers(members);
  const counts = turnCounts(turns.map(({ weight }) => weight));
  const equals = new Map<number, number>();
  for (const count of counts) equals.set(count, (equals.get(count) ?? 0) + 1);
  const ranks = new Map<number, number>();
  const places = counts.flatMap((count, turn) => {
    const parts = (equals.get(count) ?? 0) + 1;
    const rank = (ranks.get(count) ?? 0) + 1;
    ranks.set(count, rank);
    // A fraction of whole numbers, since equal places must be found equal.
    return Array.from({ length: count }, (_, k) => ({
      turn,
      above: k * parts + rank,
      below: count * parts,
    }));
  });
  places.sort((a, b) => a.above * b.below - b.above * a.below || a.turn - b.turn);
  return Uint32Array.from(places, ({ turn }) => turns[turn]?.index ?? 0);
}

function turnCounts(weights: readonly number[]): readonly number[] {
  const divisor = weights.reduce(greatestCommonDivisor, 0);
  const counts = weights.map((weight) => weight / divisor);
  const limit = Math.max(SCHEDULE_SLOTS, weights.length);
  if (counts.reduce((all, count) => all + count, 0) <= limit) return counts;
  const rounded = [...apportionAtLeastOne(limit, counts)];
  const common = rounded.reduce(greatestCommonDivisor, 0);
  return rounded.map((count) => count / common);
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/**
 * Slots in proportion to the weights, in blocks: for a choice that is random anyway. The
 * number of slots depends on the number of configured members alone, so new weights find
 * the same place.
 */
export function buildWeighted(members: readonly LookupMember[]): Uint32Array {
  const turns = takers(members);
  if (turns.length === 0) return new Uint32Array(0);
  const slots = lookupSlots(members.length);
  const weights = turns.map(({ weight }) => weight);
  const shares =
    turns.length <= slots ? apportionAtLeastOne(slots, weights) : apportion(slots, weights);
  const lookup = new Uint32Array(slots);
  let from = 0;
  turns.forEach(({ index }, turn) => {
    const to = from + (shares[turn] ?? 0);
    lookup.fill(index, from, to);
    from = to;
  });
  return lookup;
}

/** Each member that takes new flows, once. */
export function buildCandidates(members: readonly LookupMember[]): Uint32Array {
  return Uint32Array.from(takers(members), ({ index }) => index);
}
