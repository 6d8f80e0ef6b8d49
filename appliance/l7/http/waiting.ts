/**
 * Exchanges that wait until a member of their pool has room, in the order in which they came.
 *
 * Invariant: an exchange is in at most one list, and in none once it has a member or an answer.
 */
export interface Waiter {
  before: Waiter | null;
  behind: Waiter | null;
  list: WaitingList | null;
}

/** Places in the queues of all workers together. */
export interface WaitingPlaces {
  /** Takes one; false: there is none. */
  take(): boolean;
  give(): void;
}

export class WaitingList {
  first: Waiter | null = null;
  #last: Waiter | null = null;
  length = 0;

  constructor(private readonly places: WaitingPlaces) {}

  /** False: there is no place. */
  push(waiter: Waiter): boolean {
    if (!this.places.take()) return false;
    waiter.list = this;
    waiter.before = this.#last;
    waiter.behind = null;
    if (this.#last === null) this.first = waiter;
    else this.#last.behind = waiter;
    this.#last = waiter;
    this.length += 1;
    return true;
  }

  remove(waiter: Waiter): void {
    const { before, behind } = waiter;
    if (before === null) this.first = behind;
    else before.behind = behind;
    if (behind === null) this.#last = before;
    else behind.before = before;
    waiter.before = null;
    waiter.behind = null;
    waiter.list = null;
    this.length -= 1;
    this.places.give();
  }
}
