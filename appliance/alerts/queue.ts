/**
 * What one target is still to be told, the oldest first.
 *
 * Invariant: at most `MOST_WAITING` alerts; beyond that the oldest of the least severe goes, and is
 * counted. All of it is in the store too, but for counts that grew.
 */
import { add, begin, keyOf, type Occurrence, type Waiting } from './alert.js';
import { rank } from '../config/severities.js';

export const MOST_WAITING = 1000;
/** Nobody needs to be told any more of what is older. */
const OLDEST_MS = 24 * 3_600_000;

/** Where waiting alerts outlive the daemon. */
export interface WaitingStore {
  put(target: string, waiting: Waiting): void;
  remove(target: string, id: string): void;
}

export class AlertQueue {
  readonly #target: string;
  readonly #store: WaitingStore;
  readonly #all = new Map<string, Waiting>();
  /** Those that may still be added to, by what they are about. */
  readonly #open = new Map<string, Waiting>();
  /** Those that are on their way: they are not made room of. */
  readonly #taken = new Set<string>();

  constructor(target: string, store: WaitingStore, kept: readonly Waiting[]) {
    this.#target = target;
    this.#store = store;
    for (const waiting of kept) {
      this.#all.set(waiting.id, waiting);
      this.#open.set(keyOf(waiting), waiting);
    }
  }

  get length(): number {
    return this.#all.size;
  }

  /** Returns how many alerts had no room: 0 or 1. */
  offer(next: Occurrence, unit: string, group: number, now: number): number {
    const key = keyOf(next);
    const open = this.#open.get(key);
    if (open !== undefined && !sealed(open, now, group)) {
      if (add(open, next)) this.#store.put(this.#target, open);
      return 0;
    }
    let lost = 0;
    if (this.#all.size >= MOST_WAITING) {
      lost = 1;
      const least = this.#least();
      if (least === null || rank(least.severity) > rank(next.severity)) return lost;
      this.remove(least.id);
    }
    const waiting = begin(next, unit, now + group);
    this.#all.set(waiting.id, waiting);
    this.#open.set(key, waiting);
    this.#store.put(this.#target, waiting);
    return lost;
  }

  /** Those that nothing is added to any more; they are the caller's until `remove` or `giveBack`. */
  take(most: number, group: number, now: number): Waiting[] {
    const found: Waiting[] = [];
    for (const waiting of this.#all.values()) {
      if (found.length >= most) break;
      if (!sealed(waiting, now, group)) continue;
      this.#taken.add(waiting.id);
      this.#close(waiting);
      found.push(waiting);
    }
    return found;
  }

  giveBack(taken: readonly Waiting[]): void {
    for (const { id } of taken) this.#taken.delete(id);
  }

  remove(id: string): void {
    const waiting = this.#all.get(id);
    this.#taken.delete(id);
    if (waiting === undefined) return;
    this.#all.delete(id);
    this.#close(waiting);
    this.#store.remove(this.#target, id);
  }

  /** Gives up what is too old; returns how many. */
  expire(now: number): number {
    const old = [...this.#all.values()].filter(
      ({ id, last }) => now - last > OLDEST_MS && !this.#taken.has(id),
    );
    for (const { id } of old) this.remove(id);
    return old.length;
  }

  /** When something can be taken, milliseconds since 1970; null while nothing waits. */
  nextAt(): number | null {
    let next: number | null = null;
    for (const { sealAt } of this.#all.values()) next = Math.min(next ?? sealAt, sealAt);
    return next;
  }

  #close(waiting: Waiting): void {
    const key = keyOf(waiting);
    if (this.#open.get(key) === waiting) this.#open.delete(key);
  }

  #least(): Waiting | null {
    let least: Waiting | null = null;
    for (const waiting of this.#all.values()) {
      if (this.#taken.has(waiting.id)) continue;
      if (least === null || rank(waiting.severity) < rank(least.severity)) least = waiting;
    }
    return least;
  }
}

/** Also when the clock was set back: nothing waits for longer than its window. */
function sealed({ sealAt }: Waiting, now: number, group: number): boolean {
  return sealAt <= now || sealAt - now > group;
}
