/**
 * The coding of one client's answers: between the body as the member sends it and the connection.
 *
 * A small body that is there with its head is coded at once; every other one goes through a
 * compressor, whose output comes in node's turns. Then the exchange has left its member when the
 * answer is whole there, and ends when the last coded byte is written here.
 *
 * Invariant: at most one compressor at a time, and none after stop() or the end of the body.
 * Trailers of a coded body are left out (RFC 9110 §6.5.1 allows it): they come before its last byte.
 */
import { CODE_AT_ONCE, codeAtOnce } from '../compress/codecs.js';
import type { Compressor, CompressorSink } from '../compress/compressor.js';
import { contentCoding, type ContentCoding } from '../http1/coding.js';
import { bodyKind } from '../http1/framing.js';
import type { ResponseHead } from '../http1/response-head.js';
import type { Core } from './core.js';
import type { Inbound } from './inbound.js';

/** What the coder asks of the client's connection. */
export interface CodedClient {
  /** Coded bytes for the client. Whether there was memory for them. */
  coded(bytes: Uint8Array): boolean;
  /** Bytes that the client has not yet taken. */
  readonly pending: number;
  /** The member may send more. */
  codedRoom(): void;
  /** The answer is whole. */
  codedEnd(): void;
  codingFailed(): void;
}

/** Buffers of output with the connection from which on coding stops, until it took some. */
const AHEAD = 4;

export class AnswerCoder implements CompressorSink {
  #compressor: Compressor | null = null;
  #held = false;

  constructor(
    private readonly core: Core,
    private readonly client: CodedClient,
  ) {}

  get active(): boolean {
    return this.#compressor !== null;
  }

  /** Buffers that may be pushed; what was on its way is taken in any case. */
  get room(): number {
    const { size } = this.core.pool;
    return this.#compressor === null ? 0 : Math.floor(this.#compressor.room / size);
  }

  start(coding: ContentCoding, response: ResponseHead): void {
    // A body of known length comes as fast as it can; others may wait between two pieces.
    const when = response.body === bodyKind.length ? 'end' : 'dry';
    this.#held = false;
    this.#compressor = this.core.compressors.start(coding, this, when);
  }

  push(bytes: Uint8Array, start: number, end: number): void {
    this.#compressor?.push(bytes, start, end);
  }

  finish(): void {
    this.#compressor?.finish();
  }

  /** The connection took something. */
  sent(): void {
    if (!this.#held || this.#full) return;
    this.#held = false;
    this.#compressor?.resume();
  }

  stop(): void {
    this.#compressor?.abort();
    this.#compressor = null;
  }

  onOutput(bytes: Uint8Array): boolean {
    if (!this.client.coded(bytes)) {
      this.client.codingFailed();
      return false;
    }
    this.#held = this.#full;
    return !this.#held;
  }

  onRoom(): void {
    this.client.codedRoom();
  }

  onEnd(): void {
    this.#compressor = null;
    this.client.codedEnd();
  }

  onError(): void {
    this.#compressor = null;
    this.client.codingFailed();
  }

  get #full(): boolean {
    return this.client.pending >= AHEAD * this.core.pool.size;
  }
}

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
