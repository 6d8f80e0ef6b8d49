/**
 * Slow start: a member that comes up takes a tenth of its share at first and gains a tenth with
 * each tenth of the time. Steps rather than a slope, so that a table is made anew at most nine
 * times. Time is given, never asked for.
 */

const STEPS = 10;

/** What a member takes at the moment when it comes up. */
export const FIRST_STEP = 1 / STEPS;

/**
 * Part of its share that a member takes, 0.1 to 1.
 *
 * @param elapsed time since it came up, in milliseconds
 * @param duration of the slow start, in milliseconds
 */
export function rampFactor(elapsed: number, duration: number): number {
  if (!(elapsed < duration)) return 1;
  return Math.min(STEPS, Math.floor((Math.max(0, elapsed) / duration) * STEPS) + 1) / STEPS;
}
