/**
 * Token buckets that all workers share: a bounded hash table in shared memory.
 *
 * A set is two cache lines: a lock, and ten entries of three words, which are 64 bits of key (its
 * last five bits are the shift of the rate, so that any worker can tell whether a bucket is full)
 * and the time at which the bucket is due (rate.ts). Requests of a bucket that has an entry move
 * that one word by compare and exchange: no lock, so a worker that is stopped or dies hinders
 * nobody, and what all workers together let through is exact. The lock of a set is for new entries
 * only; with it no key can come to have two.
 *
 * What gives way to a new key is a bucket that is due in the past: it is full, and to forget it
 * changes nothing. Where all ten of a set are in use the request is allowed and not remembered:
 * clients choose keys, and one that fills the table with them would else shut out everybody whom
 * the table does not know, while by a new key it gets a whole bucket in any case. Those that are
 * held back keep their entries. `untracked` counts these requests. Buckets of a whole service lie
 * in a part of their own, which no client fills.
 *
 * Invariants:
 * - An entry changes hands only with its time: its key is taken away, then the time is exchanged,
 *   then the new key is written. So whoever looked before finds another time and looks again.
 * - `sweep` empties entries long before their time, 2^32 ticks later, would lie ahead again.
 */
import { lock, unlock } from './locks.js';
import { LIVE, MOST_SHIFT, type BucketRate } from './rate.js';

const SET_WORDS = 32;
const WAYS = 10;
const KEY_LOW = 2;
const KEY_HIGH = KEY_LOW + WAYS;
const DUE = KEY_HIGH + WAYS;
const SHIFT_BITS = 31;

const HEADER_WORDS = SET_WORDS;
const SEED_LOW = 0;
const SEED_HIGH = 1;

/** Tries to move a time before it is added to without a look: others are faster each time. */
const TRIES = 64;

/** Milliseconds in which `sweep` comes round: entries of the finest ticks live 2^32 >> 18 ms = 16 s. */
const ROUND = 4000;

/** Not in the table. */
export const NO_ENTRY = -1;

export interface BucketSizes {
  /** Sets of ten buckets for keys of clients, and for whole services; powers of two. */
  readonly keyed: number;
  readonly single: number;
}

/** 81,920 keys and 2,560 services' limits, in 1.1 MiB. */
export const defaultBucketSizes: BucketSizes = Object.freeze({ keyed: 8192, single: 256 });

function checked(sizes: BucketSizes): BucketSizes {
  for (const sets of [sizes.keyed, sizes.single]) {
    if (sets < 1 || sets > 1 << 24 || (sets & (sets - 1)) !== 0) {
      throw new RangeError(`${sets} sets of buckets: a power of two`);
    }
  }
  return sizes;
}

/** Where a limit's buckets lie. */
export type Part = 'keyed' | 'single';

export class TokenBuckets {
  /** Requests that were allowed because the table had no room, by this worker. */
  untracked = 0;
  /** Of the last take(): the entry, or NO_ENTRY. */
  taken = NO_ENTRY;
  readonly seedLow: number;
  readonly seedHigh: number;

  readonly #words: Int32Array;
  readonly #sets: number;
  readonly #keyed: number;
  readonly #keyedMask: number;
  readonly #single: number;
  readonly #singleMask: number;
  readonly #owner: number;
  #sweepAt = 0;
  #sweptTo = 0;
  #swept = false;

  /**
   * `offset` is a multiple of 128, the memory was prepared, and no other living process has this
   * worker's number.
   */
  constructor(buffer: ArrayBufferLike, offset: number, sizes: BucketSizes, worker: number) {
    if (offset % 128 !== 0) throw new RangeError(`buckets at ${offset}: a multiple of 128`);
    this.#words = new Int32Array(buffer, offset, TokenBuckets.bytes(sizes) / 4);
    this.#sets = sizes.single + sizes.keyed;
    this.#single = HEADER_WORDS;
    this.#singleMask = sizes.single - 1;
    this.#keyed = HEADER_WORDS + sizes.single * SET_WORDS;
    this.#keyedMask = sizes.keyed - 1;
    this.#owner = worker + 1;
    this.seedLow = this.#words[SEED_LOW] as number;
    this.seedHigh = this.#words[SEED_HIGH] as number;
  }

  static bytes(sizes: BucketSizes): number {
    const { keyed, single } = checked(sizes);
    return (HEADER_WORDS + (keyed + single) * SET_WORDS) * 4;
  }

