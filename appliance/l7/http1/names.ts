/**
 * Known field names (RFC 9110 §5.1: names are compared without case) as small numbers,
 * found by a perfect hash that is made when the module loads.
 *
 * Invariant: numbers up to 31 have a bit in FieldSection's sets; those that Weir or a member
 * decides by (up to `lastDeciding`, and of certificates) must not be imitated with another sign
 * for "-".
 */
import { certificateFieldNames } from './certificate-fields.js';
import { nameFold, octets, tokenLower } from './octets.js';

const names = [
  '', // 0: every other name
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'via',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-real-ip',
  'x-request-id',
  'http2-settings',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-accept',
  'max-forwards',
  'cookie',
  'set-cookie',
  'authorization',
  'proxy-authorization',
  'proxy-authenticate',
  'content-encoding',
  'content-range',
  'close', // a connection option, never a field
] as const;

export type KnownName = Exclude<(typeof names)[number], ''>;

/** The number of a known name. */
export const nameId = Object.freeze(
  Object.fromEntries(names.map((name, id) => [name, id])),
) as Readonly<Record<KnownName, number>>;

/** Names with greater numbers may be imitated, as nothing is decided by them, up to those of certificates. */
const lastDeciding = nameId['x-request-id'];

/** From this number on: the names in certificate-fields.ts. */
export const firstCertificateField = names.length;

/** Whether a text is, or imitates, the name of a field in certificate-fields.ts. */
export function isCertificateField(name: string): boolean {
  const text = octets(name);
  const id = findName(text, 0, text.length, hashName(text, 0, text.length));
  return Math.abs(id) >= firstCertificateField;
}

/** One step of the hash of a name, over octets folded by `nameFold`. */
export function hashStep(hash: number, folded: number): number {
  return (Math.imul(hash, 31) + folded) | 0;
}

/** The hash of a whole name. */
export function hashName(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i += 1) hash = hashStep(hash, nameFold[bytes[i] ?? 0] ?? 0);
  return hash;
}

const texts = [...names, ...certificateFieldNames].map((name) => octets(name.toLowerCase()));
const slotBits = 9;

function slotsFor(multiplier: number): Uint8Array | null {
  const slots = new Uint8Array(1 << slotBits);
  for (const [id, text] of texts.entries()) {
    if (id === 0) continue;
    const slot = Math.imul(hashName(text, 0, text.length), multiplier) >>> (32 - slotBits);
    if (slots[slot] !== 0) return null;
    slots[slot] = id;
  }
  return slots;
}

function perfect(): { multiplier: number; slots: Uint8Array } {
  for (let multiplier = 0x9e3779b1; ; multiplier += 2) {
    const slots = slotsFor(multiplier);
    if (slots !== null) return { multiplier, slots };
  }
}
const { multiplier, slots } = perfect();

/** The number of a name; 0 when unknown; negative when it is a deciding name's imitation. */
export function findName(bytes: Uint8Array, start: number, end: number, hash: number): number {
  const id = slots[Math.imul(hash, multiplier) >>> (32 - slotBits)] ?? 0;
  const text = texts[id];
  if (id === 0 || text === undefined || text.length !== end - start) return 0;
  let exact = true;
  for (let i = 0; i < text.length; i += 1) {
    const octet = bytes[start + i] ?? 0;
    if (nameFold[octet] !== text[i]) return 0;
    if (tokenLower[octet] !== text[i]) exact = false;
  }
  if (exact) return id;
  return id <= lastDeciding || id >= firstCertificateField ? -id : 0;
}

/** Whether two names are the same; signs are what they are here. */
export function sameName(
  bytes: Uint8Array,
  start: number,
  end: number,
  other: Uint8Array,
  otherStart: number,
  otherEnd: number,
): boolean {
  if (end - start !== otherEnd - otherStart) return false;
  for (let i = 0; i < end - start; i += 1) {
    const a = bytes[start + i] ?? 0;
    const b = other[otherStart + i] ?? 0;
    if (a !== b && tokenLower[a] !== tokenLower[b]) return false;
  }
  return true;
}
