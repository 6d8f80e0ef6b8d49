/**
 * The few values of other fields that decide whether a response may be coded: directives of
 * Cache-Control (RFC 9111 §5.2), entity tags of If-None-Match (RFC 9110 §13.1.2), media types of
 * Content-Type (RFC 9110 §8.3.1).
 *
 * Invariant: nothing within quotes is taken for a directive or a tag.
 */
import { BACKSLASH, COMMA, HT, octets, QUOTE, SEMICOLON, SP } from '../http1/octets.js';

const noTransform = octets('no-transform');

function lower(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
}

function begins(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  if (end - start < word.length) return false;
  for (let i = 0; i < word.length; i += 1) {
    if (lower(bytes[start + i] ?? 0) !== word[i]) return false;
  }
  return true;
}

/** First octet behind a quoted string that begins at `start`. */
function quoteEnd(bytes: Uint8Array, start: number, end: number, escapes: boolean): number {
  let p = start + 1;
  while (p < end && bytes[p] !== QUOTE) p += escapes && bytes[p] === BACKSLASH ? 2 : 1;
  return Math.min(p + 1, end);
}

/** Whether a value of Cache-Control forbids to change the content. */
export function forbidsTransform(bytes: Uint8Array, start: number, end: number): boolean {
  let p = start;
  let fresh = true;
  while (p < end) {
    const c = bytes[p] ?? 0;
    if (c === QUOTE) {
      p = quoteEnd(bytes, p, end, true);
      fresh = false;
    } else if (c === COMMA) {
      fresh = true;
      p += 1;
    } else if (c === SP || c === HT) p += 1;
    else {
      if (fresh && begins(bytes, p, end, noTransform)) {
        const next = bytes[p + noTransform.length];
        const whole = p + noTransform.length >= end;
        // With an argument, which it must not have, it is still what it says.
        if (whole || next === COMMA || next === SP || next === HT || next === 0x3d) return true;
      }
      fresh = false;
      p += 1;
    }
  }
  return false;
}

/** Whether a list of entity tags has a weak one. */
export function hasWeakTag(bytes: Uint8Array, start: number, end: number): boolean {
  let p = start;
  while (p < end) {
    const c = bytes[p] ?? 0;
    if (c === QUOTE) p = quoteEnd(bytes, p, end, false);
    else if (c === 0x57 && bytes[p + 1] === 0x2f && bytes[p + 2] === QUOTE) return true;
    else p += 1;
  }
  return false;
}

/** Media types as they stand in the configuration, with one `*` for any characters. */
export class MediaTypes {
  readonly #starts: readonly Uint8Array[];
  /** What follows the `*`; null: there is none. */
  readonly #ends: readonly (Uint8Array | null)[];

  constructor(types: readonly string[]) {
    const parts = types.map((type) => type.toLowerCase().split('*', 2));
    this.#starts = parts.map(([start = '']) => octets(start));
    this.#ends = parts.map(([, rest]) => (rest === undefined ? null : octets(rest)));
  }

  /** Whether a value of Content-Type is one of them, whatever its parameters. */
  has(bytes: Uint8Array, start: number, end: number): boolean {
    let stop = start;
    while (stop < end && bytes[stop] !== SEMICOLON && bytes[stop] !== SP && bytes[stop] !== HT) {
      stop += 1;
    }
    for (let i = 0; i < this.#starts.length; i += 1) {
      const first = this.#starts[i];
      const last = this.#ends[i];
      if (first === undefined || last === undefined) continue;
      if (!begins(bytes, start, stop, first)) continue;
      const left = stop - start - first.length;
      if (last === null ? left === 0 : left >= last.length && ends(bytes, stop, last)) return true;
    }
    return false;
  }
}

function ends(bytes: Uint8Array, stop: number, word: Uint8Array): boolean {
  return begins(bytes, stop - word.length, stop, word);
}
