/**
 * Writes octets one after the other into a part of a larger array, and remembers when it
 * was too small.
 *
 * Invariant: nothing is written at or after `limit`, and nothing is allocated.
 */
import { COLON, CR, LF, SP } from './octets.js';

/** From this length on, moving within one array by copyWithin is faster than a loop. */
const worthCopyWithin = 48;

const nothing = new Uint8Array(0);

export class Writer {
  at = 0;
  overflow = false;
  private out: Uint8Array = nothing;
  private limit = 0;

  reset(out: Uint8Array, at: number, limit: number): void {
    this.out = out;
    this.at = at;
    this.limit = Math.min(limit, out.length);
    this.overflow = false;
  }

  private room(size: number): boolean {
    if (this.limit - this.at >= size) return true;
    this.overflow = true;
    return false;
  }

  copy(bytes: Uint8Array, start: number, end: number): void {
    if (!this.room(end - start)) return;
    const out = this.out;
    let p = this.at;
    if (bytes === out && end - start >= worthCopyWithin) out.copyWithin(p, start, end);
    else for (let i = start; i < end; i += 1) out[p++] = bytes[i] ?? 0;
    this.at += end - start;
  }

  all(bytes: Uint8Array): void {
    this.copy(bytes, 0, bytes.length);
  }

  octet(value: number): void {
    if (this.room(1)) this.out[this.at++] = value;
  }

  lineEnd(): void {
    if (!this.room(2)) return;
    this.out[this.at++] = CR;
    this.out[this.at++] = LF;
  }

  /** Takes back the empty line that a head ends with, so that more fields can follow. */
  reopen(): void {
    if (!this.overflow) this.at -= 2;
  }

  /** `name: ` of a field. */
  name(name: Uint8Array): void {
    this.all(name);
    this.octet(COLON);
    this.octet(SP);
  }

  /** A natural number in decimal digits. */
  decimal(value: number): void {
    let digits = 1;
    for (let rest = Math.floor(value / 10); rest > 0; rest = Math.floor(rest / 10)) digits += 1;
    if (!this.room(digits)) return;
    let rest = value;
    for (let i = digits - 1; i >= 0; i -= 1) {
      this.out[this.at + i] = 0x30 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.at += digits;
  }

  /** The lowest `digits` hexadecimal digits of a 32-bit number. */
  hex(value: number, digits: number): void {
    if (!this.room(digits)) return;
    for (let i = digits - 1; i >= 0; i -= 1) {
      const nibble = (value >>> (4 * i)) & 15;
      this.out[this.at++] = nibble < 10 ? 0x30 + nibble : 0x57 + nibble;
    }
  }

  /** The end of what was written, or -1 when it did not fit. */
  get end(): number {
    return this.overflow ? -1 : this.at;
  }
}
