/**
 * A token bucket's numbers. The bucket is one number, the time at which the next request is due
 * (the virtual scheduling form of the generic cell rate algorithm, ITU-T I.371 annex A): a request
 * moves it on by `cost`; while it lies more than `tolerance` ahead of now, requests are refused.
 *
 * Times are words of 32 bits that wrap, in ticks of 2^-shift ms: as fine as the rate needs, so that
 * a cost rounded to whole ticks is wrong by 1/2048 at most up to 250,000 a second.
 *
 * Invariant: a bucket never lies more than MOST_AHEAD ticks ahead of now.
 */

/** Ticks: what a whole bucket may be ahead. */
export const MOST_AHEAD = 1 << 30;
/** Above MOST_AHEAD by this much, an entry's time may still lie ahead: workers' clocks differ a little. */
export const LIVE = MOST_AHEAD + (1 << 29);
export const MOST_SHIFT = 18;

const FINE = 1024;

export interface BucketRate {
  /** Ticks are 2^-shift ms. */
  readonly shift: number;
  /** Ticks between two requests. */
  readonly cost: number;
  /** Ticks that the bucket may be ahead when a request comes. */
  readonly tolerance: number;
}

/** `perSecond` above 0, `burst` 1 or more. What lies beyond 12 days is cut: fewer at once, not more. */
export function bucketRate(perSecond: number, burst: number): BucketRate {
  const interval = Math.min(1000 / perSecond, MOST_AHEAD);
  const atOnce = Math.max(1, Math.min(Math.floor(burst), Math.floor(MOST_AHEAD / interval)));
  let shift = 0;
  while (shift < MOST_SHIFT && interval * 2 ** shift < FINE) shift += 1;
  const costAt = (bits: number): number => Math.max(1, Math.round(interval * 2 ** bits));
  while (shift > 0 && costAt(shift) * atOnce > MOST_AHEAD) shift -= 1;
  const cost = costAt(shift);
  const most = Math.floor(MOST_AHEAD / cost);
  const burstTicks = (Math.min(atOnce, most) - 1) * cost;
  // The clock goes by whole milliseconds: what is due within one comes at once.
  return { shift, cost, tolerance: Math.max(burstTicks, 2 ** shift - cost) };
}
