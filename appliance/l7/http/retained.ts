/**
 * Requests that are kept until their answer begins: for another try, for those that wait in a queue,
 * and for the access log. The receive buffer that they came in is free at once, so thousands of slow
 * answers hold none.
 *
 * Invariant: a cell has one exchange. Memory is taken from the system only as cells are first used,
 * the most recently used again first.
 */
import { Mapping } from '../../../native/ffi/memory.js';

/** Bytes of most heads, and of the largest that there can be with a small body. */
const SMALL = 2048;
const LARGE = 16_384;

export class Retained {
  /** All cells. */
  readonly bytes: Uint8Array;
  readonly #mapping: Mapping;
  readonly #small: Int32Array;
  readonly #large: Int32Array;
  #smallCount: number;
  #largeCount: number;
  readonly #border: number;

  /** For so many exchanges at a time. */
  constructor(exchanges: number) {
    const large = Math.max(1, exchanges >> 2);
    this.#border = exchanges * SMALL;
    this.#mapping = Mapping.anonymous(this.#border + large * LARGE);
    this.bytes = new Uint8Array(this.#mapping.buffer);
    this.#small = Int32Array.from({ length: exchanges }, (_, i) => (exchanges - 1 - i) * SMALL);
    this.#large = Int32Array.from(
      { length: large },
      (_, i) => this.#border + (large - 1 - i) * LARGE,
    );
    this.#smallCount = exchanges;
    this.#largeCount = large;
  }

  /** Largest piece that may be kept. */
  static readonly most = LARGE;

  /** Copies [start, end) of `source`. Returns where it lies now, or -1 when there is no room. */
  keep(source: Uint8Array, start: number, end: number): number {
    const length = end - start;
    let at: number;
    if (length <= SMALL && this.#smallCount > 0) at = this.#small[--this.#smallCount] as number;
    else if (length <= LARGE && this.#largeCount > 0)
      at = this.#large[--this.#largeCount] as number;
    else return -1;
    if (length >= 128) this.bytes.set(source.subarray(start, end), at);
    else for (let i = 0; i < length; i += 1) this.bytes[at + i] = source[start + i] as number;
    return at;
  }

  release(at: number): void {
    if (at < this.#border) this.#small[this.#smallCount++] = at;
    else this.#large[this.#largeCount++] = at;
  }

  /** Cells that somebody has. */
  get used(): number {
    return this.#small.length - this.#smallCount + (this.#large.length - this.#largeCount);
  }

  close(): void {
    this.#mapping.close();
  }
}
