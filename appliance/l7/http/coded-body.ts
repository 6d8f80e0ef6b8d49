/**
 * A body that Weir compresses on its way to the client: what the member sends goes into a coder, and
 * what comes out of it, in node's turns, to the client.
 *
 * Invariant: from begin() to the last output the exchange waits for the coder; abort() ends that at
 * once, and nothing comes out afterwards.
 */
import type { FieldSection } from '../http1/fields.js';
import { CODE_AT_ONCE, codeAtOnce } from '../compress/codecs.js';
import { contentCoding, type ContentCoding } from '../http1/coding.js';
import { bodyKind } from '../http1/framing.js';
import type { ResponseHead } from '../http1/response-head.js';
import type { Inbound } from './inbound.js';
import type { Compressor, Compressors, CompressorSink } from '../compress/compressor.js';
import { Owner, type BufferPool } from '../ring/buffer-pool.js';
import type { BodySink, BodyWriter } from './body.js';

export interface CodedBodyOwner {
  /** There is more room for the member's bytes. */
  codedRoom(): void;
  /** Whether the client takes more now. */
  takesMore(): boolean;
  /** Output was written. */
  writing(): void;
  /** Everything came out; false: the body cannot be finished. */
  codedEnd(whole: boolean): void;
}

export class CodedBody implements BodySink, CompressorSink {
  readonly #coder: Compressor;
  readonly #pool: BufferPool;
  readonly #out: BodyWriter;
  readonly #owner: CodedBodyOwner;
  /** Coding waits for the client. */
  #paused = false;

  /** `out` was begun for this body. Throws RangeError when no compressor is available. */
  constructor(
    compressors: Compressors,
    coding: ContentCoding,
    pool: BufferPool,
    out: BodyWriter,
    owner: CodedBodyOwner,
    response: ResponseHead,
  ) {
    this.#pool = pool;
    this.#out = out;
    this.#owner = owner;
    // A body of known length comes as fast as it can; others may wait between two pieces.
    const when = response.body === bodyKind.length ? 'end' : 'dry';
    this.#coder = compressors.start(coding, this, when);
  }

  /** Bytes that may come now. */
  get room(): number {
    return this.#coder.room;
  }

  buffer(id: number): boolean {
    const { bytes, size } = this.#pool;
    const start = id * size + (this.#pool.start[id] as number);
    this.#coder.push(bytes, start, start + (this.#pool.length[id] as number));
    this.#pool.release(id, Owner.handler);
    return true;
  }

  bytes(source: Uint8Array, start: number, end: number): boolean {
    this.#coder.push(source, start, end);
    return true;
  }

  end(_source: Uint8Array, _trailers: FieldSection | null): boolean {
    this.#coder.finish();
    return true;
  }

  /** The client took something. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#coder.resume();
  }

  abort(): void {
    this.#coder.abort();
  }

  onOutput(bytes: Uint8Array): boolean {
    if (!this.#out.bytes(bytes, 0, bytes.length)) {
      this.#coder.abort();
      this.#owner.codedEnd(false);
      return false;
    }
    this.#owner.writing();
    this.#paused = !this.#owner.takesMore();
    return !this.#paused;
  }

  onRoom(): void {
    this.#owner.codedRoom();
  }

  onEnd(): void {
    const whole = this.#out.end(nothing, null);
    this.#owner.codedEnd(whole);
  }

  onError(): void {
    this.#owner.codedEnd(false);
  }
}

const nothing = new Uint8Array(0);

/** The whole coded body where the member's is small and all there, else null. */
export function codedAtOnce(
  coding: ContentCoding,
  response: ResponseHead,
  bytes: Uint8Array,
  inbound: Inbound,
): Uint8Array | null {
  if (coding === contentCoding.identity || response.body !== bodyKind.length) return null;
  const { length } = response;
  if (length > CODE_AT_ONCE || length > inbound.end - inbound.at) return null;
  return codeAtOnce(coding, bytes, inbound.at, inbound.at + length);
}
