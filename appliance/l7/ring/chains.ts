/**
 * Bodies as chains of slices: each link is a buffer with its `start` and `length`, linked through
 * the pool's own arrays, so that nothing is allocated and a chain of any length moves in one step.
 *
 * Invariants:
 * - Every buffer in these chains belongs to `owner`, and to one chain.
 * - No link is empty. Two neighbours never fit together into the first one's buffer when the
 *   second was appended: a sender of single bytes does not hold a buffer for each.
 */
import type { BufferPool } from './buffer-pool.js';

/** From here on a copy by the engine is worth the view that it costs. */
const WORTH_A_VIEW = 256;

function copy(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  count: number,
): void {
  if (source === target) target.copyWithin(to, from, from + count);
  else if (count >= WORTH_A_VIEW) target.set(source.subarray(from, from + count), to);
  else
    for (let index = 0; index < count; index += 1)
      target[to + index] = source[from + index] as number;
}

export class Chains {
  readonly pool: BufferPool;
  readonly owner: number;
  /** First and last buffer of each chain, or -1. */
  readonly head: Int32Array;
  readonly tail: Int32Array;
  /** Bytes and buffers in each chain. */
  readonly bytes: Int32Array;
  readonly buffers: Int32Array;

  constructor(pool: BufferPool, count: number, owner: number) {
    this.pool = pool;
    this.owner = owner;
    this.head = new Int32Array(count).fill(-1);
    this.tail = new Int32Array(count).fill(-1);
    this.bytes = new Int32Array(count);
    this.buffers = new Int32Array(count);
  }

  /** Puts a buffer of `from` at the end; it belongs to the chain now, or is released already. */
  append(chain: number, id: number, from: number): void {
    const { pool } = this;
    const length = pool.length[id] as number;
    if (length === 0) {
      pool.release(id, from);
      return;
    }
    this.bytes[chain] = (this.bytes[chain] as number) + length;
    const last = this.tail[chain] as number;
    if (last >= 0) {
      const begin = (pool.start[last] as number) + (pool.length[last] as number);
      if (begin + length <= pool.size) {
        // The kernel may be sending what is before `begin`; what is behind is nobody's.
        pool.check(id, from);
        const source = id * pool.size + (pool.start[id] as number);
        pool.bytes.copyWithin(last * pool.size + begin, source, source + length);
        pool.length[last] = (pool.length[last] as number) + length;
        pool.release(id, from);
        return;
      }
    }
    const kept = pool.scarce && id < pool.receiving ? this.#moved(id, from) : id;
    if (kept === id) pool.pass(id, from, this.owner);
    pool.next[kept] = -1;
    if (last >= 0) pool.next[last] = kept;
    else this.head[chain] = kept;
    this.tail[chain] = kept;
    this.buffers[chain] = (this.buffers[chain] as number) + 1;
  }

  /** What has to wait leaves its receive buffer to others, if there is a working one for it. */
  #moved(id: number, from: number): number {
    const { pool } = this;
    const other = pool.take(this.owner);
    if (other < 0) return id;
    const start = id * pool.size + (pool.start[id] as number);
    const length = pool.length[id] as number;
    pool.bytes.copyWithin(other * pool.size, start, start + length);
    pool.length[other] = length;
    pool.release(id, from);
    return other;
  }

  /** What a chain holds of a window, in buffers; a large one counts as what is in it. */
  held(chain: number): number {
    const buffers = this.buffers[chain] as number;
    const full = ((this.bytes[chain] as number) / this.pool.size) | 0;
    return full > buffers ? full : buffers;
  }

  /** Copies bytes to the end, into working buffers. Returns how many found room. */
  copyIn(chain: number, source: Uint8Array, start: number, length: number): number {
    const { pool } = this;
    let done = 0;
    while (done < length) {
      const last = this.tail[chain] as number;
      const begin =
        last < 0 ? pool.size : (pool.start[last] as number) + (pool.length[last] as number);
      let id = last;
      let offset = begin;
      if (begin >= pool.size) {
        id = pool.take(this.owner);
        if (id < 0) return done;
        offset = 0;
        if (last >= 0) pool.next[last] = id;
        else this.head[chain] = id;
        this.tail[chain] = id;
        this.buffers[chain] = (this.buffers[chain] as number) + 1;
      }
      const count = Math.min(length - done, pool.size - offset);
      const target = id * pool.size + offset;
      const from = start + done;
      copy(source, from, pool.bytes, target, count);
      pool.length[id] = (pool.length[id] as number) + count;
      this.bytes[chain] = (this.bytes[chain] as number) + count;
      done += count;
    }
    return done;
  }

  /** Takes the first buffer out, for `to`; -1 when the chain is empty. */
  shift(chain: number, to: number): number {
    const { pool } = this;
    const id = this.head[chain] as number;
    if (id < 0) return -1;
    const next = pool.next[id] as number;
    this.head[chain] = next;
    if (next < 0) this.tail[chain] = -1;
    pool.next[id] = -1;
    this.bytes[chain] = (this.bytes[chain] as number) - (pool.length[id] as number);
    this.buffers[chain] = (this.buffers[chain] as number) - 1;
    pool.pass(id, this.owner, to);
    return id;
  }

  /** Drops `count` bytes from the front and releases the buffers that are empty then. */
  consume(chain: number, count: number): void {
    const { pool } = this;
    let left = Math.min(count, this.bytes[chain] as number);
    while (left > 0) {
      const id = this.head[chain] as number;
      const length = pool.length[id] as number;
      if (length > left) {
        pool.check(id, this.owner);
        pool.start[id] = (pool.start[id] as number) + left;
        pool.length[id] = length - left;
        this.bytes[chain] = (this.bytes[chain] as number) - left;
        return;
      }
      left -= length;
      pool.release(this.shift(chain, this.owner), this.owner);
    }
  }

  /** Releases all of a chain. */
  clear(chain: number): void {
    while ((this.head[chain] as number) >= 0) {
      this.pool.release(this.shift(chain, this.owner), this.owner);
    }
  }

  /** Moves all of `from` to the end of `chain` of other chains of the same pool, uncopied. */
  moveTo(from: number, target: Chains, chain: number): void {
    const { pool } = this;
    const first = this.head[from] as number;
    if (first < 0) return;
    if (pool.checked && target.owner !== this.owner) {
      for (let id = first; id >= 0; id = pool.next[id] as number) {
        pool.pass(id, this.owner, target.owner);
      }
    }
    const last = target.tail[chain] as number;
    if (last >= 0) pool.next[last] = first;
    else target.head[chain] = first;
    target.tail[chain] = this.tail[from] as number;
    target.bytes[chain] = (target.bytes[chain] as number) + (this.bytes[from] as number);
    target.buffers[chain] = (target.buffers[chain] as number) + (this.buffers[from] as number);
    this.head[from] = -1;
    this.tail[from] = -1;
    this.bytes[from] = 0;
    this.buffers[from] = 0;
  }
}
