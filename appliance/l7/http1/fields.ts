/**
 * A field section, parsed where it lies: RFC 9112 §5 (field lines) and §7.1.2 (trailers).
 *
 * The bytes are never copied; the table holds offsets into the caller's array. Parsing
 * may stop after any byte and go on when more are there: every verdict depends on the
 * position of the first wrong octet alone, so any split of the bytes gives the same.
 *
 * Invariant: a section that is done consists of lines `name ":" value CR LF`, one right
 * after the other from nameStart[0] to `fieldsEnd`, without a control octet in it.
 */
import { faults, progress, type Fault, type Progress } from './faults.js';
import { findName, hashName, hashStep, sameName } from './names.js';
import { COLON, CR, HT, LF, nameFold, SP, tokenLower, valueOctet } from './octets.js';

/** States of the field section; those of start lines follow from `startStates` on. */
const at = {
  line: 0,
  name: 1,
  space: 2,
  value: 3,
  valueLf: 4,
  endLf: 5,
  done: 6,
  refused: 7,
} as const;
export const startStates = 8;

/** Field lines and what is known of them. Read `count`, the offsets and `ids`; `drop` may be set. */
export class FieldSection {
  readonly nameStart: Int32Array;
  readonly nameEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  /** The number of a known name (`nameId`), or 0. */
  readonly ids: Uint8Array;
  readonly hashes: Int32Array;
  /** 1: the field stays behind at this hop. */
  readonly drop: Uint8Array;
  count = 0;
  /** Bits of the known names that are there at all, and more than once. */
  seen = 0;
  seenTwice = 0;
  /** Why it was refused, while `parse` says so. */
  fault: Fault | null = null;
  /** First byte of the section or head; everything before it may be overwritten. */
  start = 0;
  /** Where the empty line begins, and where what follows begins, when done. */
  fieldsEnd = 0;
  end = 0;

  protected state: number = at.line;
  protected pos = 0;
  private hash = 0;
  private readonly first = new Int16Array(32);
  protected limitAt = 0;

  constructor(
    readonly maxFields: number,
    readonly maxBytes: number,
  ) {
    this.nameStart = new Int32Array(maxFields);
    this.nameEnd = new Int32Array(maxFields);
    this.valueStart = new Int32Array(maxFields);
    this.valueEnd = new Int32Array(maxFields);
    this.ids = new Uint8Array(maxFields);
    this.hashes = new Int32Array(maxFields);
    this.drop = new Uint8Array(maxFields);
  }

  /** Forgets everything; the next section begins at `start`. */
  reset(start: number): void {
    this.state = at.line;
    this.start = start;
    this.pos = start;
    this.limitAt = start + this.maxBytes;
    this.count = 0;
    this.seen = 0;
    this.seenTwice = 0;
    this.fault = null;
  }

  /** The bytes were moved by `delta` while the section was being read or is in use. */
  move(delta: number): void {
    this.start += delta;
    this.pos += delta;
    this.limitAt += delta;
    this.fieldsEnd += delta;
    this.end += delta;
    for (let i = 0; i <= this.count && i < this.maxFields; i += 1) {
      this.nameStart[i] = (this.nameStart[i] ?? 0) + delta;
      this.nameEnd[i] = (this.nameEnd[i] ?? 0) + delta;
      this.valueStart[i] = (this.valueStart[i] ?? 0) + delta;
      this.valueEnd[i] = (this.valueEnd[i] ?? 0) + delta;
    }
  }

  /** Whether any byte of the section was seen: a connection that ends before is just idle. */
  get begun(): boolean {
    return this.pos > this.start;
  }

  protected refuse(fault: Fault): Progress {
    this.state = at.refused;
    this.fault = fault;
    return progress.refused;
  }

  /** Called once when the empty line was read: the rules between fields. */
  protected finish(_bytes: Uint8Array): Fault | null {
    return null;
  }

  /** Reads on from where it stopped; `end` is where the bytes end that are there now. */
  parse(bytes: Uint8Array, end: number): Progress {
    if (this.state === at.refused) return progress.refused;
    if (this.state === at.done) return progress.done;
    return this.parseFields(bytes, end);
  }

  /** Stops at `pos`: for more bytes, or for good when the limit is reached. */
  private pause(pos: number): Progress {
    this.pos = pos;
    return pos >= this.limitAt ? this.refuse(faults.headTooLarge) : progress.more;
  }

