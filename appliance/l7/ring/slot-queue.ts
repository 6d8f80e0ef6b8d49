/**
 * A queue of slots in typed arrays, first in, first out, from which any slot can leave at any time.
 *
 * Invariant: a slot is in it at most once; adding it again changes nothing.
 */
export class SlotQueue {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #inside: Uint8Array;
  #head = -1;
  #tail = -1;

  constructor(slots: number) {
    this.#next = new Int32Array(slots).fill(-1);
    this.#previous = new Int32Array(slots).fill(-1);
    this.#inside = new Uint8Array(slots);
  }

  get empty(): boolean {
    return this.#head < 0;
  }

  add(slot: number): void {
    if (this.#inside[slot] === 1) return;
    this.#inside[slot] = 1;
    this.#next[slot] = -1;
    this.#previous[slot] = this.#tail;
    if (this.#tail >= 0) this.#next[this.#tail] = slot;
    else this.#head = slot;
    this.#tail = slot;
  }

  remove(slot: number): void {
    if (this.#inside[slot] !== 1) return;
    this.#inside[slot] = 0;
    const next = this.#next[slot] as number;
    const previous = this.#previous[slot] as number;
    if (next >= 0) this.#previous[next] = previous;
    else this.#tail = previous;
    if (previous >= 0) this.#next[previous] = next;
    else this.#head = next;
  }

  /** Takes the first one out; -1 when there is none. */
  shift(): number {
    const slot = this.#head;
    if (slot >= 0) this.remove(slot);
    return slot;
  }
}
