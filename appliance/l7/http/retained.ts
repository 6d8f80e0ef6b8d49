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
/** A piece lies in its cell as it lay before, as far as whole words go: so it is copied in words. */
const SLACK = 4;
const LARGE_CELL = LARGE + 64;

export class Retained {
  /** All cells. */
  readonly bytes: Uint8Array;
  readonly #mapping: Mapping;
  readonly #small: Int32Array;
  readonly #large: Int32Array;
  #smallCount: number;
  #largeCount: number;
  readonly #border: number;
  readonly #words: Int32Array;
  /** What was copied from last, which is nearly always the same, in words. */
  #source: Uint8Array;
  #sourceWords: Int32Array;

  /** For so many exchanges at a time. */
  constructor(exchanges: number) {
    const large = Math.max(1, exchanges >> 2);
    this.#border = exchanges * SMALL;
    this.#mapping = Mapping.anonymous(this.#border + large * LARGE_CELL);
    this.bytes = new Uint8Array(this.#mapping.buffer);
    this.#words = wordsOf(this.bytes);
    this.#source = this.bytes;
    this.#sourceWords = this.#words;
    this.#small = Int32Array.from({ length: exchanges }, (_, i) => (exchanges - 1 - i) * SMALL);
    this.#large = Int32Array.from(
      { length: large },
      (_, i) => this.#border + (large - 1 - i) * LARGE_CELL,
    );
    this.#smallCount = exchanges;
    this.#largeCount = large;
  }

  /** Largest piece that may be kept. */
  static readonly most = LARGE;

  /** Copies [start, end) of `source`. Returns where it lies now, or -1 when there is no room. */
  keep(source: Uint8Array, start: number, end: number): number {
    const length = end - start;
    let cell: number;
    if (length <= SMALL - SLACK && this.#smallCount > 0) {
      cell = this.#small[--this.#smallCount] as number;
    } else if (length <= LARGE && this.#largeCount > 0) {
      cell = this.#large[--this.#largeCount] as number;
    } else return -1;
    const at = cell + ((source.byteOffset + start) & 3);
    this.#copy(source, start, end, at);
    return at;
  }

  release(at: number): void {
    if (at < this.#border) this.#small[this.#smallCount++] = at - (at % SMALL);
    else this.#large[this.#largeCount++] = at - ((at - this.#border) % LARGE_CELL);
  }

  /** Without a view for each copy, which would be all that a request leaves on the heap. */
  #copy(source: Uint8Array, start: number, end: number, at: number): void {
    const { bytes } = this;
    if (source === bytes) {
      bytes.copyWithin(at, start, end);
      return;
    }
    if (source !== this.#source) {
      this.#source = source;
      this.#sourceWords = wordsOf(source);
    }
    const words = this.#words;
    const from = this.#sourceWords;
    // Of both, the first word boundary is as far away.
    const offset = source.byteOffset & 3;
    let i = start;
    let to = at;
    while (i < end && (to & 3) !== 0) bytes[to++] = source[i++] as number;
    let word = to >> 2;
    let other = (i + offset) >> 2;
    for (const last = other + ((end - i) >> 2); other < last;) {
      words[word++] = from[other++] as number;
    }
    const copied = (word << 2) - to;
    i += copied;
    to += copied;
    while (i < end) bytes[to++] = source[i++] as number;
  }

  /** Cells that somebody has. */
  get used(): number {
    return this.#small.length - this.#smallCount + (this.#large.length - this.#largeCount);
  }

  close(): void {
    this.#mapping.close();
  }
}

/** From the word on in which the bytes begin. */
function wordsOf(bytes: Uint8Array): Int32Array {
  const offset = bytes.byteOffset - (bytes.byteOffset & 3);
  return new Int32Array(bytes.buffer, offset, (bytes.byteOffset + bytes.length - offset) >> 2);
}
