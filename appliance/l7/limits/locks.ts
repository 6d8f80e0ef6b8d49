/**
 * Spin locks in memory that workers share, for what is rare: new entries of a table.
 *
 * Invariant: nobody waits without a bound. Its holder may have died, or lost its processor; then
 * the caller does without, and `releaseWorker` of the table frees what a dead worker held.
 */

/** Some ten microseconds; a lock is held for a fraction of one. */
const SPINS = 2000;

/** Whether the lock is ours now; `owner` is a worker's number + 1. */
export function lock(words: Int32Array, at: number, owner: number): boolean {
  for (let spin = 0; spin < SPINS; spin += 1) {
    if (Atomics.load(words, at) === 0 && Atomics.compareExchange(words, at, 0, owner) === 0) {
      return true;
    }
  }
  return false;
}

export function unlock(words: Int32Array, at: number): void {
  Atomics.store(words, at, 0);
}
