/**
 * Codes one body as it passes, in the threads of node's pool.
 *
 * Bounded on both sides: at most `INPUT` bytes wait to be coded (`room` says how many more may
 * come), and when the reader does not take what comes out, coding stops after some 32 KiB and the
 * input fills up. The sink hears of everything in node's turns, between those of the worker's
 * loop, which is woken for them (ring/worker-loop.ts).
 *
 * A body whose end is not known to come soon is flushed whenever the input has run dry, so that
 * events and slow pages reach the client as they come.
 *
 * Invariant: after abort(), onEnd or onError nothing more is said, and the memory of the coder is
 * given back, at the latest when the thread that works on it has finished.
 */
import type { ContentCoding } from '../http1/coding.js';
import { codecOf, type ZlibStream } from './codecs.js';

export interface CompressorSink {
  /** Coded bytes, valid during the call. False: no more until resume(). */
  onOutput(bytes: Uint8Array): boolean;
  /** There is more room than before. */
  onRoom(): void;
  /** All output was given, and there is no more. */
  onEnd(): void;
  /** The body cannot be finished. */
  onError(error: Error): void;
}

/** `dry`: also whenever all input is coded; `end`: only at the end, for bodies that come at once. */
export type FlushWhen = 'dry' | 'end';

/** Bytes that may wait to be coded: four buffers of the pool. */
const INPUT = 65_536;

export class Compressor {
  readonly #stream: ZlibStream;
  readonly #flushed: number;
  readonly #sink: CompressorSink;
  readonly #when: FlushWhen;
  readonly #closed: () => void;
  #waiting = 0;
  #finishing = false;
  #over = false;
  /** Something was coded since the last flush. */
  #unflushed = false;

  /** Made by Compressors.start. */
  constructor(coding: ContentCoding, sink: CompressorSink, when: FlushWhen, closed: () => void) {
    const codec = codecOf(coding);
    this.#stream = codec.stream();
    this.#flushed = codec.flushed;
    this.#sink = sink;
    this.#when = when;
    this.#closed = closed;
    this.#stream.on('data', (bytes: Uint8Array) => {
      if (!this.#over && !this.#sink.onOutput(bytes)) this.#stream.pause();
    });
    this.#stream.on('end', () => this.#end(null));
    this.#stream.on('error', (error) => this.#end(error));
    this.#stream.on('close', this.#closed);
  }

  /** Bytes that may be pushed now; what was on its way to the caller is taken in any case. */
  get room(): number {
    return INPUT - this.#waiting;
  }

  /** Takes a copy of bytes[start, end). */
  push(bytes: Uint8Array, start: number, end: number): void {
    const size = end - start;
    if (this.#over) return;
    if (this.#finishing) throw new Error('bytes to code after the end of the body');
    if (size === 0) return;
    this.#waiting += size;
    this.#stream.write(Buffer.from(bytes.subarray(start, end)), () => this.#coded(size));
  }

  /** No more is pushed. onEnd follows when everything came out. */
  finish(): void {
    if (this.#finishing || this.#over) return;
    this.#finishing = true;
    this.#stream.end();
  }

  /** After onOutput said false: the reader takes more. */
  resume(): void {
    if (!this.#over) this.#stream.resume();
  }

  /** Gives up, at any time; nothing is heard any more. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.destroy();
  }

  #coded(size: number): void {
    if (this.#over) return;
    this.#waiting -= size;
    this.#unflushed = true;
    this.#flushIfDry();
    this.#sink.onRoom();
  }

  #flushIfDry(): void {
    if (this.#when === 'end' || this.#waiting > 0 || this.#finishing || !this.#unflushed) return;
    this.#unflushed = false;
    this.#stream.flush(this.#flushed, () => {});
  }

  #end(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    if (error === null) this.#sink.onEnd();
    else this.#sink.onError(error);
  }
}

/** A worker's compressors: a bounded number, since each has memory of its own (gzip 0.25 MiB). */
export class Compressors {
  #open = 0;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** Those whose memory is not given back yet. */
  get open(): number {
    return this.#open;
  }

  /** Whether start() gives one; asked before the head of a response says that it is coded. */
  get available(): boolean {
    return this.#open < this.#most;
  }

  /** Throws RangeError when none is available, or the coding is not. */
  start(coding: ContentCoding, sink: CompressorSink, when: FlushWhen): Compressor {
    if (!this.available) throw new RangeError(`all ${this.#most} compressors are in use`);
    const compressor = new Compressor(coding, sink, when, () => {
      this.#open -= 1;
    });
    this.#open += 1;
    return compressor;
  }
}
