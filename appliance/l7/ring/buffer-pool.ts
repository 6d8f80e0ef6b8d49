/**
 * One piece of memory cut into buffers of one size. Some belong to the kernel's ring of provided
 * buffers (IORING_REGISTER_PBUF_RING), which receives take from; the others are for what the worker
 * writes itself. A buffer never changes sides, so received bodies cannot use up what is needed to
 * answer, nor the reverse. A few large ones, each as long as `LARGE` of the others, are for bodies
 * of which much has arrived; the number of such a buffer is that of its first part.
 *
 * Invariants:
 * - A buffer has exactly one owner: free, the kernel, or who was named last. Only the owner
 *   releases it or passes it on. checked-buffer-pool.ts proves it; here it costs nothing.
 * - What a buffer holds is its slice: `start` and `length` of it. A buffer is in at most one chain
 *   (chains.ts), linked by `next`.
 */
import { Mapping, pageSize } from '../../../native/ffi/memory.js';
import { partAddresses } from './addresses.js';

/** Owners that this layer knows; others get their numbers from `BufferPool.owner`. */
export const Owner = {
  free: 0,
  /** In the ring of provided buffers, or being filled. */
  kernel: 1,
  /** With whom onData gave it to, until it is passed on or released. */
  handler: 2,
  /** In a connection's output. */
  output: 3,
  /** In a connection's output, being read by the kernel. */
  sending: 4,
} as const;

export interface BufferPoolOptions {
  /** Bytes of a buffer: a power of two. */
  readonly size: number;
  /** Buffers that receives take from: at most 32,768. */
  readonly receiving: number;
  /** Buffers that `take` gives out. */
  readonly working: number;
  /** Large buffers that `takeLarge` gives out. */
  readonly large?: number;
}

/** Buffers that a large one is as long as: a power of two. */
export const LARGE = 8;

/** Buffers in the kernel's ring at least; turns with plenty after which there are fewer. */
const LEAST_IN_RING = 64;
const PLENTY = 1000;
/** The checked pool records an owner in a byte. */
const MOST_OWNERS = 256;
/** Most entries of a ring of provided buffers. */
const MOST_RECEIVING = 32_768;

export class BufferPool {
  readonly size: number;
  readonly receiving: number;
  readonly count: number;
  readonly bytes: Uint8Array;
  /** Address of each buffer's first byte. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  /** What each buffer holds. */
  readonly start: Int32Array;
  readonly length: Int32Array;
  /** The buffer behind it in its chain, or -1. */
  readonly next: Int32Array;
  /** Receive buffers that nobody has: in the kernel's ring, or on the pile that it is filled from. */
  withKernel = 0;
  /** Whether ownership is recorded. */
  readonly checked: boolean = false;

  /** The ring of provided buffers: its address and its places. */
  readonly ringAddress: bigint;
  readonly ringEntries: number;
  readonly #ring: Int32Array;
  /** The same memory: a place's buffer number, and in the first place the tail. */
  readonly #halves: Uint16Array;
  #tail = 0;
  /** Buffers in the ring, and how many are to be there. */
  #inRing = 0;
  #wanted = LEAST_IN_RING;
  #dry = false;
  /** Turns in a row in which the ring kept most of what it had. */
  #plenty = 0;
  /** Buffers that are not in the ring: the one that was used last is on top, and still in the cache. */
  readonly #pile: Int32Array;
  #piled = 0;

  readonly #free: Int32Array;
  #freeCount = 0;
  readonly #smallEnd: number;
  readonly #largeFrom: number;
  readonly #large: Int32Array;
  #largeCount = 0;
  readonly #mapping: Mapping;
  protected readonly names: string[] = ['free', 'kernel', 'handler', 'output', 'sending'];

