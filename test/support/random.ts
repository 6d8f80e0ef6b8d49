/** Random numbers that a seed repeats, for tests that try much. */

/** xorshift32: small, and the same everywhere. Numbers from 0 up to, not including, `below`. */
export function generator(state: number): (below: number) => number {
  let x = state >>> 0 || 1;
  return (below) => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x % below;
  };
}
