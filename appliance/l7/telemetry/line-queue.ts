/**
 * Lines that wait to be written to a file, in chunks of whole lines.
 *
 * Invariant: memory stays below `most` octets and one chunk.
 */

export interface LineChunk {
  readonly bytes: Buffer;
  length: number;
  /** Octets of it that are written already. */
  done: number;
  lines: number;
}

const chunkBytes = 65_536;

export class LineQueue {
  private readonly chunks: LineChunk[] = [];
  private spare: Buffer | null = null;
  private held = 0;

  constructor(private readonly most: number) {}

  get empty(): boolean {
    return this.chunks.length === 0;
  }

  /** False: no room. */
  push(bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    let last = this.chunks.at(-1);
    if (last === undefined || last.length + length > last.bytes.length) {
      const size = Math.max(chunkBytes, length);
      if (this.held + size > Math.max(this.most, size)) return false;
      last = { bytes: this.take(size), length: 0, done: 0, lines: 0 };
      this.held += last.bytes.length;
      this.chunks.push(last);
    }
    last.bytes.set(bytes.subarray(start, end), last.length);
    last.length += length;
    last.lines += 1;
    return true;
  }

  /** The chunk to write now; lines may still be added behind its `length`. */
  first(): LineChunk | null {
    return this.chunks[0] ?? null;
  }

  /** The first chunk goes once all of it is written. */
  shift(): void {
    const chunk = this.chunks[0];
    if (chunk === undefined || chunk.done < chunk.length) return;
    this.chunks.shift();
    this.held -= chunk.bytes.length;
    if (chunk.bytes.length === chunkBytes) this.spare = chunk.bytes;
  }

  /** Forgets everything, and says how many lines that were. */
  clear(): number {
    const lines = this.chunks.reduce((sum, chunk) => sum + chunk.lines, 0);
    this.chunks.length = 0;
    this.held = 0;
    return lines;
  }

  private take(size: number): Buffer {
    const { spare } = this;
    if (spare === null || size !== chunkBytes) return Buffer.allocUnsafeSlow(size);
    this.spare = null;
    return spare;
  }
}
