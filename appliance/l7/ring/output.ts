/**
 * What connections have to send: a chain for each slot, sent from its front, one operation at a time.
 *
 * Invariant: buffers that the kernel reads belong to `Owner.sending` and stay in the chain until the
 * operation is over; what is appended meanwhile goes behind them, into the last one's free bytes too.
 */
import type { ArgumentBlocks } from './arguments.js';
import { type BufferPool, Owner } from './buffer-pool.js';
import { Chains } from './chains.js';
import { Kind, type Ring, tagOf } from './ring.js';

export class Output extends Chains {
  readonly #ring: Ring;
  readonly #blocks: ArgumentBlocks;
  /** Buffers that the kernel reads, by slot. */
  readonly #reading: Int32Array;

  constructor(pool: BufferPool, ring: Ring, blocks: ArgumentBlocks, slots: number) {
    super(pool, slots, Owner.output);
    this.#ring = ring;
    this.#blocks = blocks;
    this.#reading = new Int32Array(slots);
  }

  /** Whether all that is to be sent lies in one buffer. */
  isOne(slot: number): boolean {
    return this.head[slot] === this.tail[slot];
  }

  /**
   * Sends from the front of a chain that is not empty, in a manner of `Sending`: what lies in
   * several buffers plainly in any case.
   */
  begin(slot: number, fd: number, generation: number, manner: number): void {
    const { pool } = this;
    const tag = tagOf(Kind.send, slot);
    const first = this.head[slot] as number;
    let count = 1;
    if ((pool.next[first] as number) < 0) {
      const low = ((pool.low[first] as number) + (pool.start[first] as number)) | 0;
      const length = pool.length[first] as number;
      const high = pool.high[first] as number;
      this.#ring.send(fd, low, high, length, manner, tag, generation);
    } else {
      count = this.#blocks.gather(slot, pool, first);
      const low = this.#blocks.low[slot] as number;
      this.#ring.sendMessage(fd, low, this.#blocks.high[slot] as number, tag, generation);
    }
    this.#reading[slot] = count;
    if (pool.checked) this.#pass(slot, Owner.output, Owner.sending);
  }

  /** The operation is over. */
  end(slot: number): void {
    if (this.pool.checked) this.#pass(slot, Owner.sending, Owner.output);
    this.#reading[slot] = 0;
  }

  #pass(slot: number, from: number, to: number): void {
    let id = this.head[slot] as number;
    for (let left = this.#reading[slot] as number; left > 0; left -= 1) {
      this.pool.pass(id, from, to);
      id = this.pool.next[id] as number;
    }
  }
}
