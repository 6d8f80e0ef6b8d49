/**
 * When a body is too slow: slowloris and slow reading, as a rate over the whole body. Each byte
 * buys time at the slowest allowed rate, on top of what every body has; a client that sends one
 * byte just before each timeout runs out of it.
 *
 * Invariant: pure; times are words of milliseconds that wrap.
 */

/**
 * Milliseconds that a body has left, as things stand; 0: it is too slow. `bytes` have passed since
 * `begun`; `rate` is in bytes a second (0: any), `grace` the milliseconds that every body has.
 */
export function slowBodyLeft(
  bytes: number,
  begun: number,
  now: number,
  rate: number,
  grace: number,
): number {
  if (rate <= 0) return MOST;
  const allowed = grace + (bytes / rate) * 1000;
  // A body that lasts 24 days has wrapped the clock; it gets as much again.
  const passed = Math.max(0, (now - begun) | 0);
  const left = Math.ceil(allowed - passed);
  return left <= 0 ? 0 : Math.min(left, MOST);
}

/** 24 days: more than any timer is set to. */
const MOST = 0x7fff_ffff;
