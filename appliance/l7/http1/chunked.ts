/**
 * The chunked coding: RFC 9112 §7.1, decoding step by step and encoding.
 *
 * Invariant: sizes are exact integers; extensions are checked, counted and never passed
 * on; a chunk's end is CR LF and nothing else. Data is never copied: `data*` tells where
 * it lies. What `at` has passed may be overwritten.
 */
import { faults, type Fault } from './faults.js';
import { FieldSection } from './fields.js';
import { defaultLimits, type Limits } from './limits.js';
import { firstCertificateField, nameId } from './names.js';
import { CR, hexValue, HT, LF, QUOTE, BACKSLASH, SEMICOLON, valueOctet } from './octets.js';

const state = {
  size: 0,
  extension: 1,
  quoted: 2,
  quotedPair: 3,
  sizeLf: 4,
  data: 5,
  dataCr: 6,
  dataLf: 7,
  trailers: 8,
  done: 9,
  refused: 10,
} as const;

export const chunkStep = { more: 0, done: 1, refused: 2, data: 3 } as const;
export type ChunkStep = (typeof chunkStep)[keyof typeof chunkStep];

/** Digits of a chunk size, leading zeros too; 13 digits of them are below 2^53. */
const maxDigits = 16;
const maxSizeBeforeDigit = 2 ** 49;

/** Fields that may frame, route or authenticate are never trailers (RFC 9110 §6.5.1). */
const forbidden = new Uint8Array(256);
for (const name of [
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'via',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-real-ip',
  'x-request-id',
  'http2-settings',
  'max-forwards',
  'cookie',
  'set-cookie',
  'authorization',
  'proxy-authorization',
  'proxy-authenticate',
  'content-encoding',
  'content-range',
] as const) {
  forbidden[nameId[name]] = 1;
}
forbidden.fill(1, firstCertificateField);

/** The trailer section; fields that may not be there have `drop` set. */
class Trailers extends FieldSection {
  protected override finish(): Fault | null {
    for (let i = 0; i < this.count; i += 1) this.drop[i] = forbidden[this.ids[i] ?? 0] ?? 0;
    return null;
  }
}

export class ChunkDecoder {
  readonly trailers: FieldSection;
  fault: Fault | null = null;
  /** Everything before it was used. While trailers are read it stays at their begin. */
  at = 0;
  dataStart = 0;
  dataEnd = 0;
  /** Bytes of data so far. */
  total = 0;

  private state: number = state.size;
  private size = 0;
  private digits = 0;
  private extensions = 0;

  constructor(readonly limits: Limits = defaultLimits) {
    this.trailers = new Trailers(limits.trailerFields, limits.trailers);
  }

  reset(start: number): void {
    this.at = start;
    this.fault = null;
    this.total = 0;
    this.extensions = 0;
    this.beginSize();
  }

  /** The bytes from `at` on were moved, or more come at another place. */
  move(delta: number): void {
    this.at += delta;
    if (this.inTrailers() || this.state === state.done) this.trailers.move(delta);
  }

  private inTrailers(): boolean {
    return this.state === state.trailers;
  }

  private beginSize(): void {
    this.state = state.size;
    this.size = 0;
    this.digits = 0;
  }

  private refuse(fault: Fault): ChunkStep {
    this.state = state.refused;
    this.fault = fault;
    return chunkStep.refused;
  }

  /** Goes on from `at` to `end`; `data` hands out one piece, call again for the next. */
  next(bytes: Uint8Array, end: number): ChunkStep {
    let p = this.at;
    for (;;) {
      if (this.state === state.trailers) return this.readTrailers(bytes, end);
      if (this.state === state.done) return chunkStep.done;
      if (this.state === state.refused) return chunkStep.refused;
      if (p >= end) {
        this.at = p;
        return chunkStep.more;
      }
      if (this.state === state.data) {
        // A whole 32-bit number, else offsets would become doubles, which live on the heap.
        const size = Math.min(this.size, end - p) | 0;
        this.dataStart = p;
        this.dataEnd = p + size;
        this.at = p + size;
        this.size -= size;
        this.total += size;
        if (this.size === 0) this.state = state.dataCr;
        return chunkStep.data;
      }
      const fault = this.step(bytes[p] ?? 0);
      if (fault !== null) return this.refuse(fault);
      p += 1;
      this.at = p;
      if (this.inTrailers()) this.trailers.reset(p);
    }
  }

