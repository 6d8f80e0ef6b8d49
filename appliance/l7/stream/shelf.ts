/**
 * Where the first bytes of a client wait when receive buffers are scarce: memory of its own, which
 * grows with what came. Otherwise so many slow clients as there are buffers could stop all others.
 *
 * Invariant: what is here came before everything that the client's chain of buffers holds.
 */
import type { Chains } from '../ring/chains.js';

const FIRST = 512;
/** What is larger stays in its buffers. */
const MOST = 32_768;
/** Memory that is kept for the next client. */
const KEPT = 4096;

const nothing = new Uint8Array(0);

export class Shelf {
  bytes: Uint8Array = nothing;
  length = 0;

  /** Moves a whole chain here, if it fits, and releases its buffers. Whether it did. */
  take(chains: Chains, chain: number): boolean {
    const length = this.length + (chains.bytes[chain] as number);
    if (length > MOST) return false;
    if (length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(FIRST, 2 ** Math.ceil(Math.log2(length))));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    const { pool } = chains;
    for (let id = chains.head[chain] as number; id >= 0; id = pool.next[id] as number) {
      const from = id * pool.size + (pool.start[id] as number);
      const count = pool.length[id] as number;
      this.bytes.set(pool.bytes.subarray(from, from + count), this.length);
      this.length += count;
    }
    chains.clear(chain);
    return true;
  }

  /** Copies the first bytes from here and from the chain behind. Returns how many there were room for. */
  copyFirst(chains: Chains, chain: number, target: Uint8Array): number {
    let count = Math.min(this.length, target.length);
    for (let at = 0; at < count; at += 1) target[at] = this.bytes[at] as number;
    const { pool } = chains;
    for (let id = chains.head[chain] as number; id >= 0; id = pool.next[id] as number) {
      const from = id * pool.size + (pool.start[id] as number);
      const end = from + (pool.length[id] as number);
      for (let at = from; at < end && count < target.length; at += 1) {
        target[count++] = pool.bytes[at] as number;
      }
    }
    return count;
  }

  clear(): void {
    this.length = 0;
    if (this.bytes.length > KEPT) this.bytes = nothing;
  }
}
