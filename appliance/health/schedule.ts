/**
 * When each target is probed: one heap of due times, one timer.
 *
 * A new target is probed at once, or, where many are added together, as soon as FIRST_PROBE_MS for
 * each of those before it have passed. Its later probes lie on a grid of its own, whose offset is a
 * hash of its name: targets spread over the interval, and do so in the same way after every restart.
 *
 * Invariants:
 * - Probes of one target never overlap: the next is scheduled when the last has ended.
 * - At most `concurrency` probes run at once, and at most STARTS_PER_TURN begin in one turn of the
 *   event loop; what waits for that is counted as late.
 */
import { Heap } from './heap.js';

const STARTS_PER_TURN = 64;
/** Between first probes: 5,000 a second, as many as 10,000 members with 2 s have later on. */
const FIRST_PROBE_MS = 0.2;
/** Timers run on multiples of this, so that probes which are due together start together. */
const TICK_MS = 5;
/** A probe that starts this much after its time is late. */
const LATE_MS = 50;

export interface ScheduleStats {
  readonly targets: number;
  readonly running: number;
  /** Probes begun so far. */
  readonly started: number;
  /** Of those, begun more than 50 ms after their time. */
  readonly late: number;
}

/** Told of each start, by benchmarks: milliseconds from a probe's time to its beginning. */
export type OnStart = (lateness: number) => void;

/** Milliseconds of a monotonic clock, and one-shot timers on it: replaced in tests. */
export interface Clock {
  now(): number;
  after(milliseconds: number, callback: () => void): () => void;
  soon(callback: () => void): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (milliseconds, callback) => {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
  soon: (callback) => {
    setImmediate(callback);
  },
};

interface Entry {
  readonly id: string;
  readonly interval: number;
  /** Of its grid, from the clock's zero; below the interval. */
  readonly offset: number;
  due: number;
  /** No longer scheduled: skipped when it surfaces. */
  cancelled: boolean;
}

export class ProbeSchedule {
  readonly #heap = new Heap<Entry>((entry) => entry.due);
  readonly #entries = new Map<string, Entry>();
  readonly #probe: (id: string) => Promise<void>;
  readonly #concurrency: number;
  readonly #clock: Clock;
  readonly #onStart: OnStart | null;
  #nextFirst = 0;
  #cancelTimer: (() => void) | null = null;
  #timerAt = Infinity;
  #running = 0;
  #started = 0;
  #late = 0;
  #closed = false;

  /** `probe` runs one probe to its end; a rejection is the caller's bug and surfaces as such. */
  constructor(options: {
    readonly probe: (id: string) => Promise<void>;
    readonly concurrency: number;
    readonly clock?: Clock;
    readonly onStart?: OnStart;
  }) {
    this.#probe = options.probe;
    this.#concurrency = options.concurrency;
    this.#clock = options.clock ?? systemClock;
    this.#onStart = options.onStart ?? null;
  }

  /** Adds a target, or gives it another interval (milliseconds): either way it is due soon. */
  set(id: string, interval: number): void {
    this.delete(id);
    const due = Math.max(this.#clock.now(), this.#nextFirst);
    this.#nextFirst = due + FIRST_PROBE_MS;
    const offset = (hash(id) / 2 ** 32) * interval;
    const entry: Entry = { id, interval, offset, due, cancelled: false };
    this.#entries.set(id, entry);
    this.#heap.push(entry);
    this.#arm();
  }

  delete(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.cancelled = true;
    this.#entries.delete(id);
  }

  stats(): ScheduleStats {
    return {
      targets: this.#entries.size,
      running: this.#running,
      started: this.#started,
      late: this.#late,
    };
  }

  close(): void {
    this.#closed = true;
    this.#disarm();
    this.#entries.clear();
  }

  #arm(): void {
    if (this.#closed || this.#running >= this.#concurrency) return;
    let next = this.#heap.peek();
    while (next?.cancelled === true) {
      this.#heap.pop();
      next = this.#heap.peek();
    }
    if (next === undefined || next.due >= this.#timerAt) return;
    this.#disarm();
    this.#timerAt = next.due;
    const now = this.#clock.now();
    const tick = Math.ceil(next.due / TICK_MS) * TICK_MS;
    const wait = next.due <= now ? 0 : Math.ceil(tick - now);
    this.#cancelTimer = this.#clock.after(wait, () => {
      this.#cancelTimer = null;
      this.#timerAt = Infinity;
      this.#startDue();
    });
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#timerAt = Infinity;
  }

  #startDue(): void {
    if (this.#closed) return;
    const now = this.#clock.now();
    for (let starts = 0; this.#running < this.#concurrency; starts += 1) {
      const next = this.#heap.peek();
      if (next === undefined || next.due > now) break;
      if (starts === STARTS_PER_TURN) {
        this.#clock.soon(() => this.#startDue());
        return;
      }
      this.#heap.pop();
      if (!next.cancelled) this.#start(next, now);
    }
    this.#arm();
  }

  #start(entry: Entry, now: number): void {
    this.#running += 1;
    this.#started += 1;
    const lateness = now - entry.due;
    if (lateness > LATE_MS) this.#late += 1;
    this.#onStart?.(lateness);
    // A rejection stays unhandled on purpose: it is a bug, and node ends the process with it.
    void this.#probe(entry.id).finally(() => {
      this.#running -= 1;
      if (!entry.cancelled && !this.#closed) {
        entry.due = nextDue(entry, now, this.#clock.now());
        this.#heap.push(entry);
      }
      this.#arm();
    });
  }
}

/**
 * The next time of a target's own grid that is at least half an interval after the last start and
 * not in the past.
 */
export function nextDue(
  { offset, interval }: { readonly offset: number; readonly interval: number },
  lastStart: number,
  now: number,
): number {
  const earliest = Math.max(lastStart + interval / 2, now);
  return Math.ceil((earliest - offset) / interval) * interval + offset;
}

/** FNV-1a, then the finaliser of MurmurHash3 (both public domain): 32 bits, evenly spread. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
