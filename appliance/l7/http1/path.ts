/**
 * The path of a target in the one form that routes are compared with: RFC 3986 §6.2.2
 * (percent-encoding, dot segments), and without double slashes.
 *
 * Invariant: it changes nothing that is forwarded. What a member might read as another
 * path than Weir does (an encoded slash or NUL, a backslash, "..;") is refused.
 */
import type { Fault } from './faults.js';
import { BACKSLASH, hexValue, SEMICOLON, SLASH } from './octets.js';

const fault = (code: string, sentence: string): Fault =>
  Object.freeze({ status: 400, code, sentence });

export const pathFaults = {
  badEncoding: fault('bad-path-encoding', 'A "%" in the path is not followed by two digits.'),
  encodedSlash: fault('encoded-slash', 'The path has an encoded slash or a backslash.'),
  encodedControl: fault('encoded-control', 'The path has an encoded control octet.'),
  climbs: fault('path-climbs', 'The path leads above its root.'),
  parameter: fault('dot-parameter', 'The path has a dot segment with a parameter ("..;").'),
} as const;

const DOT = 0x2e;

export class RoutePath {
  fault: Fault | null = null;
  /** First byte after the path in what was read: the query's "?" or the end. */
  sourceEnd = 0;

  private refuse(why: Fault): number {
    this.fault = why;
    return -1;
  }

  /**
   * Writes the path of [start, end), which begins with "/" and may have a query, to `out`
   * at `at`, which has room for as many bytes. Returns where it ends there, or -1.
   */
  normalise(bytes: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
    this.fault = null;
    let p = start;
    let q = at;
    out[q++] = SLASH;
    let segment = q;
    for (; p < end && bytes[p] !== 0x3f; p += 1) {
      let c = bytes[p] ?? 0;
      if (c === SLASH) {
        q = this.endSegment(out, at, segment, q);
        if (q < 0) return -1;
        if (q > segment || out[q - 1] !== SLASH) out[q++] = SLASH;
        segment = q;
        continue;
      }
      if (c === 0x25) {
        const high = p + 2 < end ? (hexValue[bytes[p + 1] ?? 0] ?? 255) : 255;
        const low = p + 2 < end ? (hexValue[bytes[p + 2] ?? 0] ?? 255) : 255;
        if (high > 15 || low > 15) return this.refuse(pathFaults.badEncoding);
        c = high * 16 + low;
        p += 2;
        if (c < 0x20 || c === 0x7f) return this.refuse(pathFaults.encodedControl);
        if (c === SLASH) return this.refuse(pathFaults.encodedSlash);
      }
      if (c === BACKSLASH) return this.refuse(pathFaults.encodedSlash);
      out[q++] = c;
    }
    this.sourceEnd = p;
    return this.endSegment(out, at, segment, q);
  }

  /** Takes a dot segment away; returns the new end, or -1. */
  private endSegment(out: Uint8Array, root: number, segment: number, end: number): number {
    if (out[segment] !== DOT || end === segment) return end;
    let dots = segment + 1;
    if (dots < end && out[dots] === DOT) dots += 1;
    if (dots < end) return out[dots] === SEMICOLON ? this.refuse(pathFaults.parameter) : end;
    if (dots === segment + 1) return segment;
    if (segment === root + 1) return this.refuse(pathFaults.climbs);
    let p = segment - 1;
    while (out[p - 1] !== SLASH) p -= 1;
    return p;
  }
}
