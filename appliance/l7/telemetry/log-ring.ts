/**
 * Lines of the access log on their way from one worker to the daemon: a ring of octets in shared
 * memory with one producer and one consumer, who never wait for each other.
 *
 * A record is a head of two words (length, target) and the octets, padded to whole words. The two
 * positions only grow (modulo 2^32); `head` is written by the producer alone and `tail` by the
 * consumer alone.
 *
 * Invariants:
 * - A record is seen whole or not at all: `head` moves when all of it is there. A worker that dies
 *   in the middle leaves nothing, and the next one goes on in the same ring.
 * - What does not fit is dropped and counted for its target; writing never waits.
 * - The consumer trusts no length: a ring that makes no sense is emptied and counted as broken.
 */

const headAt = 0;
const tailAt = 16;
/** Written by the consumer: until when somebody looks at requests live; 0: nobody does. */
const watchedAt = 17;
const droppedAt = 32;
/** A number that no access log has. */
export const liveTarget = 0;
/** Numbers of targets are below this. */
export const mostTargets = 256;
const headerBytes = 128 + mostTargets * 4;
const recordHead = 8;

function padded(length: number): number {
  return (length + 3) & ~3;
}

/** Bytes of shared memory for a ring with so much room, a power of two from 4 KiB to 256 MiB. */
export function logRingBytes(room: number): number {
  if (room < 4096 || room > 2 ** 28 || (room & (room - 1)) !== 0) {
    throw new RangeError(`a ring has 4 KiB to 256 MiB, a power of two, got ${room}`);
  }
  return headerBytes + room;
}

/** The worker's end. Nothing is allocated. */
export class LogRing {
  private readonly words: Int32Array;
  private readonly data: Uint8Array;
  private readonly room: number;
  private readonly mask: number;

  constructor(buffer: ArrayBufferLike, offset: number, room: number) {
    this.words = new Int32Array(buffer, offset, logRingBytes(room) / 4);
    this.data = new Uint8Array(buffer, offset + headerBytes, room);
    this.room = room;
    this.mask = room - 1;
    // Left behind by memory that somebody else wrote to: begin at a whole word again.
    const head = this.words[headAt] ?? 0;
    if ((head & 3) !== 0) Atomics.store(this.words, headAt, padded(head));
  }

  /** Somebody looks at requests live. `now`: the machine's monotonic clock, milliseconds as a word. */
  watched(now: number): boolean {
    const until = this.words[watchedAt] ?? 0;
    return until !== 0 && ((until - now) | 0) > 0;
  }

  /** At least half of it is free. */
  get roomy(): boolean {
    const filled = ((this.words[headAt] ?? 0) - Atomics.load(this.words, tailAt)) | 0;
    return filled >= 0 && filled < this.room / 2;
  }

  /** One line for a target. False: there was no room, and it is counted as dropped. */
  write(target: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { words } = this;
    const length = end - start;
    const head = words[headAt] ?? 0;
    const filled = (head - Atomics.load(words, tailAt)) | 0;
    const needed = recordHead + padded(length);
    if (length < 0 || filled < 0 || needed > this.room - filled) {
      if (target >= 0 && target < mostTargets) Atomics.add(words, droppedAt + target, 1);
      return false;
    }
    this.word(head, length);
    this.word((head + 4) | 0, target);
    const { data, mask } = this;
    const at = (head + recordHead) & mask;
    const first = Math.min(length, this.room - at);
    for (let i = 0; i < first; i += 1) data[at + i] = bytes[start + i] ?? 0;
    for (let i = first; i < length; i += 1) data[i - first] = bytes[start + i] ?? 0;
    Atomics.store(words, headAt, (head + needed) | 0);
    return true;
  }

  /** Positions are whole words, so a word never wraps. */
  private word(position: number, value: number): void {
    this.words[(headerBytes >> 2) + ((position & this.mask) >> 2)] = value;
  }
}

/** Takes lines; the octets are only there during the call. */
export interface LogSink {
  line(target: number, bytes: Uint8Array, start: number, end: number): void;
}

/** The daemon's end. */
export class LogRingReader {
  /** Times that the ring made no sense. */
  broken = 0;
  private readonly words: Int32Array;
  private readonly data: Uint8Array;
  private readonly room: number;
  private readonly mask: number;
  private scratch = new Uint8Array(32_768);
  private readonly told = new Int32Array(mostTargets);

  constructor(buffer: ArrayBufferLike, offset: number, room: number) {
    this.words = new Int32Array(buffer, offset, logRingBytes(room) / 4);
    this.data = new Uint8Array(buffer, offset + headerBytes, room);
    this.room = room;
    this.mask = room - 1;
    this.told.set(this.words.subarray(droppedAt, droppedAt + mostTargets));
  }

  /** Takes what is there, at most about `most` octets at a time. False: there is more. */
  drain(sink: LogSink, most = this.room): boolean {
    const { words } = this;
    const head = Atomics.load(words, headAt);
    let tail = words[tailAt] ?? 0;
    const stop = (head - tail) | 0;
    if (stop < 0 || stop > this.room || (head & 3) !== 0 || (tail & 3) !== 0)
      return this.repair(head);
    let taken = 0;
    while (taken < stop && taken < most) {
      const length = this.word(tail);
      const target = this.word((tail + 4) | 0);
      // Looked at before it is padded, which would wrap for the largest.
      if (length < 0 || length > stop) return this.repair(head);
      const size = recordHead + padded(length);
      if (size > stop - taken || target < 0 || target >= mostTargets) {
        return this.repair(head);
      }
      const at = (tail + recordHead) & this.mask;
      // Freed only afterwards: the sink may read right from the ring.
      if (at + length <= this.room) sink.line(target, this.data, at, at + length);
      else sink.line(target, this.joined(at, length), 0, length);
      tail = (tail + size) | 0;
      taken += size;
      Atomics.store(words, tailAt, tail);
    }
    return taken >= stop;
  }

  /** Lines of requests are wanted until then, a word as for `watched`; 0: no longer. */
  watch(until: number): void {
    Atomics.store(this.words, watchedAt, until);
  }

  /** Lines that were dropped for a target since the last call. */
  dropped(target: number): number {
    const now = Atomics.load(this.words, droppedAt + target);
    const gained = (now - (this.told[target] ?? 0)) >>> 0;
    this.told[target] = now;
    return gained;
  }

  private repair(head: number): boolean {
    this.broken += 1;
    // A producer writes at whole words only; where it says otherwise nothing can be read any more.
    Atomics.store(this.words, tailAt, head);
    return true;
  }

  private joined(at: number, length: number): Uint8Array {
    if (length > this.scratch.length) this.scratch = new Uint8Array(padded(length));
    const first = this.room - at;
    this.scratch.set(this.data.subarray(at, this.room), 0);
    this.scratch.set(this.data.subarray(0, length - first), first);
    return this.scratch;
  }

  private word(position: number): number {
    return this.words[(headerBytes >> 2) + ((position & this.mask) >> 2)] ?? -1;
  }
}
