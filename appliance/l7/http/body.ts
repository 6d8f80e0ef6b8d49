/**
 * Bodies on their way: read in the framing of one side, written in that of the other (RFC 9112 §6, §7).
 *
 * Invariant: a body ends only where its framing says so. Whoever reads `refused`, or an end of the
 * connection before `done`, must not let the other side take the body for whole.
 */
import { ChunkDecoder, chunkStep, writeChunkSize, writeLastChunk } from '../http1/chunked.js';
import type { FieldSection } from '../http1/fields.js';
import { bodyKind, type BodyKind } from '../http1/framing.js';
import type { Limits } from '../http1/limits.js';
import { Owner } from '../ring/buffer-pool.js';
import type { Connections } from '../ring/connections.js';
import type { Inbound } from './inbound.js';

export const bodyStep = { more: 0, done: 1, refused: 2, noRoom: 3 } as const;
export type BodyStep = (typeof bodyStep)[keyof typeof bodyStep];

const line = Buffer.from('\r\n', 'latin1');
const scratch = new Uint8Array(16_384);

/** Where a body goes. Each says whether there was memory for everything. */
export interface BodySink {
  /** A buffer of Owner.handler. */
  buffer(id: number): boolean;
  /** A copy of bytes. */
  bytes(source: Uint8Array, start: number, end: number): boolean;
  /** The end of the body; `trailers` lie in `source`. */
  end(source: Uint8Array, trailers: FieldSection | null): boolean;
}

/** Writes a body to a connection. */
export class BodyWriter implements BodySink {
  slot = -1;
  chunked = false;
  /** Bytes of content that were written, without framing. */
  total = 0;

  constructor(private readonly connections: Connections) {}

  /** With a slot below 0, everything is thrown away. */
  begin(slot: number, chunked: boolean): void {
    this.slot = slot;
    this.chunked = chunked;
    this.total = 0;
  }

  buffer(id: number): boolean {
    const length = this.connections.pool.length[id] as number;
    this.total += length;
    if (this.slot < 0) {
      this.connections.pool.release(id, Owner.handler);
      return true;
    }
    if (!this.chunked) {
      this.connections.write(this.slot, id, Owner.handler);
      return true;
    }
    const ok = this.#size(length);
    this.connections.write(this.slot, id, Owner.handler);
    return this.#all(line, 0, 2) && ok;
  }

  bytes(source: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    this.total += length;
    if (this.slot < 0) return true;
    if (!this.chunked) return this.#all(source, start, length);
    return this.#size(length) && this.#all(source, start, length) && this.#all(line, 0, 2);
  }

  end(source: Uint8Array, trailers: FieldSection | null): boolean {
    if (!this.chunked) return true;
    const end = writeLastChunk(scratch, 0, scratch.length, source, trailers);
    return end > 0 && this.#all(scratch, 0, end);
  }

  #size(length: number): boolean {
    return this.#all(scratch, 0, writeChunkSize(scratch, 0, length));
  }

  #all(source: Uint8Array, start: number, length: number): boolean {
    return this.connections.writeBytes(this.slot, source, start, length) === length;
  }
}

/** Reads the body of one message from what a connection received. */
export class BodyReader {
  kind: BodyKind = bodyKind.none;
  /** Whether the end was reached. */
  done = true;
  /** Bytes of content so far. */
  total = 0;
  /** Of a length, those that are yet to come. */
  #left = 0;
  #chunks: ChunkDecoder | null = null;

  /** The next byte of `inbound` is the body's first. */
  begin(kind: BodyKind, length: number, inbound: Inbound, limits: Limits): void {
    this.kind = kind;
    this.done = kind === bodyKind.none;
    this.total = 0;
    this.#left = length;
    if (kind !== bodyKind.chunked) return;
    if (this.#chunks === null || this.#chunks.limits !== limits) {
      this.#chunks = new ChunkDecoder(limits);
    }
    this.#chunks.reset(inbound.at);
  }

  /** In how many buffers of `size` bytes the rest can come, at most `most`. */
  wants(most: number, size: number): number {
    if (this.done) return 0;
    if (this.kind !== bodyKind.length || this.#left >= most * size) return most;
    return ((this.#left / size) | 0) + 1;
  }

  get fault(): ChunkDecoder['fault'] {
    return this.#chunks?.fault ?? null;
  }

  /** Hands everything that is there to `writer`. */
  relay(bytes: Uint8Array, inbound: Inbound, writer: BodySink): BodyStep {
    if (this.done) return bodyStep.done;
    switch (this.kind) {
      case bodyKind.chunked:
        return this.#relayChunks(bytes, inbound, writer);
      case bodyKind.length:
        return this.#relayLength(bytes, inbound, writer);
      default:
        // Until the connection ends.
        while (inbound.fill()) {
          this.total += inbound.end - inbound.at;
          if (!writer.buffer(inbound.detach())) return bodyStep.noRoom;
        }
        return bodyStep.more;
    }
  }

  /** The connection ended: whether the body is whole. */
  ended(): boolean {
    if (this.kind === bodyKind.untilClose || this.kind === bodyKind.tunnel) this.done = true;
    return this.done;
  }

  /** Trailers of a body that is done, in `bytes` as it was then. */
  get trailers(): FieldSection | null {
    return this.kind === bodyKind.chunked ? (this.#chunks?.trailers ?? null) : null;
  }

  #relayLength(bytes: Uint8Array, inbound: Inbound, writer: BodySink): BodyStep {
    while (this.#left > 0 && inbound.fill()) {
      const here = inbound.end - inbound.at;
      if (here <= this.#left) {
        this.#left -= here;
        this.total += here;
        if (!writer.buffer(inbound.detach())) return bodyStep.noRoom;
      } else {
        const from = inbound.at;
        inbound.at = from + this.#left;
        this.total += this.#left;
        this.#left = 0;
        if (!writer.bytes(bytes, from, inbound.at)) return bodyStep.noRoom;
      }
    }
    if (this.#left > 0) return bodyStep.more;
    this.done = true;
    return writer.end(bytes, null) ? bodyStep.done : bodyStep.noRoom;
  }

  #relayChunks(bytes: Uint8Array, inbound: Inbound, writer: BodySink): BodyStep {
    const chunks = this.#chunks;
    if (chunks === null) throw new Error('a chunked body was not begun');
    while (inbound.fill()) {
      chunks.move(inbound.at - chunks.at);
      const step = chunks.next(bytes, inbound.end);
      if (step === chunkStep.data) {
        const { dataStart, dataEnd } = chunks;
        this.total += dataEnd - dataStart;
        let ok: boolean;
        if (dataEnd === inbound.end) {
          inbound.at = dataStart;
          ok = writer.buffer(inbound.detach());
        } else {
          inbound.at = dataEnd;
          ok = writer.bytes(bytes, dataStart, dataEnd);
        }
        if (!ok) return bodyStep.noRoom;
        continue;
      }
      inbound.at = chunks.at;
      if (step === chunkStep.refused) return bodyStep.refused;
      if (step === chunkStep.done) {
        this.done = true;
        return writer.end(bytes, chunks.trailers) ? bodyStep.done : bodyStep.noRoom;
      }
      // Trailers that are not yet whole lie from `at` on, and must lie together.
      if (inbound.at === inbound.end) continue;
      if (!inbound.more) return bodyStep.more;
      inbound.compact();
      if (!inbound.join()) return bodyStep.refused;
    }
    return bodyStep.more;
  }
}
