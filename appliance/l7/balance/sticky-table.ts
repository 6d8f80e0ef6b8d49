/**
 * Which member a client sticks to, by the hash of what it is known by: one table of bounded size in
 * memory that all workers share.
 *
 * Sets of eight entries, found by the hash. Who comes new takes a free or expired entry, else that of
 * the client who would be forgotten first: with one timeout, the one that was not seen for longest.
 *
 * Nothing is locked, so nobody waits for a worker that died. The words of an entry's key are stored
 * mixed with those of its member (as the shared tables of chess programs do): what two workers wrote
 * half each fits no key, and is an entry nobody finds until it expires. Of two that write the same
 * client at the same time one is found, always the same.
 *
 * The other unit of a pair has a table of its own: the daemon, as one more writer, tells it of entries
 * and takes its ones (ha/sticky). What was told last it notes in the entry; workers never look there.
 *
 * Invariant: a member is found only for a client that some worker stored with it, and only until the
 * deadline.
 */
const WAYS = 8;
/** Key, key, member's tags, deadline; what was told; one to spare, so that an entry is half a cache line. */
const ENTRY = 8;
const SET = WAYS * ENTRY;
const DEADLINE = 4;
/** For the daemon: the deadline that was told, and of which client and member. */
const TOLD = 5;
const MARK = 6;
/** A client that goes on is told of again when its deadline moved by this part of what is left, … */
const RETELL_SHIFT = 3;
/** … and by this many milliseconds at least. */
const RETELL_LEAST = 1000;
/** Milliseconds; longer ones could not be told from what is long past. */
const LONGEST = 2 ** 30;

export class StickyTable {
  /** What the last `find` found. */
  tagLow = 0;
  tagHigh = 0;
  readonly #words: Int32Array;
  readonly #mask: number;
  readonly #clockOffset: number;
  #swept = 0;

  /** `entries`: at least so many clients; rounded up to a power of two. */
  static bytes(entries: number): number {
    return setsFor(entries) * SET * 4;
  }

  /** @param clockOffset as in BalanceMemory */
  constructor(buffer: ArrayBufferLike, offset: number, entries: number, clockOffset: number) {
    const sets = setsFor(entries);
    this.#words = new Int32Array(buffer, offset, sets * SET);
    this.#mask = sets - 1;
    this.#clockOffset = clockOffset;
  }

