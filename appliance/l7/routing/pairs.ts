/**
 * Names and values of one request, decoded: the parameters of its query (as forms write them,
 * WHATWG URL §5.1) or its cookies (RFC 6265 §5.4, as a server reads what that section sends).
 *
 * Invariant: every pair is kept, in order within a bucket of its name's hash, so a test sees all
 * values of a name; memory grows to the largest request and is used again.
 */
import type { RequestHead } from '../http1/request-head.js';
import { nameId } from '../http1/names.js';
import { hexValue, HT, SEMICOLON, SP } from '../http1/octets.js';
import { sameOctets } from './patterns.js';

const AMPERSAND = 0x26;
const EQUALS = 0x3d;
const PERCENT = 0x25;
const PLUS = 0x2b;
const buckets = 64;
const wholeBuckets = 256;

/** The hash of a name in a table of pairs, with regard to case; of a pair: the value from there. */
export function pairHash(bytes: Uint8Array, start: number, end: number, from = 0): number {
  let hash = from;
  for (let i = start; i < end; i += 1) hash = (Math.imul(hash, 31) + (bytes[i] ?? 0)) | 0;
  return hash;
}

export class Pairs {
  count = 0;
  bytes = new Uint8Array(1024);
  valueStart = new Int32Array(32);
  valueEnd = new Int32Array(32);
  private nameStart = new Int32Array(32);
  private nameEnd = new Int32Array(32);
  private hashes = new Int32Array(32);
  private next = new Int32Array(32);
  /** By name and value together, so many tests for exact values cost little each. */
  private wholeHashes = new Int32Array(32);
  private wholeNext = new Int32Array(32);
  private readonly first = new Int32Array(buckets).fill(-1);
  private readonly last = new Int32Array(buckets).fill(-1);
  private readonly wholeFirst = new Int32Array(wholeBuckets).fill(-1);
  private used = 0;

  clear(): void {
    if (this.count > 0) {
      this.first.fill(-1);
      this.last.fill(-1);
      this.wholeFirst.fill(-1);
    }
    this.count = 0;
    this.used = 0;
  }

  /** The first pair of this name, or the next one after `after`; -1 when there is none. */
  find(name: Uint8Array, hash: number, after: number): number {
    let at = after < 0 ? (this.first[hash & (buckets - 1)] ?? -1) : (this.next[after] ?? -1);
    while (at >= 0) {
      if (this.hashes[at] === hash && this.isNamed(at, name)) return at;
      at = this.next[at] ?? -1;
    }
    return -1;
  }

  /** Whether a pair has this name and this value; `hash` is that of both. */
  hasWhole(name: Uint8Array, value: Uint8Array, hash: number): boolean {
    let at = this.wholeFirst[hash & (wholeBuckets - 1)] ?? -1;
    while (at >= 0) {
      if (this.wholeHashes[at] === hash && this.isNamed(at, name)) {
        const start = this.valueStart[at] ?? 0;
        if (sameOctets(value, this.bytes, start, this.valueEnd[at] ?? 0)) return true;
      }
      at = this.wholeNext[at] ?? -1;
    }
    return false;
  }

  private isNamed(at: number, name: Uint8Array): boolean {
    return sameOctets(name, this.bytes, this.nameStart[at] ?? 0, this.nameEnd[at] ?? 0);
  }

  /** The query in [start, end), without its "?". */
  readQuery(bytes: Uint8Array, start: number, end: number): void {
    this.clear();
    let p = start;
    while (p < end) {
      let stop = p;
      while (stop < end && bytes[stop] !== AMPERSAND) stop += 1;
      if (stop > p) {
        let equals = p;
        while (equals < stop && bytes[equals] !== EQUALS) equals += 1;
        this.makeRoom(stop - p);
        const nameStart = this.used;
        this.decode(bytes, p, equals);
        const nameEnd = this.used;
        if (equals < stop) this.decode(bytes, equals + 1, stop);
        this.add(nameStart, nameEnd);
      }
      p = stop + 1;
    }
  }

