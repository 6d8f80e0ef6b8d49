/**
 * Prefixes as keys: 17 bytes as a string, the number of bits that count in the 128-bit form (IPv4
 * as ::ffff:a.b.c.d, RFC 4291 §2.5.5.2), then the address with every further bit 0.
 *
 * Invariant: equal prefixes are equal strings, so a set of hundreds of thousands is a Map, and a
 * look-up in it is one of the engine's.
 */
import { parseAddress, parsePrefix } from './addresses.js';
import { formatAddress, type IpAddress } from './address-codec.js';
import { parsed, type Parsed } from './parsed.js';

/** One prefix, packed, as a string of 17 one-byte characters: a key of maps. */
export type PrefixKey = string;

const KEY_BYTES = 17;
const IPV4_BITS = 96;
const MAPPED = '\0'.repeat(10) + '\xff\xff';

/** Reads `ADDRESS/LENGTH`, or an address alone; bits beyond the length are cut off. */
export function parsePrefixKey(text: string): Parsed<PrefixKey> {
  if (!text.includes('/')) {
    const address = parseAddress(text);
    return address.ok ? parsed(prefixKey(address.value, address.value.bytes.length * 8)) : address;
  }
  const prefix = parsePrefix(text);
  return prefix.ok ? parsed(prefixKey(prefix.value.address, prefix.value.length)) : prefix;
}

/** The key of the first `length` bits of an address. */
export function prefixKey(address: IpAddress, length: number): PrefixKey {
  const bits = address.family === 4 ? IPV4_BITS + length : length;
  const bytes = Buffer.alloc(KEY_BYTES);
  bytes[0] = bits;
  if (address.family === 4) {
    bytes[11] = 0xff;
    bytes[12] = 0xff;
  }
  bytes.set(address.bytes, KEY_BYTES - address.bytes.length);
  const whole = bits >> 3;
  if (whole < 16) {
    bytes[1 + whole] = (bytes[1 + whole] ?? 0) & ~(0xff >> (bits & 7));
    bytes.fill(0, 2 + whole);
  }
  return bytes.toString('latin1');
}

/** The canonical text of a key. */
export function prefixText(key: PrefixKey): string {
  const bytes = Buffer.from(key, 'latin1');
  const bits = bytes[0] ?? 0;
  return bits >= IPV4_BITS && key.startsWith(MAPPED, 1)
    ? `${formatAddress(bytes.subarray(13))}/${bits - IPV4_BITS}`
    : `${formatAddress(bytes.subarray(1))}/${bits}`;
}
