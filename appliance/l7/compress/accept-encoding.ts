/**
 * Which coding a client would have its answer in: Accept-Encoding, RFC 9110 §12.5.3, with weights
 * of §12.4.2.
 *
 * Invariant: a coding is chosen only when the client named it or `*` without doubt. What cannot be
 * read counts as refused, and where nothing is acceptable the answer goes out plain.
 */
import { contentCoding, type ContentCoding } from '../http1/coding.js';
import { COMMA, HT, octets, SEMICOLON, SP, tokenLower } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';

const field = octets('accept-encoding');
const words: readonly (readonly [Uint8Array, number])[] = [
  [octets('identity'), contentCoding.identity],
  [octets('gzip'), contentCoding.gzip],
  // RFC 9110 §8.4.1.3: the same.
  [octets('x-gzip'), contentCoding.gzip],
  [octets('br'), contentCoding.br],
  [octets('zstd'), contentCoding.zstd],
];
const STAR = 4;
const UNKNOWN = -1;

/** Weights in thousandths by coding, and of `*`; -1: not named. One for all: nothing waits in it. */
const weights = new Int16Array(5);

/**
 * The client's best of `preference`, whose order decides between equal weights. Without the field
 * a client takes anything, but gets what all can read.
 */
export function chooseCoding(
  head: RequestHead,
  bytes: Uint8Array,
  preference: Uint8Array,
): ContentCoding {
  let index = head.find(bytes, field);
  if (index < 0) return contentCoding.identity;
  weights.fill(-1);
  for (; index >= 0; index = head.find(bytes, field, index + 1)) {
    readList(bytes, head.valueStart[index] ?? 0, head.valueEnd[index] ?? 0);
  }
  let best: ContentCoding = contentCoding.identity;
  let most = 0;
  for (let i = 0; i < preference.length; i += 1) {
    const coding = (preference[i] ?? 0) as ContentCoding;
    const own = weights[coding] ?? -1;
    const weight = own >= 0 ? own : (weights[STAR] ?? -1);
    if (weight > most) {
      most = weight;
      best = coding;
    }
  }
  return (weights[contentCoding.identity] ?? -1) > most ? contentCoding.identity : best;
}

function readList(bytes: Uint8Array, start: number, end: number): void {
  let p = start;
  while (p < end) {
    let stop = p;
    while (stop < end && bytes[stop] !== COMMA) stop += 1;
    readElement(bytes, p, stop);
    p = stop + 1;
  }
}

/** `coding [ OWS ";" OWS "q=" qvalue ]`. Of a coding that is named twice the lower weight counts. */
function readElement(bytes: Uint8Array, from: number, to: number): void {
  let start = from;
  let end = to;
  while (start < end && isSpace(bytes[start])) start += 1;
  while (end > start && isSpace(bytes[end - 1])) end -= 1;
  let stop = start;
  while (stop < end && tokenLower[bytes[stop] ?? 0] !== 0) stop += 1;
  const which = codingNamed(bytes, start, stop);
  if (which === UNKNOWN) return;
  const weight = readWeight(bytes, stop, end);
  const before = weights[which] ?? -1;
  weights[which] = before < 0 || weight < before ? weight : before;
}

function isSpace(octet: number | undefined): boolean {
  return octet === SP || octet === HT;
}

function codingNamed(bytes: Uint8Array, start: number, end: number): number {
  if (end - start === 1 && bytes[start] === 0x2a) return STAR;
  for (let i = 0; i < words.length; i += 1) {
    const entry = words[i];
    if (entry !== undefined && isWord(bytes, start, end, entry[0])) return entry[1];
  }
  return UNKNOWN;
}

function isWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  if (end - start !== word.length) return false;
  for (let i = 0; i < word.length; i += 1) {
    if (tokenLower[bytes[start + i] ?? 0] !== word[i]) return false;
  }
  return true;
}

/** Thousandths; 0 for what is no weight, so that nothing is sent which was not asked for. */
function readWeight(bytes: Uint8Array, from: number, end: number): number {
  let p = from;
  if (p === end) return 1000;
  while (p < end && isSpace(bytes[p])) p += 1;
  if (bytes[p] !== SEMICOLON) return 0;
  p += 1;
  while (p < end && isSpace(bytes[p])) p += 1;
  if (end - p < 3 || tokenLower[bytes[p] ?? 0] !== 0x71 || bytes[p + 1] !== 0x3d) return 0;
  return readQuality(bytes, p + 2, end);
}

/** `0` or `1`, then up to three digits behind a point; nothing above 1. */
function readQuality(bytes: Uint8Array, start: number, end: number): number {
  const whole = (bytes[start] ?? 0) - 0x30;
  if (whole !== 0 && whole !== 1) return 0;
  let value = whole * 1000;
  if (end === start + 1) return value;
  if (bytes[start + 1] !== 0x2e || end - start > 5) return 0;
  let unit = 100;
  for (let p = start + 2; p < end; p += 1) {
    const digit = (bytes[p] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return 0;
    value += digit * unit;
    unit = (unit / 10) | 0;
  }
  return value > 1000 ? 0 : value;
}
