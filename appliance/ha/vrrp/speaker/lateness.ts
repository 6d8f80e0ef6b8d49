/**
 * How late the speaker's turns are, and where their time goes: what tells whether a unit keeps its
 * times, and why one did not. Milliseconds of CLOCK_MONOTONIC.
 *
 * Invariant: nothing is allocated while it counts.
 */
import { threadTime } from '../../../../native/ffi/timer.js';

/**
 * `waiting`: a turn was due and the process did not run (scheduler, host, disk); `other`: it ran, but
 * on something else (garbage, its parent's messages, interfaces). The rest are parts of a turn.
 */
export const PARTS = [
  'waiting',
  'other',
  'receiving',
  'deciding',
  'sending',
  'placing',
  'telling',
] as const;
export type Part = (typeof PARTS)[number];

/** Upper bounds of the counts of Lateness.turns; the last one has none. */
export const LATENESS_BOUNDS = [0.1, 0.3, 1, 3, 10, 30] as const;

export interface LateTurn {
  /** From when it was due to when it had ended. */
  readonly late: number;
  /** What took the most of that. */
  readonly part: Part;
  /** Milliseconds of each part. */
  readonly parts: Readonly<Record<Part, number>>;
}

export interface Lateness {
  /** Turns by how late they ended, each up to its bound in LATENESS_BOUNDS, the last beyond. */
  readonly turns: readonly number[];
  /** Null: there was none yet. */
  readonly worst: (LateTurn & { /** Milliseconds since 1970. */ readonly at: number }) | null;
  /** The least that was left of the lease when it was renewed; null: nothing was held. */
  readonly leastLease: number | null;
}

const [WAITING, OTHER] = [0, 1];

export class TurnClock {
  readonly #now: () => number;
  readonly #ran: () => number;
  readonly #turns = new Uint32Array(LATENESS_BOUNDS.length + 1);
  /** Of the turn under way, and of the worst one. */
  readonly #parts = new Float64Array(PARTS.length);
  readonly #worst = new Float64Array(PARTS.length);
  #lastLate = 0;
  #worstLate = 0;
  #worstAt = 0;
  #leastLease = Infinity;
  #due = Infinity;
  #begunAt = 0;
  #markedAt = 0;
  #endedAt = 0;
  #ranAtEnd = 0;

  /** `ran`: how long the process has run, of the time that `now` counts. */
  constructor(now: () => number, ran: () => number = threadTime) {
    this.#now = now;
    this.#ran = ran;
  }

  begin(): void {
    const now = this.#now();
    this.#parts.fill(0);
    this.#begunAt = this.#markedAt = now;
    const from = Math.max(this.#due, this.#endedAt);
    const late = Math.max(0, now - from);
    // Of the time that passed since the last turn, what it ran was work of its own.
    const own = late === 0 ? 0 : Math.min(late, this.#ran() - this.#ranAtEnd);
    this.#parts[OTHER] = own;
    this.#parts[WAITING] = late - own;
  }

  /** What was done since the last mark was this. */
  mark(part: Exclude<Part, 'waiting' | 'other'>): void {
    const now = this.#now();
    const index = PARTS.indexOf(part);
    this.#parts[index] = (this.#parts[index] ?? 0) + now - this.#markedAt;
    this.#markedAt = now;
  }

  /** `left`: of the lease when it was renewed; Infinity: nothing is held. */
  renewed(left: number): void {
    if (left < this.#leastLease) this.#leastLease = left;
  }

  /** `due`: when the next turn is, if nothing comes before. Returns how late this one ended. */
  end(due: number): number {
    const now = this.#markedAt;
    const late = Math.max(0, now - Math.min(this.#due, this.#begunAt));
    this.#lastLate = late;
    let bucket = 0;
    while (bucket < LATENESS_BOUNDS.length && late > (LATENESS_BOUNDS[bucket] ?? 0)) bucket += 1;
    this.#turns[bucket] = (this.#turns[bucket] ?? 0) + 1;
    if (late > this.#worstLate) {
      this.#worstLate = late;
      this.#worstAt = Date.now();
      this.#worst.set(this.#parts);
    }
    this.#due = due;
    this.#endedAt = now;
    this.#ranAtEnd = this.#ran();
    return late;
  }

  /** Of the turn that ended last. */
  get last(): LateTurn {
    return lateTurn(this.#parts, this.#lastLate);
  }

  get lateness(): Lateness {
    const late = this.#worstLate;
    return {
      turns: [...this.#turns],
      worst: late === 0 ? null : { ...lateTurn(this.#worst, late), at: this.#worstAt },
      leastLease: this.#leastLease === Infinity ? null : this.#leastLease,
    };
  }

  /** Counts anew: what came before was not in time and need not be. */
  reset(): void {
    this.#turns.fill(0);
    this.#worstLate = 0;
    this.#leastLease = Infinity;
    this.#due = Infinity;
  }
}

function lateTurn(times: Float64Array, late: number): LateTurn {
  let most = 0;
  times.forEach((time, index) => {
    if (time > (times[most] ?? 0)) most = index;
  });
  const parts = Object.fromEntries(
    PARTS.map((part, index) => [part, Math.round((times[index] ?? 0) * 1000) / 1000]),
  ) as Record<Part, number>;
  return { late: Math.round(late * 1000) / 1000, part: PARTS[most] ?? 'waiting', parts };
}
