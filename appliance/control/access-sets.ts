/**
 * Access lists as a set of prefixes with one verdict each. One rule decides: the longest prefix
 * that holds the source wins. Of equal prefixes a temporary entry wins over a list, and deny over
 * allow. A source in no list is refused exactly when the service names a list to allow.
 *
 * Prefixes are packed: 17 bytes each, the number of bits that count in the 128-bit form (IPv4 as
 * ::ffff:a.b.c.d, RFC 4291 §2.5.5.2), then the address with every further bit 0. Invariant: equal
 * prefixes have equal bytes, and every set has an entry for all of IPv4 and one for all of IPv6,
 * so an IPv6 prefix that holds the mapped addresses (::/0 above all) never decides about IPv4.
 */
import { parseAddress, parsePrefix } from '../config/addresses.js';
import { formatAddress, type IpAddress } from '../config/address-codec.js';
import { parsed, type Parsed } from '../config/parsed.js';

export type Verdict = 'allow' | 'deny';

export const PACKED_BYTES = 17;
const IPV4_OFFSET = 96;
/** All of IPv4 and all of IPv6. */
const ALL_IPV4 = keyOf(IPV4_OFFSET, Uint8Array.of(0, 0, 0, 0), 4);
const ALL_IPV6 = keyOf(0, new Uint8Array(16), 6);

/** One prefix, packed, as a string of 17 one-byte characters: a key of maps. */
export type PrefixKey = string;

export interface TemporaryEntry {
  readonly key: PrefixKey;
  readonly verdict: Verdict;
}

export interface AccessSet {
  /** Names it among all sets, whatever it holds now. */
  readonly name: string;
  readonly verdicts: ReadonlyMap<PrefixKey, Verdict>;
}

/** Reads `ADDRESS/LENGTH`, or an address alone; bits beyond the length are cut off. */
export function parsePrefixKey(text: string): Parsed<PrefixKey> {
  if (!text.includes('/')) {
    const address = parseAddress(text);
    return address.ok ? parsed(packed(address.value, address.value.bytes.length * 8)) : address;
  }
  const prefix = parsePrefix(text);
  return prefix.ok ? parsed(packed(prefix.value.address, prefix.value.length)) : prefix;
}

/** The canonical text of a packed prefix. */
export function prefixText(key: PrefixKey): string {
  const bytes = Buffer.from(key, 'latin1');
  const bits = bytes[0] ?? 0;
  const mapped = bits >= IPV4_OFFSET && key.startsWith(ALL_IPV4.slice(1, 13), 1);
  return mapped
    ? `${formatAddress(bytes.subarray(13))}/${bits - IPV4_OFFSET}`
    : `${formatAddress(bytes.subarray(1))}/${bits}`;
}

function packed(address: IpAddress, length: number): PrefixKey {
  const offset = address.family === 4 ? IPV4_OFFSET : 0;
  return keyOf(offset + length, address.bytes, address.family);
}

function keyOf(bits: number, address: Uint8Array, family: 4 | 6): PrefixKey {
  const bytes = Buffer.alloc(PACKED_BYTES);
  bytes[0] = bits;
  if (family === 4) {
    bytes[11] = 0xff;
    bytes[12] = 0xff;
  }
  bytes.set(address, family === 4 ? 13 : 1);
  const whole = bits >> 3;
  if (whole < 16) {
    bytes[1 + whole] = (bytes[1 + whole] ?? 0) & ~(0xff >> (bits & 7));
    bytes.fill(0, 2 + whole);
  }
  return bytes.toString('latin1');
}

export interface AccessParts {
  readonly name: string;
  /** Lists to allow and to deny; a service that names one to allow refuses everybody else. */
  readonly allow: readonly (readonly PrefixKey[])[];
  readonly deny: readonly (readonly PrefixKey[])[];
  /** Later ones win over earlier ones. */
  readonly temporary: readonly TemporaryEntry[];
}

export function buildAccessSet({ name, allow, deny, temporary }: AccessParts): AccessSet {
  const verdicts = new Map<PrefixKey, Verdict>();
  const otherwise: Verdict = allow.length > 0 ? 'deny' : 'allow';
  verdicts.set(ALL_IPV4, otherwise);
  verdicts.set(ALL_IPV6, otherwise);
  for (const list of allow) for (const key of list) verdicts.set(key, 'allow');
  for (const list of deny) for (const key of list) verdicts.set(key, 'deny');
  for (const { key, verdict } of temporary) verdicts.set(key, verdict);
  return { name, verdicts };
}

export interface Decision {
  readonly verdict: Verdict;
  /** The longest prefix that holds the address. */
  readonly key: PrefixKey;
}

/** What the fast path decides about an address. */
export function decide(set: AccessSet, address: IpAddress): Decision {
  const offset = address.family === 4 ? IPV4_OFFSET : 0;
  for (let length = address.bytes.length * 8; length >= 0; length--) {
    const key = packed(address, length);
    const verdict = set.verdicts.get(key);
    if (verdict !== undefined) return { verdict, key };
  }
  throw new RangeError(`the set ${set.name} says nothing about ${offset === 0 ? 'IPv6' : 'IPv4'}`);
}
