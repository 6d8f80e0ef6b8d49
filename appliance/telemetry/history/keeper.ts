/**
 * Keeps history: takes a sample a second, and writes a few archives at a time to the disk.
 *
 * Invariant: how long an interval was is what the monotonic clock says; one in which the time of day
 * went another way, or that is much too long (the unit was suspended), is a gap.
 */
import type { HistorySpan, TrafficHistory } from '../../api/history-contract.js';
import { History } from './history.js';
import type { HistoryStore } from './history-store.js';
import type { Sample } from './series.js';

/** Beyond that time of day and monotonic time disagree about an interval, in milliseconds. */
const SLEW_MS = 500;
const LONGEST_MS = 10_000;
/** As seldom is a series written while nothing ends, and as many at most with each sample. */
const SAVE_MS = 600_000;
const SAVES = 4;

/** Milliseconds: since 1970, and of a clock that only goes on. */
export interface Moment {
  readonly time: number;
  readonly monotonic: number;
}

/** What a moment's sample is made of; null: there is nothing to record. */
export type Gather = (seconds: number) => ReadonlyMap<string, Sample>;

export class HistoryKeeper {
  readonly #history = new History();
  readonly #store: HistoryStore;
  readonly #saved = new Map<string, number>();
  #last: Moment | null = null;

  constructor(store: HistoryStore) {
    this.#store = store;
    store.load(this.#history);
  }

  /** `gather` gives the rates of the interval since the last call; it is not asked for a gap. */
  step(now: Moment, gather: Gather): void {
    const last = this.#last;
    this.#last = now;
    if (last !== null) {
      const interval = now.monotonic - last.monotonic;
      const jumped = Math.abs(now.time - last.time - interval) > SLEW_MS;
      if (interval > 0 && interval <= LONGEST_MS && !jumped) {
        const samples = gather(interval / 1000);
        const gone = this.#history.add(now.time - interval, now.time, samples);
        if (gone.length > 0) this.#store.forget(gone);
        for (const name of gone) this.#saved.delete(name);
        this.#save(samples.keys(), now.monotonic);
      }
    }
  }

  /** Null for what has no history. */
  read(name: string, span: HistorySpan, time: number): TrafficHistory | null {
    return this.#history.read(name, span, time);
  }

  close(): void {
    this.#store.save(this.#history, this.#history.names);
    this.#store.close();
  }

  #save(names: Iterable<string>, monotonic: number): void {
    const due: string[] = [];
    for (const name of names) {
      const saved = this.#saved.get(name);
      if (saved === undefined) this.#saved.set(name, monotonic);
      else if (monotonic - saved >= SAVE_MS) due.push(name);
      if (due.length >= SAVES) break;
    }
    if (due.length === 0) return;
    // One that cannot be written has its turn again as late as the others.
    this.#store.save(this.#history, due);
    for (const name of due) this.#saved.set(name, monotonic);
  }
}
