/** How the clocks of two units stand to each other, from a heartbeat and its answer. Pure. */

/** Milliseconds. */
export interface ClockDifference {
  /** The other unit's clock minus this one's. */
  readonly ms: number;
  /** The truth is at most so far from `ms`: the answer may have been made at any time in between. */
  readonly errorMs: number;
}

/**
 * As in RFC 5905 §8 with one answering time: the answer is taken to be made in the middle of the round trip.
 *
 * @param theirs the other unit's clock when it answered, milliseconds since 1970
 * @param ours this unit's clock when the answer came
 */
export function clockDifference(theirs: number, ours: number, rttMs: number): ClockDifference {
  return { ms: theirs - (ours - rttMs / 2), errorMs: rttMs / 2 };
}
