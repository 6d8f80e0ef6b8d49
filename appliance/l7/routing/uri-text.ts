/**
 * Parts of a request's target as they may be written into another URI: RFC 3986 §2 and §3.3.
 *
 * As the client wrote them where its path had its one form already but for percent-encoding, so
 * that what is encoded stays so; else in the one form, encoded anew.
 *
 * Invariant: no octet is written that could end a field or a target, and no path begins with "//".
 */
import { SLASH, targetOctet } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { Writer } from '../http1/writer.js';
import type { RequestParts } from './request-parts.js';

const PERCENT = 0x25;
const digits = Uint8Array.from(Buffer.from('0123456789ABCDEF'));

const tableOf = (allowed: RegExp): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, octet) =>
    octet > 0x20 && octet < 0x7f && allowed.test(String.fromCharCode(octet)) ? 1 : 0,
  );

/** pchar and "/" without "%". */
const pathOctet = tableOf(/[A-Za-z0-9\-._~!$&'()*+,;=:@/]/);
/** What stays of the client's own writing: in a URI of ours, and in a target for a member. */
export const inUri = tableOf(/[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]/);
export const asWritten = targetOctet;

function writeEncoded(
  writer: Writer,
  bytes: Uint8Array,
  start: number,
  end: number,
  allowed: Uint8Array,
): void {
  for (let i = start; i < end; i += 1) {
    const c = bytes[i] ?? 0;
    if (allowed[c] === 1) {
      writer.octet(c);
      continue;
    }
    writer.octet(PERCENT);
    writer.octet(digits[c >> 4] ?? 0);
    writer.octet(digits[c & 15] ?? 0);
  }
}

/** Text of the configuration for a URI: what no URI has is encoded. */
export function uriOctets(text: string): Uint8Array {
  const allowed = /[A-Za-z0-9\-._~!$&'()*+,;=:@/?%#[\]]/;
  const parts = [...Buffer.from(text, 'utf8')].map((octet) =>
    octet < 0x80 && allowed.test(String.fromCharCode(octet))
      ? String.fromCharCode(octet)
      : `%${octet.toString(16).toUpperCase().padStart(2, '0')}`,
  );
  return Uint8Array.from(Buffer.from(parts.join(''), 'latin1'));
}

/** Whether the path came in its one form, but for percent-encoding. */
function isPlain(head: RequestHead, bytes: Uint8Array, parts: RequestParts): boolean {
  const end = parts.sourceEnd(head);
  let length = end - head.pathStart;
  for (let i = head.pathStart; i < end; i += 1) if (bytes[i] === PERCENT) length -= 2;
  return length === parts.pathEnd;
}

/** Where the segment of this number begins, or -1 when there is none. */
function segmentAt(bytes: Uint8Array, start: number, end: number, depth: number): number {
  let left = depth;
  for (let p = start; p < end; p += 1) {
    if (bytes[p] !== SLASH) continue;
    if (left === 0) return p + 1;
    left -= 1;
  }
  return -1;
}

/**
 * Writes the path behind the slash before its segment number `depth` (0 is the first); false when
 * it has not so many. `parts` began with this request.
 */
export function writePathFrom(
  writer: Writer,
  head: RequestHead,
  bytes: Uint8Array,
  parts: RequestParts,
  depth: number,
  kept: Uint8Array,
): boolean {
  if (isPlain(head, bytes, parts)) {
    const end = parts.sourceEnd(head);
    const from = segmentAt(bytes, head.pathStart, end, depth);
    if (from >= 0) writeEncoded(writer, bytes, from, end, kept);
    return from >= 0;
  }
  const from = segmentAt(parts.path, 0, parts.pathEnd, depth);
  if (from >= 0) writeEncoded(writer, parts.path, from, parts.pathEnd, pathOctet);
  return from >= 0;
}

/** Writes the query with `joint` before it, when there is one. */
export function writeQuery(
  writer: Writer,
  head: RequestHead,
  bytes: Uint8Array,
  parts: RequestParts,
  joint: number,
  kept: Uint8Array,
): void {
  const from = parts.sourceEnd(head) + 1;
  if (from >= head.pathEnd) return;
  if (joint !== 0) writer.octet(joint);
  writeEncoded(writer, bytes, from, head.pathEnd, kept);
}
