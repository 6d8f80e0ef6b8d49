/**
 * Where a body ends: RFC 9112 §6.
 *
 * Invariant: stricter than §6.3 wherever it leaves a choice. One Content-Length of digits
 * or one Transfer-Encoding of exactly "chunked", never both, never in HTTP/1.0: whatever
 * else comes could be framed differently by the other side, so it is refused.
 */
import { upgradeKind } from './connection.js';
import { faults, type Fault } from './faults.js';
import { isWord, latin1, type FieldSection } from './fields.js';
import { method } from './methods.js';
import { nameId } from './names.js';
import { octets } from './octets.js';
import type { RequestHead } from './request-head.js';
import type { ResponseHead } from './response-head.js';

export const bodyKind = {
  none: 0,
  /** As many bytes as `length` says, never 0. */
  length: 1,
  chunked: 2,
  /** Of responses only. */
  untilClose: 3,
  /** No HTTP follows: after 101, and after CONNECT was accepted. */
  tunnel: 4,
} as const;
export type BodyKind = (typeof bodyKind)[keyof typeof bodyKind];

const chunked = octets('chunked');
const websocket = octets('websocket');

/** Digits as a number; -1 when it is none, -2 when above 2^53 - 1. */
export function readLength(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return -1;
  // Nine digits fit a 32-bit number, which needs no place on the heap.
  if (end - start <= 9) return readShortLength(bytes, start, end);
  let value = 0;
  let overflow = false;
  for (let i = start; i < end; i += 1) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    // Above this bound one more digit could leave the exact integers.
    if (value > 900_719_925_474_098) overflow = true;
    value = overflow ? 0 : value * 10 + digit;
  }
  return overflow ? -2 : value;
}

function readShortLength(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i += 1) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = (Math.imul(value, 10) + digit) | 0;
  }
  return value;
}

function codingFault(bytes: Uint8Array, start: number, end: number): Fault | null {
  if (isWord(bytes, start, end, chunked)) return null;
  // Refused in any case; strings only tell how.
  const codings = latin1(bytes, start, end)
    .toLowerCase()
    .split(',')
    .map((coding) => coding.replaceAll(/^[ \t]+|[ \t]+$/g, ''));
  if (codings.pop() !== 'chunked' || codings.includes('chunked')) return faults.badCoding;
  return codings.every((coding) => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(coding))
    ? faults.codingUnknown
    : faults.badCoding;
}

/** Rules that requests and responses share. Sets `body` and `length` when one field frames it. */
function frame(
  head: FieldSection & { body: BodyKind; length: number; readonly minor: number },
  bytes: Uint8Array,
): Fault | null {
  const coding = head.firstOf(nameId['transfer-encoding']);
  const length = head.firstOf(nameId['content-length']);
  if (coding >= 0) {
    if (length >= 0) return faults.lengthAndCoding;
    if (head.hasTwice(nameId['transfer-encoding'])) return faults.manyCodings;
    if (head.minor === 0) return faults.codingInOldVersion;
    const start = head.valueStart[coding] ?? 0;
    const fault = codingFault(bytes, start, head.valueEnd[coding] ?? 0);
    if (fault !== null) return fault;
    head.body = bodyKind.chunked;
    return null;
  }
  if (length < 0) return null;
  if (head.hasTwice(nameId['content-length'])) return faults.manyLengths;
  const value = readLength(bytes, head.valueStart[length] ?? 0, head.valueEnd[length] ?? 0);
  if (value === -1) return faults.badLength;
  if (value === -2) return faults.lengthOverflow;
  head.length = value;
  head.body = value === 0 ? bodyKind.none : bodyKind.length;
  return null;
}

export function frameRequest(head: RequestHead, bytes: Uint8Array): Fault | null {
  const fault = frame(head, bytes);
  if (fault !== null) return fault;
  // Compared here: handing the limit on, which may be a double, would put a copy on the heap.
  if (head.length > head.limits.body) return faults.bodyTooLarge;
  const bodiless = head.method === method.connect || head.method === method.trace;
  return bodiless && head.body !== bodyKind.none ? faults.bodyNotAllowed : null;
}

export function frameResponse(head: ResponseHead, bytes: Uint8Array): Fault | null {
  const fault = frame(head, bytes);
  if (fault !== null) return fault;
  const status = head.status;
  if (status === 101) return frameSwitch(head, bytes);
  const tunnel = head.requestMethod === method.connect && status >= 200 && status < 300;
  if (tunnel || status < 200 || status === 204) {
    // These may have no framing; what they have is not passed on (RFC 9110 §8.6).
    head.doubtful = head.body !== bodyKind.none && !tunnel;
    dropLength(head);
    head.body = tunnel ? bodyKind.tunnel : bodyKind.none;
  } else if (head.requestMethod === method.head || status === 304) {
    head.body = bodyKind.none;
  } else if (head.body === bodyKind.none && !head.has(nameId['content-length'])) {
    head.body = bodyKind.untilClose;
  }
  return null;
}

function frameSwitch(head: ResponseHead, bytes: Uint8Array): Fault | null {
  const index = head.firstOf(nameId.upgrade);
  if (head.requestUpgrade === upgradeKind.none || index < 0) return faults.unaskedSwitch;
  const start = head.valueStart[index] ?? 0;
  const named = isWord(bytes, start, head.valueEnd[index] ?? 0, websocket);
  if (named !== (head.requestUpgrade === upgradeKind.websocket)) return faults.unaskedSwitch;
  dropLength(head);
  head.body = bodyKind.tunnel;
  return null;
}

function dropLength(head: ResponseHead): void {
  const index = head.firstOf(nameId['content-length']);
  if (index >= 0) head.drop[index] = 1;
}

/** Counts a body of known length down: what of [start, end) belongs to it, and is it whole? */
export class LengthCounter {
  left = 0;

  reset(length: number): void {
    this.left = length;
  }

  /** Where the body ends within the bytes that are there. */
  take(start: number, end: number): number {
    const size = Math.min(this.left, end - start) | 0;
    this.left -= size;
    return start + size;
  }
}