  /** Once, by the supervisor, on memory that is all zero; `seed` is two random words. */
  static prepare(buffer: ArrayBufferLike, offset: number, seed: Int32Array): void {
    const words = new Int32Array(buffer, offset, HEADER_WORDS);
    words[SEED_LOW] = seed[0] ?? 0;
    words[SEED_HIGH] = seed[1] ?? 0;
  }

  /** Where a key belongs: the first word of its set. */
  setOf(part: Part, low: number): number {
    return part === 'keyed'
      ? this.#keyed + (low & this.#keyedMask) * SET_WORDS
      : this.#single + (low & this.#singleMask) * SET_WORDS;
  }

  /** Milliseconds until the key's next request is due, 0 when it is; takes nothing. */
  look(set: number, low: number, high: number, rate: BucketRate, now: number): number {
    const key = low === 0 ? 1 : low;
    const entry = this.#find(set, key, tagged(high, rate));
    if (entry === NO_ENTRY) return 0;
    const due = Atomics.load(this.#words, entry);
    return this.#is(set, entry, key, tagged(high, rate)) ? waitFor(due, rate, now) : 0;
  }

  /** Takes one request. Returns 0, or the milliseconds until the next one is due. */
  take(set: number, low: number, high: number, rate: BucketRate, now: number): number {
    const key = low === 0 ? 1 : low;
    const rest = tagged(high, rate);
    for (let round = 0; round < TRIES; round += 1) {
      const entry = this.#find(set, key, rest);
      if (entry === NO_ENTRY) {
        if (this.#insert(set, key, rest, rate, now)) return 0;
        continue;
      }
      const wait = this.#takeFrom(set, entry, key, rest, rate, now);
      if (wait >= 0) {
        this.taken = entry;
        return wait;
      }
    }
    this.#letGo();
    return 0;
  }

  /** Gives back what take() took from an entry, when the request is refused by something else. */
  giveBack(set: number, entry: number, low: number, high: number, rate: BucketRate): void {
    if (entry === NO_ENTRY) return;
    const words = this.#words;
    for (let round = 0; round < TRIES; round += 1) {
      const due = Atomics.load(words, entry);
      if (!this.#is(set, entry, low === 0 ? 1 : low, tagged(high, rate))) return;
      const less = (due - rate.cost) | 0;
      if (Atomics.compareExchange(words, entry, due, less) === due) return;
    }
  }

  /** Empties what is full, as much as is due since the last call: about once a second. */
  sweep(now: number): void {
    const passed = this.#swept ? (now - this.#sweepAt) | 0 : ROUND;
    this.#swept = true;
    this.#sweepAt = now;
    const part = passed >= ROUND || passed < 0 ? 1 : passed / ROUND;
    const count = Math.min(this.#sets, Math.ceil(this.#sets * part));
    for (let i = 0; i < count; i += 1) {
      this.#sweepSet(HEADER_WORDS + this.#sweptTo * SET_WORDS, now);
      this.#sweptTo = this.#sweptTo + 1 === this.#sets ? 0 : this.#sweptTo + 1;
    }
  }

  /** Frees what a worker held that died. Its replacement may do that for itself. */
  releaseWorker(worker: number): void {
    for (let set = 0; set < this.#sets; set += 1) {
      // An entry that was being written has no key, so it is free.
      const at = HEADER_WORDS + set * SET_WORDS;
      if (this.#words[at] === worker + 1) unlock(this.#words, at);
    }
  }

  /** Entries in use, for counters and tests; goes through the whole table. */
  count(): number {
    let count = 0;
    for (let set = 0; set < this.#sets; set += 1) {
      const at = HEADER_WORDS + set * SET_WORDS + KEY_LOW;
      for (let way = 0; way < WAYS; way += 1) if (this.#words[at + way] !== 0) count += 1;
    }
    return count;
  }

  #find(set: number, key: number, rest: number): number {
    const words = this.#words;
    for (let way = 0; way < WAYS; way += 1) {
      if (words[set + KEY_LOW + way] === key && words[set + KEY_HIGH + way] === rest) {
        return set + DUE + way;
      }
    }
    return NO_ENTRY;
  }

  /** Whether an entry is still the key's: asked after its time was read. */
  #is(set: number, entry: number, key: number, rest: number): boolean {
    const way = entry - set - DUE;
    return (
      Atomics.load(this.#words, set + KEY_LOW + way) === key &&
      Atomics.load(this.#words, set + KEY_HIGH + way) === rest
    );
  }

  /** As take(), -1: the entry is no longer the key's. */
  #takeFrom(
    set: number,
    entry: number,
    key: number,
    rest: number,
    rate: BucketRate,
    now: number,
  ): number {
    const words = this.#words;
    const ticks = now << rate.shift;
    for (let round = 0; round < TRIES; round += 1) {
      const due = Atomics.load(words, entry);
      if (!this.#is(set, entry, key, rest)) return -1;
      const wait = waitFor(due, rate, now);
      if (wait > 0) return wait;
      const ahead = aheadOf(due, ticks);
      const next = (ticks + ahead + rate.cost) | 0;
      if (Atomics.compareExchange(words, entry, due, next) === due) return 0;
    }
    // Another worker was faster each time: what this one takes still counts.
    Atomics.add(words, entry, rate.cost);
    return 0;
  }

  /** Makes the key's entry with one request taken; false when another worker has made it. */
  #insert(set: number, key: number, rest: number, rate: BucketRate, now: number): boolean {
    const words = this.#words;
    if (!lock(words, set, this.#owner)) {
      this.#letGo();
      return true;
    }
    if (this.#find(set, key, rest) !== NO_ENTRY) {
      unlock(words, set);
      return false;
    }
    const due = ((now << rate.shift) + rate.cost) | 0;
    for (let way = 0; way < WAYS; way += 1) {
      if (!this.#evict(set, way, due, now)) continue;
      Atomics.store(words, set + KEY_HIGH + way, rest);
      Atomics.store(words, set + KEY_LOW + way, key);
      unlock(words, set);
      this.taken = set + DUE + way;
      return true;
    }
    unlock(words, set);
    this.#letGo();
    return true;
  }

  #letGo(): void {
    this.untracked = (this.untracked + 1) | 0;
    this.taken = NO_ENTRY;
  }

  /** Takes an entry, whose set is locked, from its key if that changes nothing. */
  #evict(set: number, way: number, next: number, now: number): boolean {
    const words = this.#words;
    const key = words[set + KEY_LOW + way] as number;
    const due = Atomics.load(words, set + DUE + way);
    if (key !== 0) {
      const shift = (words[set + KEY_HIGH + way] as number) & SHIFT_BITS;
      if (aheadOf(due, now << shift) > 0) return false;
      Atomics.store(words, set + KEY_LOW + way, 0);
    }
    // Another time in any case, or a look from before would still hold.
    const other = next === due ? (due + 1) | 0 : next;
    if (Atomics.compareExchange(words, set + DUE + way, due, other) === due) return true;
    // Its client was faster.
    if (key !== 0) Atomics.store(words, set + KEY_LOW + way, key);
    return false;
  }

  #sweepSet(set: number, now: number): void {
    const words = this.#words;
    let full = false;
    for (let way = 0; way < WAYS; way += 1) {
      if (words[set + KEY_LOW + way] === 0) continue;
      const shift = (words[set + KEY_HIGH + way] as number) & SHIFT_BITS;
      full ||= aheadOf(words[set + DUE + way] as number, now << shift) === 0;
    }
    // Whoever holds the lock writes a new entry; the next round sees the set again.
    if (!full || !lock(words, set, this.#owner)) return;
    for (let way = 0; way < WAYS; way += 1) {
      if (words[set + KEY_LOW + way] !== 0) this.#evict(set, way, now, now);
    }
    unlock(words, set);
  }
}

/** Ticks that a time lies ahead of now; 0 when it is past. */
function aheadOf(due: number, ticks: number): number {
  const ahead = (due - ticks) | 0;
  return ahead > 0 && ahead <= LIVE ? ahead : 0;
}

/** Milliseconds until a bucket has room, rounded up; 0 when it has. */
function waitFor(due: number, rate: BucketRate, now: number): number {
  const over = aheadOf(due, now << rate.shift) - rate.tolerance;
  return over <= 0 ? 0 : (over + (1 << rate.shift) - 1) >> rate.shift;
}

/** The second word of a key, with the rate's shift in its last bits. */
function tagged(high: number, rate: BucketRate): number {
  return (high & ~SHIFT_BITS) | rate.shift;
}

if (MOST_SHIFT > SHIFT_BITS) throw new Error('the shift of a rate has five bits in a key');
