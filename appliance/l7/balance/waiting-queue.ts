/**
 * Exchanges that wait until a member of their pool has room: first in, first out, with a bound over
 * all workers. Deadlines are the engine's, which removes whom they strike.
 *
 * Room is often made in another worker, which does not know who waits here: while `length` is above
 * 0 the engine tries again whenever a request of its own ends, and every few milliseconds.
 *
 * Invariant: an exchange waits in one queue at most; all queues of a worker share the links.
 */
import type { BalanceMemory } from './memory.js';

export class WaitingLinks {
  readonly next: Int32Array;
  readonly previous: Int32Array;
  /** Row of the queue's count that it waits in, and one; 0: none. */
  readonly where: Int32Array;

  /** @param exchanges numbers from 0 to this, not included, may wait */
  constructor(exchanges: number) {
    this.next = new Int32Array(exchanges).fill(-1);
    this.previous = new Int32Array(exchanges).fill(-1);
    this.where = new Int32Array(exchanges);
  }
}

export class WaitingQueue {
  /** Those of this worker. */
  length = 0;
  readonly #memory: BalanceMemory;
  readonly #links: WaitingLinks;
  readonly #row: number;
  #head = -1;
  #tail = -1;

  /** @param row of the pool in shared memory @param limit that the latest snapshot gives, of all workers */
  constructor(
    memory: BalanceMemory,
    links: WaitingLinks,
    row: number,
    public limit: number,
  ) {
    this.#memory = memory;
    this.#links = links;
    this.#row = memory.waitingRow(row);
  }

  /** Those of all workers. */
  get all(): number {
    return this.#memory.counts[this.#row] as number;
  }

  /** False: so many wait already, or it waits. */
  push(exchange: number): boolean {
    const { next, previous, where } = this.#links;
    if (this.limit === 0 || where[exchange] !== 0) return false;
    if (!this.#memory.add(this.#row, this.limit)) return false;
    where[exchange] = this.#row + 1;
    next[exchange] = -1;
    previous[exchange] = this.#tail;
    if (this.#tail >= 0) next[this.#tail] = exchange;
    else this.#head = exchange;
    this.#tail = exchange;
    this.length += 1;
    return true;
  }

  /** False: it does not wait here. */
  remove(exchange: number): boolean {
    const { next, previous, where } = this.#links;
    if (where[exchange] !== this.#row + 1) return false;
    where[exchange] = 0;
    const after = next[exchange] as number;
    const before = previous[exchange] as number;
    if (after >= 0) previous[after] = before;
    else this.#tail = before;
    if (before >= 0) next[before] = after;
    else this.#head = after;
    this.length -= 1;
    this.#memory.subtract(this.#row);
    return true;
  }

  /** The one that waits longest stays where it is; -1: nobody waits. */
  first(): number {
    return this.#head;
  }

  /** Takes the one out that waits longest; -1: nobody waits. */
  shift(): number {
    const exchange = this.#head;
    if (exchange >= 0) this.remove(exchange);
    return exchange;
  }
}