  protected parseFields(bytes: Uint8Array, available: number): Progress {
    const end = available < this.limitAt ? available : this.limitAt;
    let p = this.pos;
    let state = this.state;
    for (;;) {
      if (p >= end) {
        this.state = state;
        return this.pause(p);
      }
      if (state === at.line) {
        const c = bytes[p] ?? 0;
        if (c === CR) {
          state = at.endLf;
          this.fieldsEnd = p;
          p += 1;
          continue;
        }
        if (c === LF) return this.refuse(faults.bareLf);
        if (c === SP || c === HT) return this.refuse(faults.obsFold);
        if (this.count === this.maxFields) return this.refuse(faults.tooManyFields);
        this.nameStart[this.count] = p;
        this.hash = 0;
        state = at.name;
      }
      if (state === at.name) {
        let hash = this.hash;
        while (p < end) {
          const c = nameFold[bytes[p] ?? 0] ?? 0;
          if (c === 0) break;
          hash = hashStep(hash, c);
          p += 1;
        }
        this.hash = hash;
        if (p >= end) continue;
        const fault = this.endName(bytes, p, hash);
        if (fault !== null) return this.refuse(fault);
        p += 1;
        state = at.space;
      }
      if (state === at.space) {
        while (p < end && (bytes[p] === SP || bytes[p] === HT)) p += 1;
        if (p >= end) continue;
        this.valueStart[this.count] = p;
        state = at.value;
      }
      if (state === at.value) {
        p = skipValue(bytes, p, end);
        if (p >= end) continue;
        if (bytes[p] !== CR) {
          return this.refuse(bytes[p] === LF ? faults.bareLf : faults.badValue);
        }
        p += 1;
        state = at.valueLf;
        if (p >= end) continue;
      }
      if (state === at.valueLf) {
        if (bytes[p] !== LF) return this.refuse(faults.bareCr);
        this.endValue(bytes, p - 1);
        p += 1;
        state = at.line;
        continue;
      }
      // The empty line.
      if (bytes[p] !== LF) return this.refuse(faults.bareCr);
      this.end = p + 1;
      this.pos = p + 1;
      this.state = at.done;
      const fault = this.finish(bytes);
      return fault === null ? progress.done : this.refuse(fault);
    }
  }

  private endName(bytes: Uint8Array, p: number, hash: number): Fault | null {
    const index = this.count;
    const c = bytes[p] ?? 0;
    const start = this.nameStart[index] ?? 0;
    if (c !== COLON) {
      if (c === SP || c === HT) return faults.spaceBeforeColon;
      if (c === LF) return faults.bareLf;
      return c === CR ? faults.noColon : faults.badName;
    }
    if (p === start) return faults.noName;
    const id = findName(bytes, start, p, hash);
    if (id < 0) return faults.underscoreName;
    this.nameEnd[index] = p;
    this.ids[index] = id;
    this.hashes[index] = hash;
    this.drop[index] = 0;
    if (id > 0 && id < 32) {
      const bit = 1 << id;
      if ((this.seen & bit) !== 0) this.seenTwice |= bit;
      else {
        this.seen |= bit;
        this.first[id] = index;
      }
    }
    return null;
  }

  private endValue(bytes: Uint8Array, end: number): void {
    const start = this.valueStart[this.count] ?? 0;
    let p = end;
    while (p > start && (bytes[p - 1] === SP || bytes[p - 1] === HT)) p -= 1;
    this.valueEnd[this.count] = p;
    this.count += 1;
  }

  has(id: number): boolean {
    return (this.seen & (1 << id)) !== 0;
  }

  hasTwice(id: number): boolean {
    return (this.seenTwice & (1 << id)) !== 0;
  }

  /** Index of the first field of a known name, or -1. */
  firstOf(id: number): number {
    return this.has(id) ? (this.first[id] ?? -1) : -1;
  }

  /** Index of the first field from `from` on with this name (in lower case), or -1. */
  find(bytes: Uint8Array, name: Uint8Array, from = 0): number {
    const hash = hashName(name, 0, name.length);
    for (let i = from; i < this.count; i += 1) {
      if (
        this.hashes[i] === hash &&
        sameName(bytes, this.nameStart[i] ?? 0, this.nameEnd[i] ?? 0, name, 0, name.length)
      ) {
        return i;
      }
    }
    return -1;
  }

  /** First byte after the line of a field. */
  lineEnd(index: number): number {
    return index + 1 < this.count ? (this.nameStart[index + 1] ?? 0) : this.fieldsEnd;
  }

  /** A value as text, for logs and rules that ask for it; this allocates. */
  value(bytes: Uint8Array, index: number): string {
    return latin1(bytes, this.valueStart[index] ?? 0, this.valueEnd[index] ?? 0);
  }

  name(bytes: Uint8Array, index: number): string {
    return latin1(bytes, this.nameStart[index] ?? 0, this.nameEnd[index] ?? 0);
  }
}

/** The first octet from `p` on that no value has, or `end`. Four at a time, as most are long. */
function skipValue(bytes: Uint8Array, from: number, end: number): number {
  const allowed = valueOctet;
  let p = from;
  const last = end - 3;
  while (p < last) {
    const all =
      (allowed[bytes[p] ?? 0] ?? 0) &
      (allowed[bytes[p + 1] ?? 0] ?? 0) &
      (allowed[bytes[p + 2] ?? 0] ?? 0) &
      (allowed[bytes[p + 3] ?? 0] ?? 0);
    if (all === 0) break;
    p += 4;
  }
  while (p < end && allowed[bytes[p] ?? 0] !== 0) p += 1;
  return p;
}

/** Octets as a string, one character each. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

/** Whether the octets are a word, which is in lower case, without regard to case. */
export function isWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  if (end - start !== word.length) return false;
  for (let i = 0; i < word.length; i += 1) {
    if (tokenLower[bytes[start + i] ?? 0] !== word[i]) return false;
  }
  return true;
}