  /** One octet outside data. */
  private step(c: number): Fault | null {
    switch (this.state) {
      case state.size:
        return this.stepSize(c);
      case state.extension:
      case state.quoted:
      case state.quotedPair:
        return this.stepExtension(c);
      case state.sizeLf:
        if (c !== LF) return faults.bareCr;
        if (this.size > 0) this.state = state.data;
        else this.state = state.trailers;
        return null;
      case state.dataCr:
        if (c !== CR) return faults.badChunkEnd;
        this.state = state.dataLf;
        return null;
      default:
        if (c !== LF) return faults.badChunkEnd;
        this.beginSize();
        return null;
    }
  }

  private stepSize(c: number): Fault | null {
    const digit = hexValue[c] ?? 255;
    if (digit < 16) {
      this.digits += 1;
      if (this.digits > maxDigits || this.size >= maxSizeBeforeDigit) return faults.chunkOverflow;
      this.size = this.size < 2 ** 26 ? (this.size << 4) | digit : this.size * 16 + digit;
      return null;
    }
    if (this.digits === 0) return c === LF ? faults.bareLf : faults.badChunkSize;
    if (c === LF) return faults.bareLf;
    if (c !== CR && c !== SEMICOLON) return faults.badChunkSize;
    // Said before any byte of the chunk is passed on.
    if (this.total + this.size > this.limits.body) return faults.bodyTooLarge;
    this.state = c === CR ? state.sizeLf : state.extension;
    return null;
  }

  private stepExtension(c: number): Fault | null {
    this.extensions += 1;
    if (this.extensions > this.limits.chunkExtensions) return faults.chunkExtensionTooLarge;
    if (c === LF) return faults.bareLf;
    if (this.state === state.extension && c === CR) {
      this.state = state.sizeLf;
      return null;
    }
    // Only ASCII: where an octet above could matter, a reader might mean UTF-8.
    if (valueOctet[c] === 0 || c > 0x7e) return faults.badChunkExtension;
    if (this.state === state.quotedPair) this.state = state.quoted;
    else if (c === QUOTE) {
      this.state = this.state === state.quoted ? state.extension : state.quoted;
    } else if (c === BACKSLASH) {
      if (this.state !== state.quoted) return faults.badChunkExtension;
      this.state = state.quotedPair;
    } else if (c === HT && this.state !== state.quoted) {
      return faults.badChunkExtension;
    }
    return null;
  }

  private readTrailers(bytes: Uint8Array, end: number): ChunkStep {
    const trailers = this.trailers;
    const result = trailers.parse(bytes, end);
    if (result === chunkStep.refused) return this.refuse(trailers.fault ?? faults.badValue);
    if (result === chunkStep.more) return chunkStep.more;
    this.state = state.done;
    this.at = trailers.end;
    return chunkStep.done;
  }
}

const hexDigits = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0));

/** Most bytes that `writeChunkSize` writes. */
export const chunkSizeRoom = 16;

/** `size` in hexadecimal and CR LF at `at`; returns the end. Sizes are never 0 here. */
export function writeChunkSize(out: Uint8Array, at: number, size: number): number {
  let digits = 1;
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 16)) digits += 1;
  let rest = size;
  for (let i = digits - 1; i >= 0; i -= 1) {
    out[at + i] = hexDigits[rest % 16] ?? 0;
    rest = Math.floor(rest / 16);
  }
  return writeLineEnd(out, at + digits);
}

/** CR LF, which ends the data of a chunk and a line. */
export function writeLineEnd(out: Uint8Array, at: number): number {
  out[at] = CR;
  out[at + 1] = LF;
  return at + 2;
}

/**
 * The last chunk with those trailers that may go on, or without any; returns the end, or
 * -1 when it does not fit.
 */
export function writeLastChunk(
  out: Uint8Array,
  at: number,
  limit: number,
  bytes: Uint8Array,
  trailers: FieldSection | null,
): number {
  if (limit - at < 5) return -1;
  out[at] = 0x30;
  let p = writeLineEnd(out, at + 1);
  for (let i = 0; trailers !== null && i < trailers.count; i += 1) {
    if (trailers.drop[i] !== 0) continue;
    const end = trailers.lineEnd(i);
    if (limit - p < end - (trailers.nameStart[i] ?? 0) + 2) return -1;
    for (let from = trailers.nameStart[i] ?? 0; from < end; from += 1) out[p++] = bytes[from] ?? 0;
  }
  return writeLineEnd(out, p);
}
