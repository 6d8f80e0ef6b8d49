/**
 * Sends of which the kernel tells only that they failed (`Sending.quietly`): which ones are under
 * way, and which of them are over when a call of the kernel is.
 *
 * Invariant: a send is in the list from the turn in which it is handed over until it is known what
 * became of it; while any is left of an earlier turn, no more is added.
 */
import { Kind, type Ring } from './ring.js';

export class QuietSends {
  /** By place in the list: the slot and the bytes that it sends. */
  readonly slots: Int32Array;
  readonly bytes: Int32Array;
  /** Whether more may be added in this turn. */
  open = true;
  #count = 0;
  readonly #ring: Ring;
  /** By slot: the last call after which there was a completion of its send. */
  readonly #told: Int32Array;
  #call = 0;

  constructor(ring: Ring, slots: number) {
    this.#ring = ring;
    this.slots = new Int32Array(slots);
    this.bytes = new Int32Array(slots);
    this.#told = new Int32Array(slots);
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  /** A turn begins. */
  settle(): void {
    this.open = this.#count === 0;
  }

  add(slot: number, bytes: number): void {
    this.slots[this.#count] = slot;
    this.bytes[this.#count++] = bytes;
  }

  /**
   * Ends the list, when all completions are at hand but none is taken. Returns how many places it
   * had: those of `told` slots failed, as their completions say, and the others were sent.
   */
  end(): number {
    if (this.#count === 0 || !this.#ring.complete) return 0;
    this.#call = (this.#call + 1) | 0;
    this.#ring.mark(Kind.send, this.#told, this.#call);
    const count = this.#count;
    this.#count = 0;
    return count;
  }

  told(slot: number): boolean {
    return this.#told[slot] === this.#call;
  }
}