  /** Decoded octets after those that are used; "%" without two digits stands for itself. */
  private decode(bytes: Uint8Array, start: number, end: number): void {
    const out = this.bytes;
    let q = this.used;
    for (let p = start; p < end; p += 1) {
      const c = bytes[p] ?? 0;
      if (c === PERCENT && p + 2 < end) {
        const high = hexValue[bytes[p + 1] ?? 0] ?? 255;
        const low = hexValue[bytes[p + 2] ?? 0] ?? 255;
        if (high < 16 && low < 16) {
          out[q++] = high * 16 + low;
          p += 2;
          continue;
        }
      }
      out[q++] = c === PLUS ? SP : c;
    }
    this.used = q;
  }

  /** The pairs of all Cookie fields; what has no "=" is none. */
  readCookies(head: RequestHead, bytes: Uint8Array): void {
    this.clear();
    if (!head.has(nameId.cookie)) return;
    for (let i = 0; i < head.count; i += 1) {
      if (head.ids[i] !== nameId.cookie) continue;
      const end = head.valueEnd[i] ?? 0;
      let p = head.valueStart[i] ?? 0;
      while (p < end) {
        let stop = p;
        while (stop < end && bytes[stop] !== SEMICOLON) stop += 1;
        this.addCookie(bytes, p, stop);
        p = stop + 1;
      }
    }
  }

  private addCookie(bytes: Uint8Array, start: number, end: number): void {
    let equals = start;
    while (equals < end && bytes[equals] !== EQUALS) equals += 1;
    if (equals === end) return;
    this.makeRoom(end - start);
    const nameStart = this.used;
    this.copyTrimmed(bytes, start, equals);
    const nameEnd = this.used;
    this.copyTrimmed(bytes, equals + 1, end);
    this.add(nameStart, nameEnd);
  }

  private copyTrimmed(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    let to = end;
    while (from < to && (bytes[from] === SP || bytes[from] === HT)) from += 1;
    while (to > from && (bytes[to - 1] === SP || bytes[to - 1] === HT)) to -= 1;
    for (let p = from; p < to; p += 1) this.bytes[this.used++] = bytes[p] ?? 0;
  }

  /** Takes the name as given, and as value what was written after it. */
  private add(nameStart: number, nameEnd: number): void {
    const at = this.count;
    const hash = pairHash(this.bytes, nameStart, nameEnd);
    const bucket = hash & (buckets - 1);
    this.nameStart[at] = nameStart;
    this.nameEnd[at] = nameEnd;
    this.valueStart[at] = nameEnd;
    this.valueEnd[at] = this.used;
    this.hashes[at] = hash;
    this.next[at] = -1;
    const last = this.last[bucket] ?? -1;
    if (last < 0) this.first[bucket] = at;
    else this.next[last] = at;
    this.last[bucket] = at;
    const whole = pairHash(this.bytes, nameEnd, this.used, hash);
    const wholeBucket = whole & (wholeBuckets - 1);
    this.wholeHashes[at] = whole;
    this.wholeNext[at] = this.wholeFirst[wholeBucket] ?? -1;
    this.wholeFirst[wholeBucket] = at;
    this.count = at + 1;
  }

  /** For one pair more, of `size` octets together. */
  private makeRoom(size: number): void {
    if (this.used + size > this.bytes.length) {
      const bytes = new Uint8Array(2 * (this.used + size));
      bytes.set(this.bytes.subarray(0, this.used));
      this.bytes = bytes;
    }
    if (this.count < this.next.length) return;
    this.nameStart = doubled(this.nameStart);
    this.nameEnd = doubled(this.nameEnd);
    this.valueStart = doubled(this.valueStart);
    this.valueEnd = doubled(this.valueEnd);
    this.hashes = doubled(this.hashes);
    this.next = doubled(this.next);
    this.wholeHashes = doubled(this.wholeHashes);
    this.wholeNext = doubled(this.wholeNext);
  }
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const out = new Int32Array(2 * array.length);
  out.set(array);
  return out;
}
