/**
 * The connections of a worker as rows of typed arrays: descriptor, generation, state.
 *
 * Invariants:
 * - A slot is given out again only after the kernel is done with everything that it did for it, and
 *   with the next generation: who kept (slot, generation) finds out that it is another one.
 * - `state` is 0 exactly while nobody has the slot.
 */

/** Bits of a slot's state. */
export const State = {
  /** Somebody has it. */
  open: 1 << 0,
  /** Operations under way. */
  connecting: 1 << 1,
  receiving: 1 << 2,
  sending: 1 << 3,
  closingDescriptor: 1 << 5,
  /** The receive under way was told to end. */
  stopping: 1 << 6,
  /** Nothing more will be received: the peer's end, or an error. */
  ended: 1 << 7,
  /** Sending failed. */
  sendFailed: 1 << 8,
  /** The sending side is to end once everything is sent; it did. */
  finishing: 1 << 9,
  finished: 1 << 10,
  /** To be closed; its operations were told to end. */
  closing: 1 << 11,
  cancelled: 1 << 12,
  /** To be closed when everything is sent. */
  leaving: 1 << 14,
  /** The descriptor is closed; a receive that was told to end is not yet over. */
  descriptorClosed: 1 << 15,
  /** In the list of those that are looked at before the turn ends. */
  touched: 1 << 13,
  /** The send under way is one of which the kernel tells only that it failed; the last one did. */
  quiet: 1 << 17,
  blocked: 1 << 4,
  /** The last receive left bytes in the socket. */
  more: 1 << 16,
  /** Not plain: the transport is between the wire and the handler. */
  secure: 1 << 18,
} as const;

/** Operations that must be over before the descriptor is closed. */
export const UNDER_WAY = State.connecting | State.receiving | State.sending;

export class Slots {
  readonly count: number;
  readonly fd: Int32Array;
  readonly generation: Int32Array;
  readonly state: Int32Array;
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(count: number) {
    this.count = count;
    this.fd = new Int32Array(count).fill(-1);
    this.generation = new Int32Array(count);
    this.state = new Int32Array(count);
    this.#free = new Int32Array(count);
    for (let index = 0; index < count; index += 1) this.#free[index] = count - 1 - index;
    this.#freeCount = count;
  }

  /** Slots that nobody has. */
  get free(): number {
    return this.#freeCount;
  }

  /** A slot for a descriptor, or -1 when all are taken. */
  take(fd: number, state: number): number {
    if (this.#freeCount === 0) return -1;
    const slot = this.#free[--this.#freeCount] as number;
    this.fd[slot] = fd;
    this.state[slot] = state | State.open;
    return slot;
  }

  give(slot: number): void {
    this.fd[slot] = -1;
    this.state[slot] = 0;
    this.generation[slot] = ((this.generation[slot] as number) + 1) | 0;
    this.#free[this.#freeCount++] = slot;
  }

  /** Whether (slot, generation) is still who it was. */
  is(slot: number, generation: number): boolean {
    return this.state[slot] !== 0 && this.generation[slot] === generation;
  }
}
