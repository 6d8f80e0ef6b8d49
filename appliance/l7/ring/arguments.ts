/**
 * Structures that the kernel reads while an operation is under way, at a fixed place for each slot:
 * a sockaddr while it connects, a struct msghdr with its struct iovec while it sends.
 *
 * Invariant: a slot has at most one such operation under way (it connects before it sends, and one
 * send follows the other), so its place is never rewritten under the kernel's eyes.
 */
import { Mapping, pageSize } from '../../../native/ffi/memory.js';
import { partAddresses } from './addresses.js';
import type { BufferPool } from './buffer-pool.js';

const BYTES = 256;
const WORDS = BYTES / 4;
/** Words of struct msghdr: name, iovec and control with their lengths, flags. */
const IOV = 4;
const IOV_COUNT = 6;
const HEADER_WORDS = 14;
const IOV_AT = 64;
/** Slices that one send gathers. */
export const MOST_SLICES = (BYTES - IOV_AT) / 16;

export class ArgumentBlocks {
  /** Address of each slot's place. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #mapping: Mapping;

  constructor(slots: number) {
    this.#mapping = Mapping.anonymous(Math.ceil((slots * BYTES) / pageSize) * pageSize);
    this.#words = new Int32Array(this.#mapping.buffer);
    this.#bytes = new Uint8Array(this.#mapping.buffer);
    const { low, high } = partAddresses(this.#mapping.address, BYTES, slots);
    this.low = low;
    this.high = high;
  }

  setAddress(slot: number, address: Uint8Array): void {
    this.#bytes.set(address, slot * BYTES);
  }

  /** Gathers a chain from its first buffer on. Returns how many buffers are in it. */
  gather(slot: number, pool: BufferPool, first: number): number {
    const words = this.#words;
    const base = slot * WORDS;
    let at = base + IOV_AT / 4;
    let count = 0;
    for (let id = first; id >= 0 && count < MOST_SLICES; id = pool.next[id] as number) {
      words[at] = (pool.low[id] as number) + (pool.start[id] as number);
      words[at + 1] = pool.high[id] as number;
      words[at + 2] = pool.length[id] as number;
      words[at + 3] = 0;
      at += 4;
      count += 1;
    }
    for (let word = 0; word < HEADER_WORDS; word += 1) words[base + word] = 0;
    words[base + IOV] = (this.low[slot] as number) + IOV_AT;
    words[base + IOV + 1] = this.high[slot] as number;
    words[base + IOV_COUNT] = count;
    return count;
  }

  /** The kernel reads none of them any more. */
  close(): void {
    this.#mapping.close();
  }
}