  constructor(options: BufferPoolOptions) {
    const { size, receiving, working, large = 0 } = options;
    if (size < 64 || (size & (size - 1)) !== 0) {
      throw new RangeError(`a buffer of ${size} bytes: the size is a power of two from 64`);
    }
    if (receiving < 1 || receiving > MOST_RECEIVING || working < 0) {
      throw new RangeError(`${receiving} receiving buffers: from 1 to ${MOST_RECEIVING}`);
    }
    this.size = size;
    this.receiving = receiving;
    this.#smallEnd = receiving + working;
    this.#largeFrom = Math.ceil(this.#smallEnd / LARGE) * LARGE;
    this.count = large === 0 ? this.#smallEnd : this.#largeFrom + large * LARGE;
    this.ringEntries = 2 ** Math.ceil(Math.log2(receiving));
    const ringBytes = Math.ceil((this.ringEntries * 16) / pageSize) * pageSize;
    const alignment = LARGE * size;
    this.#mapping = Mapping.anonymous(ringBytes + this.count * size + alignment);
    const { buffer, address } = this.#mapping;
    this.ringAddress = address;
    this.#ring = new Int32Array(buffer, 0, this.ringEntries * 4);
    this.#halves = new Uint16Array(buffer, 0, this.ringEntries * 8);
    // Buffers begin at a multiple of their size, for which there is some more than is used.
    const unaligned = Number((address + BigInt(ringBytes)) % BigInt(alignment));
    const first = ringBytes + (unaligned === 0 ? 0 : alignment - unaligned);
    this.bytes = new Uint8Array(buffer, first, this.count * size);
    const { low, high } = partAddresses(address + BigInt(first), size, this.count);
    this.low = low;
    this.high = high;
    this.start = new Int32Array(this.count);
    this.length = new Int32Array(this.count);
    this.next = new Int32Array(this.count).fill(-1);
    this.#free = new Int32Array(working);
    for (let id = this.#smallEnd - 1; id >= receiving; id -= 1) {
      this.#free[this.#freeCount++] = id;
    }
    this.#large = Int32Array.from(
      { length: large },
      (_, index) => this.#largeFrom + (large - 1 - index) * LARGE,
    );
    this.#largeCount = large;
    this.#pile = new Int32Array(receiving);
    for (let id = receiving - 1; id >= 0; id -= 1) this.#pile[this.#piled++] = id;
    this.withKernel = receiving;
    this.refill();
  }

  /** A number for an owner, to take and release with. Call it once for each at the start. */
  owner(name: string): number {
    if (this.names.length === MOST_OWNERS) throw new RangeError(`no number for owner "${name}"`);
    return this.names.push(name) - 1;
  }

  /** Working buffers that nobody has. */
  get free(): number {
    return this.#freeCount;
  }

  /** A working buffer with an empty slice, or -1 when there is none. */
  take(_owner: number): number {
    if (this.#freeCount === 0) return -1;
    const id = this.#free[--this.#freeCount] as number;
    this.start[id] = 0;
    this.length[id] = 0;
    this.next[id] = -1;
    return id;
  }

  /**
   * A receive buffer for bytes that arrived in another one, with an empty slice and as the handler's;
   * -1: all are in the kernel's ring or in use.
   */
  takeReceiving(): number {
    if (this.#piled === 0) return -1;
    const id = this.#pile[--this.#piled] as number;
    this.withKernel -= 1;
    this.start[id] = 0;
    this.length[id] = 0;
    this.next[id] = -1;
    return id;
  }

  /** Large buffers that nobody has. */
  get freeLarge(): number {
    return this.#largeCount;
  }

  /** A large buffer for the kernel to fill, or -1 when there is none. */
  takeLarge(): number {
    return this.#largeCount === 0 ? -1 : (this.#large[--this.#largeCount] as number);
  }

  /** How many bytes a buffer holds at most. */
  capacity(id: number): number {
    return id < this.#largeFrom ? this.size : this.size * LARGE;
  }

  /** The number of the next buffer. */
  protected after(id: number): number {
    if (id + 1 === this.#smallEnd) return this.#largeFrom;
    return id < this.#largeFrom ? id + 1 : id + LARGE;
  }

  /** The kernel filled a buffer of either length with `length` bytes, maybe none: it is the handler's now. */
  received(id: number, length: number): void {
    if (id < this.receiving) {
      this.withKernel -= 1;
      this.#inRing -= 1;
    }
    this.start[id] = 0;
    this.length[id] = length;
    this.next[id] = -1;
  }

  /** Back to where it belongs: to the kernel or to the free ones. */
  release(id: number, _owner: number): void {
    if (id < this.receiving) {
      this.#pile[this.#piled++] = id;
      this.withKernel += 1;
    } else if (id < this.#largeFrom) this.#free[this.#freeCount++] = id;
    else this.#large[this.#largeCount++] = id;
  }

  /** From one owner to the next. */
  pass(_id: number, _from: number, _to: number): void {
    // What is recorded is recorded by the checked pool.
  }

  /** The owner is about to use it. */
  check(_id: number, _owner: number): void {
    // As above.
  }

  /** Most receive buffers are in use: what waits should not be in one. */
  get scarce(): boolean {
    return this.withKernel << 2 < this.receiving;
  }

  /**
   * How many buffers a connection may hold now, of the `most` that it may have at best. As buffers
   * get scarce no connection gets more than a quarter of what is left, so that slow readers
   * cannot take everything from those that come after them.
   */
  fairShare(most: number): number {
    const share = this.withKernel >> 2;
    return share >= most ? most : share > 1 ? share : 1;
  }

  /** The kernel no longer uses the memory, and nobody here does. */
  close(): void {
    this.#mapping.close();
  }

  /**
   * Gives the kernel's ring buffers from the pile, so many as are used in a turn and some more: the
   * ring is first in, first out, so with all of them in it each would be cold when its turn comes.
   */
  refill(): void {
    if (this.#dry) {
      this.#dry = false;
      // Once a turn, however many found it empty.
      if (this.#wanted < this.receiving) this.#wanted *= 2;
    }
    const wanted = this.#wanted;
    if (this.#inRing * 4 > wanted * 3) {
      this.#plenty += 1;
      if (this.#plenty > PLENTY && wanted > LEAST_IN_RING) {
        this.#wanted = wanted >> 1;
        this.#plenty = 0;
      }
    } else this.#plenty = 0;
    while (this.#inRing < this.#wanted && this.#piled > 0) {
      this.#provide(this.#pile[--this.#piled] as number);
    }
  }

  /** A receive found the ring empty: from the next turn on it holds more. */
  ranDry(): void {
    this.#dry = true;
  }

  #provide(id: number): void {
    const place = this.#tail & (this.ringEntries - 1);
    const word = place << 2;
    this.#ring[word] = this.low[id] as number;
    this.#ring[word + 1] = this.high[id] as number;
    this.#ring[word + 2] = this.size;
    this.#halves[(place << 3) + 6] = id;
    this.#tail = (this.#tail + 1) & 0xffff;
    // The tail shares the first place with what that place does not use.
    this.#halves[7] = this.#tail;
    this.#inRing += 1;
  }
}