  get capacity(): number {
    return (this.#mask + 1) * WAYS;
  }

  /** Whether the client is known; then it is so for `timeout` from now. */
  find(low: number, high: number, now: number, timeout: number): boolean {
    const words = this.#words;
    const at = this.#place(low, high);
    if (at < 0) return false;
    const time = (now + this.#clockOffset) | 0;
    if ((((words[at + DEADLINE] as number) - time) | 0) <= 0) return false;
    const deadline = (time + (timeout < LONGEST ? timeout : LONGEST)) | 0;
    if (words[at + DEADLINE] !== deadline) words[at + DEADLINE] = deadline;
    return true;
  }

  /** The client sticks to this member from now on. */
  put(
    low: number,
    high: number,
    tagLow: number,
    tagHigh: number,
    now: number,
    timeout: number,
  ): void {
    const time = (now + this.#clockOffset) | 0;
    let at = this.#place(low, high);
    if (at < 0) at = this.#victim(low, time);
    const deadline = (time + (timeout < LONGEST ? timeout : LONGEST)) | 0;
    this.#write(at, low, high, tagLow, tagHigh, deadline);
  }

  get sets(): number {
    return this.#mask + 1;
  }

  /**
   * For the daemon: gives the entries of so many sets from `first` on that the other unit is not known
   * to have as they are, or all. `left`: milliseconds until it is forgotten. They count as told.
   */
  tell(
    first: number,
    sets: number,
    now: number,
    all: boolean,
    give: (low: number, high: number, tagLow: number, tagHigh: number, left: number) => void,
  ): void {
    const words = this.#words;
    const time = (now + this.#clockOffset) | 0;
    const end = Math.min(first + sets, this.sets) * SET;
    for (let at = first * SET; at < end; at += ENTRY) {
      const tagLow = words[at + 2] as number;
      const tagHigh = words[at + 3] as number;
      if ((tagLow | tagHigh) === 0) continue;
      const deadline = words[at + DEADLINE] as number;
      const left = (deadline - time) | 0;
      if (left <= 0) continue;
      const low = (words[at] as number) ^ mixed(tagLow, tagHigh);
      const high = (words[at + 1] as number) ^ mixed(tagHigh, tagLow);
      const mark = markOf(low, high, tagLow, tagHigh);
      const moved = (deadline - (words[at + TOLD] as number)) | 0;
      const known =
        words[at + MARK] === mark && moved < Math.max(RETELL_LEAST, left >> RETELL_SHIFT);
      if (known && !all) continue;
      words[at + TOLD] = deadline;
      words[at + MARK] = mark;
      give(low, high, tagLow, tagHigh, left);
    }
  }

  /**
   * For the daemon: what the other unit told. Whether it was taken: not where this unit saw the client
   * as late, nor in the place of one that would be remembered for longer.
   */
  take(
    low: number,
    high: number,
    tagLow: number,
    tagHigh: number,
    now: number,
    left: number,
  ): boolean {
    const words = this.#words;
    const time = (now + this.#clockOffset) | 0;
    let at = this.#place(low, high);
    const known = at >= 0;
    if (!known) at = this.#victim(low, time);
    const used = ((words[at + 2] as number) | (words[at + 3] as number)) !== 0;
    if (used && (((words[at + DEADLINE] as number) - time) | 0) >= left) return false;
    this.#write(at, low, high, tagLow, tagHigh, (time + Math.min(left, LONGEST)) | 0);
    words[at + TOLD] = words[at + DEADLINE] as number;
    words[at + MARK] = markOf(low, high, tagLow, tagHigh);
    return true;
  }

  #write(
    at: number,
    low: number,
    high: number,
    tagLow: number,
    tagHigh: number,
    deadline: number,
  ): void {
    const words = this.#words;
    words[at] = low ^ mixed(tagLow, tagHigh);
    words[at + 1] = high ^ mixed(tagHigh, tagLow);
    words[at + 2] = tagLow;
    words[at + 3] = tagHigh;
    words[at + DEADLINE] = deadline;
  }

  /** Where the client's entry is, whose tags are noted; -1: nowhere. */
  #place(low: number, high: number): number {
    const words = this.#words;
    const first = (low & this.#mask) * SET;
    for (let at = first; at < first + SET; at += ENTRY) {
      const tagLow = words[at + 2] as number;
      const tagHigh = words[at + 3] as number;
      if (
        (words[at] as number) !== (low ^ mixed(tagLow, tagHigh)) ||
        (words[at + 1] as number) !== (high ^ mixed(tagHigh, tagLow)) ||
        (tagLow | tagHigh) === 0
      ) {
        continue;
      }
      this.tagLow = tagLow;
      this.tagHigh = tagHigh;
      return at;
    }
    return -1;
  }

  #victim(low: number, time: number): number {
    const words = this.#words;
    const first = (low & this.#mask) * SET;
    let victim = first;
    let least = 2 ** 31 - 1;
    for (let at = first; at < first + SET; at += ENTRY) {
      if (((words[at + 2] as number) | (words[at + 3] as number)) === 0) return at;
      const left = ((words[at + DEADLINE] as number) - time) | 0;
      if (left >= least) continue;
      least = left;
      victim = at;
    }
    return victim;
  }

  /**
   * Empties expired entries of so many sets, going round: once a second some, so that every set is
   * seen in less than the 24 days after which a deadline long past would look like one to come.
   */
  sweep(now: number, sets: number): void {
    const words = this.#words;
    const time = (now + this.#clockOffset) | 0;
    for (let i = 0; i < sets && i <= this.#mask; i += 1) {
      const first = this.#swept * SET;
      this.#swept = (this.#swept + 1) & this.#mask;
      for (let at = first; at < first + SET; at += ENTRY) {
        const used = ((words[at + 2] as number) | (words[at + 3] as number)) !== 0;
        if (!used || (((words[at + DEADLINE] as number) - time) | 0) > 0) continue;
        words[at + 2] = 0;
        words[at + 3] = 0;
      }
    }
  }
}

function setsFor(entries: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, entries / WAYS)));
}

/** Not the same with its arguments exchanged. */
function mixed(a: number, b: number): number {
  const x = Math.imul(a ^ (a >>> 15), 0x2c1b_3c6d) ^ Math.imul(b ^ (b >>> 13), 0x297a_2d39);
  return x ^ (x >>> 12);
}

/** Of a client with a member; never 0, which untouched memory has. */
function markOf(low: number, high: number, tagLow: number, tagHigh: number): number {
  return (mixed(low, high) ^ mixed(tagHigh, tagLow)) | 1;
}
