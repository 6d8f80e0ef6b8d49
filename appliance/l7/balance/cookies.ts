/**
 * Cookies in heads: RFC 6265 §4.2.1 (Cookie: pairs with ";" between them), §4.1.1 (Set-Cookie).
 *
 * Invariant: other cookies stay as they are, octet by octet; what has no form is skipped up to the next
 * ";".
 */
import type { FieldSection } from '../http1/fields.js';
import { nameId } from '../http1/names.js';
import { HT, octets, QUOTE, SEMICOLON, SP } from '../http1/octets.js';

const EQUALS = 0x3d;

const isSpace = (octet: number | undefined): boolean => octet === SP || octet === HT;

/** Finds the cookies of one name in a request, one after the other. */
export class CookieFinder {
  /** The value, without quotes. */
  start = 0;
  end = 0;
  /** Index of the field that has it, and the whole pair. */
  field = 0;
  pairStart = 0;
  pairEnd = 0;
  readonly #name: Uint8Array;
  #next = -1;

  constructor(name: string) {
    this.#name = octets(name);
  }

  begin(): void {
    this.field = 0;
    this.#next = -1;
  }

  next(head: FieldSection, bytes: Uint8Array): boolean {
    if (!head.has(nameId.cookie)) return false;
    for (; this.field < head.count; this.field += 1) {
      if (head.ids[this.field] === nameId.cookie && head.drop[this.field] === 0) {
        if (this.#nextOf(head, bytes)) return true;
      }
      this.#next = -1;
    }
    return false;
  }

  #nextOf(head: FieldSection, bytes: Uint8Array): boolean {
    const end = head.valueEnd[this.field] as number;
    let p = this.#next < 0 ? (head.valueStart[this.field] as number) : this.#next;
    while (p < end) {
      if (isSpace(bytes[p]) || bytes[p] === SEMICOLON) {
        p += 1;
        continue;
      }
      const start = p;
      const value = afterName(bytes, p, end, this.#name);
      while (p < end && bytes[p] !== SEMICOLON) p += 1;
      if (value < 0) continue;
      this.pairStart = start;
      this.pairEnd = p;
      this.#next = p;
      this.#value(bytes, value, p);
      return true;
    }
    return false;
  }

  /** Reads a Set-Cookie of this name; false: it is of another, or empty. */
  set(head: FieldSection, bytes: Uint8Array, index: number): boolean {
    const limit = head.valueEnd[index] as number;
    const value = afterName(bytes, head.valueStart[index] as number, limit, this.#name);
    if (value < 0) return false;
    let p = value;
    while (p < limit && bytes[p] !== SEMICOLON) p += 1;
    this.#value(bytes, value, p);
    return this.end > this.start;
  }

  #value(bytes: Uint8Array, from: number, to: number): void {
    let start = from;
    let end = to;
    while (end > start && isSpace(bytes[end - 1])) end -= 1;
    if (end - start >= 2 && bytes[start] === QUOTE && bytes[end - 1] === QUOTE) {
      start += 1;
      end -= 1;
    }
    this.start = start;
    this.end = end;
  }

  /**
   * Takes all cookies of this name out of the request where it lies: what follows in the field moves
   * up, and spaces, which are no part of a value, fill its end. A field without any other is dropped.
   */
  remove(head: FieldSection, bytes: Uint8Array): void {
    this.begin();
    while (this.next(head, bytes)) {
      const { field } = this;
      const end = head.valueEnd[field] as number;
      let from = this.pairStart;
      let to = this.pairEnd;
      while (to < end && (bytes[to] === SEMICOLON || isSpace(bytes[to]))) to += 1;
      const first = head.valueStart[field] as number;
      if (to === end) {
        while (from > first && (bytes[from - 1] === SEMICOLON || isSpace(bytes[from - 1]))) {
          from -= 1;
        }
      }
      if (from === first && to === end) {
        head.drop[field] = 1;
        continue;
      }
      bytes.copyWithin(from, to, end);
      const last = end - (to - from);
      bytes.fill(SP, last, end);
      head.valueEnd[field] = last;
      this.#next = from;
    }
  }
}

/** Where the value begins of a pair of this name at `p`, or -1. */
function afterName(bytes: Uint8Array, p: number, end: number, name: Uint8Array): number {
  const { length } = name;
  if (end - p <= length || bytes[p + length] !== EQUALS) return -1;
  for (let i = 0; i < length; i += 1) if (bytes[p + i] !== name[i]) return -1;
  return p + length + 1;
}

export interface CookieAttributes {
  readonly maxAge: number | null;
  readonly path: string;
  readonly domain: string | null;
  readonly secure: boolean;
  readonly httpOnly: boolean;
  readonly sameSite: 'lax' | 'strict' | 'none' | null;
}

const sameSites = { lax: 'Lax', strict: 'Strict', none: 'None' } as const;

/** A whole field line. Throws RangeError when a text cannot stand in it: the schema asks before. */
export function setCookieLine(
  name: string,
  value: string,
  attributes: CookieAttributes,
): Uint8Array {
  const { maxAge, path, domain, secure, httpOnly, sameSite } = attributes;
  const parts = [`Set-Cookie: ${name}=${value}`, `Path=${path}`];
  if (domain !== null) parts.push(`Domain=${domain}`);
  if (maxAge !== null) parts.push(`Max-Age=${maxAge}`);
  if (secure) parts.push('Secure');
  if (httpOnly) parts.push('HttpOnly');
  if (sameSite !== null) parts.push(`SameSite=${sameSites[sameSite]}`);
  for (const part of parts) {
    if (/[^ -:<-~]/.test(part)) {
      throw new RangeError(
        `"${part}" cannot be a part of a cookie: use visible characters other than ";".`,
      );
    }
  }
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) {
    throw new RangeError(`"${name}" is not a name of a cookie: use letters, digits, "-" and "_".`);
  }
  return octets(`${parts.join('; ')}\r\n`);
}
