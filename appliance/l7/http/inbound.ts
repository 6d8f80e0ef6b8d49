/**
 * What a connection has received and nobody has used yet: one buffer in hand, more behind it in a
 * chain. Positions are indices in the pool's bytes.
 *
 * Invariants:
 * - `buffer` is -1, or belongs to Owner.handler and holds [at, end); what is before `at` is used.
 * - Bytes that must lie together (heads, trailers) are made to by compact() and join(); all else is
 *   used or handed on where it arrived.
 */
import { Owner, type BufferPool } from '../ring/buffer-pool.js';
import type { Chains } from '../ring/chains.js';

export class Inbound {
  buffer = -1;
  at = 0;
  end = 0;

  /** `queue`: chains by slot of buffers behind the one in hand. */
  constructor(
    readonly slot: number,
    private readonly pool: BufferPool,
    private readonly queue: Chains,
  ) {}

  /** Buffers that are held. */
  get held(): number {
    const first = this.buffer < 0 ? 0 : 1 + (((this.end - this.at) / this.pool.size) | 0);
    return first + this.queue.held(this.slot);
  }

  get empty(): boolean {
    return this.at === this.end && (this.queue.head[this.slot] as number) < 0;
  }

  /** Takes over a buffer that was just received. */
  add(id: number): void {
    const { pool, queue, slot } = this;
    const length = pool.length[id] as number;
    const from = id * pool.size + (pool.start[id] as number);
    if (this.buffer < 0) {
      this.buffer = id;
      this.at = from;
      this.end = from + length;
      return;
    }
    const room = this.#free;
    if ((queue.head[slot] as number) < 0 && length <= room) {
      // A sender of single bytes does not hold a buffer for each.
      pool.bytes.copyWithin(this.end, from, from + length);
      this.end += length;
      pool.release(id, Owner.handler);
      return;
    }
    queue.append(slot, id, Owner.handler);
  }

  /** Makes sure that there is a byte at `at`. Whether there is one. */
  fill(): boolean {
    if (this.at < this.end) return true;
    if (this.buffer >= 0) this.pool.release(this.buffer, Owner.handler);
    return this.#shift();
  }

  /** Gives the bytes in hand away, as the slice of the buffer that is returned; Owner.handler has it. */
  detach(): number {
    const id = this.buffer;
    this.pool.start[id] = this.at - id * this.pool.size;
    this.pool.length[id] = this.end - this.at;
    this.#shift();
    return id;
  }

  /** As detach(), of whatever is here; -1: nothing is. */
  give(): number {
    return this.fill() ? this.detach() : -1;
  }

  /** Moves [at, end) to the beginning of its buffer. Returns by how much: 0 or less. */
  compact(): number {
    const begin = this.buffer * this.pool.size;
    const delta = begin - this.at;
    if (delta === 0) return 0;
    this.pool.bytes.copyWithin(begin, this.at, this.end);
    this.at = begin;
    this.end += delta;
    return delta;
  }

  /** Copies bytes of the next buffer behind those in hand. Whether there were some, and room. */
  join(): boolean {
    const { pool, queue, slot } = this;
    const next = queue.head[slot] as number;
    if (next < 0 || this.buffer < 0) return false;
    const room = this.#free;
    const length = pool.length[next] as number;
    const count = length < room ? length : room;
    if (count <= 0) return false;
    const from = next * pool.size + (pool.start[next] as number);
    pool.bytes.copyWithin(this.end, from, from + count);
    this.end += count;
    queue.consume(slot, count);
    return true;
  }

  /**
   * Where receive buffers get scarce, what has to wait moves to a working buffer: whoever sends half a
   * head, or requests ahead, takes none from the others. Returns by how far the bytes moved.
   */
  economise(): number {
    const { pool, buffer } = this;
    if (buffer < 0 || buffer >= pool.receiving || pool.withKernel * 2 > pool.receiving) return 0;
    const id = pool.take(Owner.handler);
    if (id < 0) return 0;
    const begin = id * pool.size;
    pool.bytes.copyWithin(begin, this.at, this.end);
    const delta = begin - this.at;
    pool.release(buffer, Owner.handler);
    this.buffer = id;
    this.at += delta;
    this.end += delta;
    return delta;
  }

  /** Whether more bytes are here than those in hand. */
  get more(): boolean {
    return (this.queue.head[this.slot] as number) >= 0;
  }

  /** Releases everything. */
  clear(): void {
    if (this.buffer >= 0) this.pool.release(this.buffer, Owner.handler);
    this.buffer = -1;
    this.at = 0;
    this.end = 0;
    this.queue.clear(this.slot);
  }

  /** Bytes behind those in hand. */
  get #free(): number {
    const { pool, buffer } = this;
    return buffer * pool.size + pool.capacity(buffer) - this.end;
  }

  #shift(): boolean {
    const { pool } = this;
    const id = this.queue.shift(this.slot, Owner.handler);
    this.buffer = id;
    if (id < 0) {
      this.at = 0;
      this.end = 0;
      return false;
    }
    this.at = id * pool.size + (pool.start[id] as number);
    this.end = this.at + (pool.length[id] as number);
    return true;
  }
}
