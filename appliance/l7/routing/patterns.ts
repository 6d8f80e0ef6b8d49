/**
 * Hosts and paths as routes write them.
 *
 * A path pattern is compared segment by segment with a path in its one form: `*` stands for one
 * segment that is not empty, `**` at the end for any number of them, also none: `/v1/**` takes
 * `/v1`, `/v1/` and `/v1/a/b`. Percent-encoding in a pattern stands for its octet.
 */
import { hexValue, SLASH } from '../http1/octets.js';

const DOT = 0x2e;

export interface PathPattern {
  /** Null stands for `*`. */
  readonly segments: readonly (Uint8Array | null)[];
  /** Whether `**` follows. */
  readonly deep: boolean;
}

/** Throws RangeError for what is no pattern: the configuration was checked before. */
export function parsePattern(text: string): PathPattern {
  if (!text.startsWith('/')) throw new RangeError(`the path pattern "${text}" begins without "/"`);
  const parts = text.slice(1).split('/');
  const deep = parts.at(-1) === '**';
  if (deep) parts.pop();
  const segments = parts.map((part) => {
    if (part === '*') return null;
    if (part.includes('*')) {
      throw new RangeError(`the path pattern "${text}" has "*" where only a whole segment may be`);
    }
    return percentDecoded(part);
  });
  return { segments, deep };
}

function percentDecoded(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'utf8');
  const out: number[] = [];
  for (let i = 0; i < bytes.length; i += 1) {
    const high = hexValue[bytes[i + 1] ?? 0] ?? 255;
    const low = hexValue[bytes[i + 2] ?? 0] ?? 255;
    if (bytes[i] === 0x25 && high < 16 && low < 16) {
      out.push(high * 16 + low);
      i += 2;
    } else out.push(bytes[i] ?? 0);
  }
  return Uint8Array.from(out);
}

export function matchesPattern(pattern: PathPattern, path: Uint8Array, pathEnd: number): boolean {
  if (path[0] !== SLASH || pathEnd === 0) return false;
  let p = 1;
  for (let i = 0; i < pattern.segments.length; i += 1) {
    if (p > pathEnd) return false;
    let q = p;
    while (q < pathEnd && path[q] !== SLASH) q += 1;
    const segment = pattern.segments[i] ?? null;
    if (segment === null ? q === p : !sameOctets(segment, path, p, q)) return false;
    p = q + 1;
  }
  return pattern.deep || p > pathEnd;
}

export function sameOctets(
  text: Uint8Array,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i += 1) if (bytes[start + i] !== text[i]) return false;
  return true;
}

/** A host of a condition, exact or `*.` and a name. */
export class HostPattern {
  readonly wildcard: boolean;
  /** What follows `*.`, or the whole. */
  readonly name: Uint8Array;

  constructor(text: string) {
    this.wildcard = text.startsWith('*.');
    const name = (this.wildcard ? text.slice(2) : text).toLowerCase();
    this.name = Uint8Array.from(Buffer.from(name, 'latin1'));
  }

  matches(host: Uint8Array, end: number): boolean {
    const start = this.wildcard ? end - this.name.length : 0;
    if (this.wildcard && (start < 2 || host[start - 1] !== DOT)) return false;
    return sameOctets(this.name, host, start, end);
  }
}
