/**
 * Text of a log line, octet by octet: JSON strings (RFC 8259 §7, with UTF-8 by RFC 3629), the
 * quoted words of Apache's formats, numbers, and times (RFC 3339, RFC 9110's month names).
 *
 * Invariants:
 * - No octet from outside can end a string, a line or an escape sequence of a terminal: control
 *   characters of C0 and C1, line and paragraph separators and marks that turn the direction of
 *   writing are escaped.
 * - A JSON string is valid UTF-8: what is not becomes U+FFFD, as decoders do it (WHATWG Encoding).
 * - A string is cut between characters where its room ends, and `cut` says so.
 * - Nothing is allocated, and there is always room: who writes adds up the most of each part.
 */
import { octets } from '../http1/octets.js';

const monthNames = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ').map(octets);
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DEL = 0x7f;

/** 1: stands for itself in both formats. */
const plain = Uint8Array.from({ length: 256 }, (_, c) =>
  c >= 0x20 && c < DEL && c !== QUOTE && c !== BACKSLASH ? 1 : 0,
);

const hexDigit = (nibble: number): number => (nibble < 10 ? 0x30 + nibble : 0x57 + nibble);

/**
 * Octets of the UTF-8 character at `i`, or, negative, how many octets together are none. Not for
 * ASCII.
 */
