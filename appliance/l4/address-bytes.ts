/**
 * Addresses as the tables hold them: 16 bytes in network order, IPv4 as
 * ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). Texts are canonical, as everywhere in Weir.
 */
import { formatAddress, isMapped, readAddress } from '../config/address-codec.js';

/** Throws RangeError for a text that is no address: whoever calls has parsed it before. */
export function addressBytes(text: string): Uint8Array {
  const address = readAddress(text);
  if (address === null) throw new RangeError(`${text} is no IP address`);
  if (address.family === 6) return address.bytes;
  const mapped = new Uint8Array(16);
  mapped.fill(0xff, 10, 12);
  mapped.set(address.bytes, 12);
  return mapped;
}

/** The canonical text of 16 bytes. */
export function addressText(bytes: Uint8Array): string {
  return formatAddress(isMapped(bytes) ? bytes.subarray(12) : bytes);
}
