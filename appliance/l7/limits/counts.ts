/**
 * Connections at one time, over all workers, of services and of clients: a bounded hash table in
 * shared memory, sized by the connections that the unit can have.
 *
 * An entry has a key of 64 bits and a counter for each worker, written by that worker alone; their
 * sum is what counts. So a worker that dies is taken out by zeroing its own counters, and no
 * crash, at whatever instruction, leaves a sum wrong. Entering is done under the set's lock, with
 * which the sum is exact; leaving only takes one off one's own counter. An entry whose sum is 0
 * gives way. Where a set has none, or its lock's holder died, the connection is let in and not
 * counted, for the reason in buckets.ts; `untracked` counts these.
 *
 * Invariant: while a worker's counter is above 0 its entry belongs to the same key.
 */
import { lock, unlock } from './locks.js';

const WAYS = 7;
/** A set is one cache line: lock, keys, one word spare. The counters of all entries lie behind all sets. */
const SET_WORDS = 16;
const KEY_LOW = 1;
const KEY_HIGH = KEY_LOW + WAYS;

/** What enter() says besides the place of the counter. */
export const UNTRACKED = -1;
export const REFUSED = -2;

export interface CountSizes {
  /** Sets of seven keys; a power of two. */
  readonly sets: number;
  /** Most workers at a time, old ones that still drain among them. */
  readonly workers: number;
}

export class SharedCounts {
  /** Connections that were let in without being counted, by this worker. */
  untracked = 0;
  readonly #words: Int32Array;
  readonly #sets: number;
  readonly #workers: number;
  readonly #worker: number;

  /** The memory is all zero at first; no other living process has this worker's number. */
  constructor(buffer: ArrayBufferLike, offset: number, sizes: CountSizes, worker: number) {
    if (worker < 0 || worker >= sizes.workers) {
      throw new RangeError(`worker ${worker} of ${sizes.workers}`);
    }
    this.#words = new Int32Array(buffer, offset, SharedCounts.bytes(sizes) / 4);
    this.#sets = sizes.sets;
    this.#workers = sizes.workers;
    this.#worker = worker;
  }

  static bytes(sizes: CountSizes): number {
    const { sets, workers } = sizes;
    if (sets < 1 || (sets & (sets - 1)) !== 0) {
      throw new RangeError(`${sets} sets of counters: a power of two`);
    }
    return sets * (SET_WORDS + WAYS * workers) * 4;
  }

  /** One more if there are fewer than `most`: what leave() needs, UNTRACKED or REFUSED. */
  enter(low: number, high: number, most: number): number {
    const words = this.#words;
    const key = low === 0 ? 1 : low;
    const set = (low & (this.#sets - 1)) * SET_WORDS;
    if (!lock(words, set, this.#worker + 1)) return this.#letIn();
    let way = this.#find(set, key, high);
    if (way < 0) way = this.#claim(set, key, high);
    let place = way < 0 ? UNTRACKED : REFUSED;
    if (way >= 0 && this.#sum(set, way) < most) {
      place = this.#counter(set, way) + this.#worker;
      Atomics.add(words, place, 1);
    }
    unlock(words, set);
    return place === UNTRACKED ? this.#letIn() : place;
  }

  /** One less; `place` is what enter() returned. */
  leave(place: number): void {
    if (place >= 0) Atomics.sub(this.#words, place, 1);
  }

  /** How many there are now, for counters and tests. */
  of(low: number, high: number): number {
    const set = (low & (this.#sets - 1)) * SET_WORDS;
    const way = this.#find(set, low === 0 ? 1 : low, high);
    return way < 0 ? 0 : this.#sum(set, way);
  }

  /** The connections of a worker that died are over, and its locks are free. */
  releaseWorker(worker: number): void {
    const words = this.#words;
    for (let index = 0; index < this.#sets; index += 1) {
      const set = index * SET_WORDS;
      for (let way = 0; way < WAYS; way += 1) {
        // Counters of entries that were never used stay untouched: so does their memory.
        if (words[set + KEY_LOW + way] === 0 && words[set + KEY_HIGH + way] === 0) continue;
        Atomics.store(words, this.#counter(set, way) + worker, 0);
      }
      if (words[set] === worker + 1) unlock(words, set);
    }
  }

  #letIn(): number {
    this.untracked = (this.untracked + 1) | 0;
    return UNTRACKED;
  }

  #counter(set: number, way: number): number {
    return this.#sets * SET_WORDS + ((set / SET_WORDS) * WAYS + way) * this.#workers;
  }

  #sum(set: number, way: number): number {
    const at = this.#counter(set, way);
    let sum = 0;
    for (let worker = 0; worker < this.#workers; worker += 1) {
      sum += Atomics.load(this.#words, at + worker);
    }
    return sum;
  }

  #find(set: number, key: number, high: number): number {
    const words = this.#words;
    for (let way = 0; way < WAYS; way += 1) {
      if (words[set + KEY_LOW + way] === key && words[set + KEY_HIGH + way] === high) return way;
    }
    return -1;
  }

  #claim(set: number, key: number, high: number): number {
    const words = this.#words;
    for (let way = 0; way < WAYS; way += 1) {
      if (words[set + KEY_LOW + way] !== 0 && this.#sum(set, way) !== 0) continue;
      // In this order: a worker that dies here leaves an entry without a key.
      Atomics.store(words, set + KEY_LOW + way, 0);
      Atomics.store(words, set + KEY_HIGH + way, high);
      Atomics.store(words, set + KEY_LOW + way, key);
      return way;
    }
    return -1;
  }
}
