/**
 * Where the balance of requests lies: numbers that all workers share, by row, and the part of each
 * worker that says what of the counts is its own.
 *
 * The supervisor gives a row to each member (by id and address) and to each pool, the same in all
 * workers, and clears it before another one gets it. Nothing here is mapped or allocated: both are
 * views of memory that was given.
 *
 * Invariants:
 * - A count in shared memory is the sum of what the workers' own parts say, except for the one
 *   that a worker is just changing, which its journal names. So a worker may die at any moment.
 * - Time stamps in shared memory are of the clock that all workers have: `now + clockOffset`.
 */

export interface BalanceSizes {
  /** Rows of members and of pools. */
  readonly members: number;
  readonly pools: number;
}

/** Cursors are written by all workers all the time: each has a cache line. */
const CURSOR_WORDS = 16;
const WORDS_OF_MEMBER = 6;

interface Place {
  readonly buffer: ArrayBufferLike;
  /** A multiple of 8. */
  readonly offset: number;
}

export class BalanceMemory {
  /** Counts of all workers: requests under way by row of member, then waiting ones by row of pool. */
  readonly counts: Int32Array;
  /** Of these the worker's own. */
  readonly own: Int32Array;
  /** Row of the count that is being changed, and one; 0: none. */
  readonly journal: Int32Array;
  /** Turns taken of each pool's schedule. */
  readonly cursors: Int32Array;
  /** Estimate of the time to an answer in microseconds, 0: none yet; and when it was made. */
  readonly latency: Float64Array;
  readonly latencyAt: Int32Array;
  /** Units of bytes since ever, at the beginning of this epoch and of the one before; the epoch. */
  readonly transferred: Int32Array;
  readonly thisMark: Int32Array;
  readonly lastMark: Int32Array;
  readonly epochs: Int32Array;
  /** Mean units of an answer, as this worker alone knows it. */
  readonly meanUnits: Float64Array;

  static sharedBytes({ members, pools }: BalanceSizes): number {
    const words = members * WORDS_OF_MEMBER + pools * (CURSOR_WORDS + 1);
    return members * 8 + Math.ceil(words / 2) * 8;
  }

  static ownBytes({ members, pools }: BalanceSizes): number {
    return Math.ceil((1 + members + pools) / 2) * 8;
  }

  /**
   * @param clockOffset what to add to this worker's `now` (a word of milliseconds that begins where
   * the worker did) to get the clock of all workers, as by `clockOffset()`
   */
  constructor(
    readonly sizes: BalanceSizes,
    shared: Place,
    own: Place,
    readonly clockOffset: number,
  ) {
    const { members, pools } = sizes;
    const { buffer } = shared;
    let at = shared.offset;
    const words = (length: number): Int32Array => {
      const part = new Int32Array(buffer, at, length);
      at += length * 4;
      return part;
    };
    this.latency = new Float64Array(buffer, at, members);
    at += members * 8;
    this.counts = words(members + pools);
    this.latencyAt = words(members);
    this.transferred = words(members);
    this.thisMark = words(members);
    this.lastMark = words(members);
    this.epochs = words(members);
    this.cursors = words(pools * CURSOR_WORDS);
    this.meanUnits = new Float64Array(members).fill(1);
    this.journal = new Int32Array(own.buffer, own.offset, 1);
    this.own = new Int32Array(own.buffer, own.offset + 4, members + pools);
  }

  /** The count of waiting requests of a pool. */
  waitingRow(pool: number): number {
    return this.sizes.members + pool;
  }

  /** Index in `cursors`. */
  cursorAt(pool: number): number {
    return pool * CURSOR_WORDS;
  }

  /**
   * One more, unless there are `limit` already (0: any number). The compare-and-add is tried a
   * bounded number of times: each failure means that another worker went ahead.
   */
  add(row: number, limit: number): boolean {
    const { counts, own, journal } = this;
    journal[0] = row + 1;
    if (limit === 0) Atomics.add(counts, row, 1);
    else {
      let tries = ADD_TRIES;
      for (;;) {
        const before = Atomics.load(counts, row);
        if (before >= limit || tries-- === 0) {
          journal[0] = 0;
          return false;
        }
        if (Atomics.compareExchange(counts, row, before, before + 1) === before) break;
      }
    }
    own[row] = (own[row] as number) + 1;
    journal[0] = 0;
    return true;
  }

  subtract(row: number): void {
    const { counts, own, journal } = this;
    journal[0] = row + 1;
    Atomics.sub(counts, row, 1);
    own[row] = (own[row] as number) - 1;
    journal[0] = 0;
  }

  /**
   * For the supervisor: a row gets another member, of which nothing is known. Counts stay, since what
   * is still under way to the former one will be taken off by those who counted it.
   */
  clearMember(row: number): void {
    this.latency[row] = 0;
    for (const part of [this.latencyAt, this.transferred, this.thisMark, this.lastMark]) {
      part[row] = 0;
    }
    this.epochs[row] = 0;
  }
}

const ADD_TRIES = 1000;

/** The clock of all workers less this process's: see BalanceMemory. Asked once, when it starts. */
export function clockOffset(): number {
  const shared = Number(BigInt.asIntN(32, process.hrtime.bigint() / 1_000_000n));
  return (shared - Math.floor(performance.now())) | 0;
}

/**
 * For the supervisor: takes off what a worker that died had counted, and empties its part. Where
 * it died between two steps of a change, that count is made anew from the parts of the `others`.
 * Call it for one worker after the other, when the process is gone.
 */
export function releaseWorker(dead: BalanceMemory, others: readonly BalanceMemory[]): void {
  const { counts, own, journal } = dead;
  for (let row = 0; row < own.length; row += 1) {
    const count = own[row] as number;
    if (count === 0) continue;
    Atomics.sub(counts, row, count);
    own[row] = 0;
  }
  const doubtful = (journal[0] as number) - 1;
  journal[0] = 0;
  if (doubtful >= 0) recount(counts, doubtful, others);
}

/** The others may change it meanwhile: it counts when two looks see the same and no change under way. */
function recount(counts: Int32Array, row: number, others: readonly BalanceMemory[]): void {
  const look = (): number => {
    let sum = 0;
    for (const { own, journal } of others) {
      if (Atomics.load(journal, 0) === row + 1) return -1;
      sum += Atomics.load(own, row);
    }
    return sum;
  };
  for (let tries = 0; tries < 10_000; tries += 1) {
    const before = Atomics.load(counts, row);
    const sum = look();
    if (sum < 0 || look() !== sum || Atomics.load(counts, row) !== before) continue;
    if (before === sum || Atomics.compareExchange(counts, row, before, sum) === before) return;
  }
}