function utf8Length(bytes: Uint8Array, i: number, end: number): number {
  const lead = bytes[i] ?? 0;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  let low = 0x80;
  let high = 0xbf;
  if (lead === 0xe0) low = 0xa0;
  else if (lead === 0xed) high = 0x9f;
  else if (lead === 0xf0) low = 0x90;
  else if (lead === 0xf4) high = 0x8f;
  for (let k = 1; k < length; k += 1) {
    const c = i + k < end ? (bytes[i + k] ?? 0) : 0;
    if (c < low || c > high) return -k;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

/** The character at `i` when it is one that must not be seen as it is, else 0. */
function hidden(bytes: Uint8Array, i: number, length: number): number {
  const a = bytes[i] ?? 0;
  const b = bytes[i + 1] ?? 0;
  if (length === 2) {
    if (a === 0xc2 && b < 0xa0) return b; // U+0080 – U+009F: C1
    return a === 0xd8 && b === 0x9c ? 0x061c : 0;
  }
  if (length !== 3) return 0;
  const c = bytes[i + 2] ?? 0;
  const code = ((a & 0x0f) << 12) | ((b & 0x3f) << 6) | (c & 0x3f);
  if (code >= 0x200b && code <= 0x200f) return code;
  if (code >= 0x2028 && code <= 0x202e) return code;
  if (code >= 0x2060 && code <= 0x206f) return code;
  return code === 0xfeff ? code : 0;
}

export class LineText {
  /** Where the next octet goes. */
  at = 0;
  /** A string was cut since `start`. */
  cut = false;
  /** The second that `clock` and `apache` show. */
  private second = -1;
  private readonly clock = octets('1970-01-01T00:00:00');
  private readonly apache = octets('01/Jan/1970:00:00:00 +0000');

  constructor(readonly bytes: Uint8Array) {}

  start(): void {
    this.at = 0;
    this.cut = false;
  }

  octet(value: number): void {
    this.bytes[this.at++] = value;
  }

  /** As it is. */
  raw(text: Uint8Array): void {
    const out = this.bytes;
    let p = this.at;
    for (let i = 0; i < text.length; i += 1) out[p++] = text[i] ?? 0;
    this.at = p;
  }

  /** Digits of a natural number below 2^53; other numbers are written as 0. */
  decimal(value: number): void {
    if (!(value >= 1 && value <= Number.MAX_SAFE_INTEGER)) {
      this.octet(0x30);
      return;
    }
    let digits = 0;
    for (let rest = Math.floor(value); rest > 0; rest = Math.floor(rest / 10)) digits += 1;
    let rest = Math.floor(value);
    for (let p = this.at + digits - 1; p >= this.at; p -= 1) {
      this.bytes[p] = 0x30 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.at += digits;
  }

  /** What a JSON string holds of [start, end), in at most `most` octets. */
  json(bytes: Uint8Array, start: number, end: number, most: number): void {
    const out = this.bytes;
    const stop = this.at + most;
    let p = this.at;
    let i = start;
    while (i < end) {
      const c = bytes[i] ?? 0;
      if (plain[c] === 1) {
        if (p >= stop) break;
        out[p++] = c;
        i += 1;
        continue;
      }
      if (c < 0x80) {
        if (p + 6 > stop) break;
        p = this.unicode(p, c);
        i += 1;
        continue;
      }
      const length = utf8Length(bytes, i, end);
      const escape = length < 0 ? 0xfffd : hidden(bytes, i, length);
      if (escape !== 0) {
        if (p + 6 > stop) break;
        p = this.unicode(p, escape);
        i += length < 0 ? -length : length;
        continue;
      }
      if (p + length > stop) break;
      for (let k = 0; k < length; k += 1) out[p++] = bytes[i++] ?? 0;
    }
    if (i < end) this.cut = true;
    this.at = p;
  }

  private unicode(at: number, code: number): number {
    const out = this.bytes;
    out[at] = BACKSLASH;
    out[at + 1] = 0x75;
    out[at + 2] = hexDigit(code >> 12);
    out[at + 3] = hexDigit((code >> 8) & 15);
    out[at + 4] = hexDigit((code >> 4) & 15);
    out[at + 5] = hexDigit(code & 15);
    return at + 6;
  }

  /** The same in Apache's way: everything but printable ASCII, `"` and `\` as \xHH. */
  hex(bytes: Uint8Array, start: number, end: number, most: number): void {
    const out = this.bytes;
    const stop = this.at + most;
    let p = this.at;
    let i = start;
    for (; i < end; i += 1) {
      const c = bytes[i] ?? 0;
      const size = plain[c] === 1 ? 1 : 4;
      if (p + size > stop) break;
      if (size === 1) out[p++] = c;
      else {
        out[p++] = BACKSLASH;
        out[p++] = 0x78;
        out[p++] = hexDigit(c >> 4);
        out[p++] = hexDigit(c & 15);
      }
    }
    if (i < end) this.cut = true;
    this.at = p;
  }

  /**
   * `2026-11-25T16:28:36.123Z`, of milliseconds since 1970, up to the year 9999. They are the first
   * of an array, since a double that is given to a function may be made an object.
   */
  time(milliseconds: Float64Array): void {
    const left = this.tick(milliseconds);
    this.raw(this.clock);
    this.octet(0x2e);
    this.octet(0x30 + Math.floor(left / 100));
    this.octet(0x30 + (Math.floor(left / 10) % 10));
    this.octet(0x30 + (left % 10));
    this.octet(0x5a);
  }

  /** `25/Nov/2026:16:28:36 +0000`. */
  apacheTime(milliseconds: Float64Array): void {
    this.tick(milliseconds);
    this.raw(this.apache);
  }

  /** Writes the second anew when it is another one; returns the milliseconds within it. */
  private tick(milliseconds: Float64Array): number {
    const given = milliseconds[0] ?? 0;
    const moment = given >= 0 && given < 253_402_300_800_000 ? Math.floor(given) : 0;
    const second = Math.floor(moment / 1000);
    if (second !== this.second) this.show(second);
    return moment - second * 1000;
  }

  /** Days to dates: the proleptic Gregorian calendar in eras of 400 years that begin in March. */
  private show(second: number): void {
    this.second = second;
    const days = Math.floor(second / 86_400) + 719_468;
    const era = Math.floor(days / 146_097);
    const inEra = days - era * 146_097;
    const years = Math.floor(
      (inEra -
        Math.floor(inEra / 1460) +
        Math.floor(inEra / 36_524) -
        Math.floor(inEra / 146_096)) /
        365,
    );
    const inYear = inEra - (365 * years + Math.floor(years / 4) - Math.floor(years / 100));
    const fromMarch = Math.floor((5 * inYear + 2) / 153);
    const day = inYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
    const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
    const year = years + era * 400 + (month <= 2 ? 1 : 0);
    const inDay = second % 86_400;
    const { clock, apache } = this;
    pair(clock, 0, Math.floor(year / 100));
    pair(clock, 2, year % 100);
    pair(clock, 5, month);
    pair(clock, 8, day);
    pair(clock, 11, Math.floor(inDay / 3600));
    pair(clock, 14, Math.floor(inDay / 60) % 60);
    pair(clock, 17, inDay % 60);
    pair(apache, 0, day);
    const name = monthNames[month - 1];
    if (name !== undefined) apache.set(name, 3);
    for (let i = 0; i < 4; i += 1) apache[7 + i] = clock[i] ?? 0;
    for (let i = 0; i < 8; i += 1) apache[12 + i] = clock[11 + i] ?? 0;
  }
}

function pair(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = 0x30 + Math.floor(value / 10);
  bytes[at + 1] = 0x30 + (value % 10);
}
