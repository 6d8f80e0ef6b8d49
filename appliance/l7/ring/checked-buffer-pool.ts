/**
 * The buffer pool with a record of who owns what: for tests, and for a worker with
 * `WEIR_L7_DEBUG=1`.
 *
 * Invariant: a buffer that is used by another than its owner, released twice or used after release
 * is an error at that very call, which names the owner. What a released buffer held is overwritten,
 * so that reading it is seen as well.
 */
import { BufferPool, Owner, type BufferPoolOptions } from './buffer-pool.js';

/** A buffer was not its user's. */
export class BufferOwnershipError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BufferOwnershipError';
  }
}

/** What a released buffer holds. */
export const POISON = 0xdb;

export class CheckedBufferPool extends BufferPool {
  override readonly checked = true;
  readonly #owners: Uint8Array;

  constructor(options: BufferPoolOptions) {
    super(options);
    this.#owners = new Uint8Array(this.count).fill(Owner.kernel, 0, this.receiving);
  }

  override take(owner: number): number {
    const id = super.take(owner);
    if (id >= 0) this.#move('taken', id, Owner.free, owner);
    return id;
  }

  override takeReceiving(): number {
    const id = super.takeReceiving();
    if (id >= 0) this.#move('taken', id, Owner.kernel, Owner.handler);
    return id;
  }

  override takeLarge(): number {
    const id = super.takeLarge();
    if (id >= 0) this.#move('taken', id, Owner.free, Owner.kernel);
    return id;
  }

  override received(id: number, length: number): void {
    this.#move('received', id, Owner.kernel, Owner.handler);
    const most = this.capacity(id);
    if (length < 0 || length > most) {
      throw new BufferOwnershipError(`buffer ${id} received ${length} bytes of ${most}`);
    }
    super.received(id, length);
  }

  override release(id: number, owner: number): void {
    this.#move('released', id, owner, id < this.receiving ? Owner.kernel : Owner.free);
    const begin = id * this.size;
    this.bytes.fill(POISON, begin, begin + this.capacity(id));
    super.release(id, owner);
  }

  override pass(id: number, from: number, to: number): void {
    this.#move('passed on', id, from, to);
  }

  override check(id: number, owner: number): void {
    this.#move('used', id, owner, owner);
  }

  /** Who owns a buffer, by name. */
  ownerOf(id: number): string {
    return this.#name(this.#owners[id]);
  }

  /** How many buffers each owner has; owners without any are left out. */
  census(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let id = 0; id < this.count; id = this.after(id)) {
      const name = this.#name(this.#owners[id]);
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  #name(owner: number | undefined): string {
    return owner === undefined ? 'nobody' : (this.names[owner] ?? `owner ${owner}`);
  }

  #move(what: string, id: number, from: number, to: number): void {
    const owner = this.#owners[id];
    if (owner === undefined) {
      throw new BufferOwnershipError(`buffer ${id} was ${what}; there are ${this.count}`);
    }
    if (owner !== from) {
      throw new BufferOwnershipError(
        `buffer ${id} was ${what} as "${this.#name(from)}" and belongs to "${this.#name(owner)}"`,
      );
    }
    if (from === Owner.free && what !== 'taken') {
      throw new BufferOwnershipError(`buffer ${id} was ${what} while it is free`);
    }
    this.#owners[id] = to;
  }
}

/** The pool that this process wants: with its record when `WEIR_L7_DEBUG` is 1. */
export function openBufferPool(options: BufferPoolOptions): BufferPool {
  return process.env['WEIR_L7_DEBUG'] === '1'
    ? new CheckedBufferPool(options)
    : new BufferPool(options);
}
