/**
 * A response whose content Weir codes (RFC 9110 §8.4) on its way to the client: what that means
 * for its head. §8.4 Content-Encoding, §8.6 Content-Length, §8.8.3 ETag, §12.5.5 Vary, §14.3
 * Accept-Ranges.
 *
 * Invariant: a coded body goes out with its coding named, without a length or a range of the
 * plain one, with no strong validator of it, and with Vary so that no cache gives it to a client
 * that cannot read it.
 */
import type { FieldSection } from './fields.js';
import { hashName, sameName } from './names.js';
import { COMMA, HT, octets, SP, tokenLower } from './octets.js';
import type { Writer } from './writer.js';

export const contentCoding = { identity: 0, gzip: 1, br: 2, zstd: 3 } as const;
export type ContentCoding = (typeof contentCoding)[keyof typeof contentCoding];

/**
 * What is done to a response, as one small number: its coding, and these bits. 0 leaves it alone.
 * A coding is never without both bits.
 */
export const treatment = {
  codings: 3,
  /** Vary names Accept-Encoding: another client may get the response in another coding. */
  vary: 4,
  /** A strong ETag becomes a weak one. */
  weaken: 8,
} as const;
export const asItIs = 0;

export function codingOf(treated: number): ContentCoding {
  return (treated & treatment.codings) as ContentCoding;
}

/** The same response for a client that gets it plain after all. */
export function withoutCoding(treated: number): number {
  return codingOf(treated) === contentCoding.identity ? treated : treated & treatment.vary;
}

const none = octets('');
const lines = [
  none,
  octets('Content-Encoding: gzip\r\n'),
  octets('Content-Encoding: br\r\n'),
  octets('Content-Encoding: zstd\r\n'),
];
const varyLine = octets('Vary: Accept-Encoding\r\n');
const weakEtag = octets('ETag: W/');

const etag = octets('etag');
const vary = octets('vary');
const acceptRanges = octets('accept-ranges');
const acceptEncoding = octets('accept-encoding');
const etagHash = hashName(etag, 0, etag.length);
const varyHash = hashName(vary, 0, vary.length);
const acceptRangesHash = hashName(acceptRanges, 0, acceptRanges.length);

const QUOTE = 0x22;
const STAR = 0x2a;

function isNamed(head: FieldSection, bytes: Uint8Array, index: number, name: Uint8Array): boolean {
  const start = head.nameStart[index] ?? 0;
  return sameName(bytes, start, head.nameEnd[index] ?? 0, name, 0, name.length);
}

function isStrong(head: FieldSection, bytes: Uint8Array, index: number): boolean {
  return (
    head.hashes[index] === etagHash &&
    isNamed(head, bytes, index, etag) &&
    // `W/` is case-sensitive (RFC 9110 §8.8.3); what is neither is no validator, and goes.
    !(
      bytes[head.valueStart[index] ?? 0] === 0x57 &&
      bytes[(head.valueStart[index] ?? 0) + 1] === 0x2f
    )
  );
}

/** Whether a field is not copied, since it is written anew or no longer true. */
export function goesWithCoding(
  head: FieldSection,
  bytes: Uint8Array,
  index: number,
  treated: number,
): boolean {
  if ((treated & treatment.weaken) !== 0 && isStrong(head, bytes, index)) return true;
  return (
    codingOf(treated) !== contentCoding.identity &&
    head.hashes[index] === acceptRangesHash &&
    isNamed(head, bytes, index, acceptRanges)
  );
}

/** Whether a value of Vary covers Accept-Encoding already. */
export function variesByEncoding(bytes: Uint8Array, start: number, end: number): boolean {
  let p = start;
  while (p < end) {
    while (p < end && (bytes[p] === COMMA || bytes[p] === SP || bytes[p] === HT)) p += 1;
    const from = p;
    while (p < end && bytes[p] !== COMMA && bytes[p] !== SP && bytes[p] !== HT) p += 1;
    if (p - from === 1 && bytes[from] === STAR) return true;
    if (sameWord(bytes, from, p)) return true;
  }
  return false;
}

function sameWord(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== acceptEncoding.length) return false;
  for (let i = 0; i < acceptEncoding.length; i += 1) {
    if (tokenLower[bytes[start + i] ?? 0] !== acceptEncoding[i]) return false;
  }
  return true;
}

/** Whether a field is Vary and covers Accept-Encoding already. */
export function isSufficientVary(head: FieldSection, bytes: Uint8Array, index: number): boolean {
  return (
    head.hashes[index] === varyHash &&
    isNamed(head, bytes, index, vary) &&
    variesByEncoding(bytes, head.valueStart[index] ?? 0, head.valueEnd[index] ?? 0)
  );
}

/** Writes the weak form of a field that is a strong ETag; nothing for any other field. */
export function writeWeakened(
  writer: Writer,
  head: FieldSection,
  bytes: Uint8Array,
  index: number,
): void {
  const start = head.valueStart[index] ?? 0;
  if (!isStrong(head, bytes, index) || bytes[start] !== QUOTE) return;
  writer.all(weakEtag);
  writer.copy(bytes, start, head.valueEnd[index] ?? 0);
  writer.lineEnd();
}

/** Content-Encoding, and Vary unless the response has enough of it. */
export function writeCoding(writer: Writer, treated: number, varies: boolean): void {
  writer.all(lines[codingOf(treated)] ?? none);
  if ((treated & treatment.vary) !== 0 && !varies) writer.all(varyLine);
}
