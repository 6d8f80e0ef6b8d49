/**
 * Connections to members that wait for their next request, a list for each member, the one that
 * waits shortest first: those that nobody needs grow old and are closed.
 *
 * Invariant: a slot is in at most one list.
 */

/** The list of a member: part of its state. */
export interface IdleList {
  /** The slot that waits shortest, or -1. */
  idleHead: number;
  idleCount: number;
}

export class IdleConnections {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #lists: (IdleList | null)[];

  constructor(slots: number) {
    this.#next = new Int32Array(slots).fill(-1);
    this.#previous = new Int32Array(slots).fill(-1);
    this.#lists = new Array<IdleList | null>(slots).fill(null);
  }

  push(list: IdleList, slot: number): void {
    const head = list.idleHead;
    this.#next[slot] = head;
    this.#previous[slot] = -1;
    if (head >= 0) this.#previous[head] = slot;
    list.idleHead = slot;
    list.idleCount += 1;
    this.#lists[slot] = list;
  }

  /** Takes the one that waits shortest, or -1. */
  pop(list: IdleList): number {
    const slot = list.idleHead;
    if (slot >= 0) this.remove(slot);
    return slot;
  }

  /** Those that are in no list are fine. */
  remove(slot: number): void {
    const list = this.#lists[slot];
    if (list === null || list === undefined) return;
    const next = this.#next[slot] as number;
    const previous = this.#previous[slot] as number;
    if (next >= 0) this.#previous[next] = previous;
    if (previous >= 0) this.#next[previous] = next;
    else list.idleHead = next;
    list.idleCount -= 1;
    this.#lists[slot] = null;
  }
}
