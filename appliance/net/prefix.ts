/** Addresses and prefixes as bytes. Pure. */
import { formatAddress, type IpAddress } from '../config/address-codec.js';

/** Whether the first `prefixLength` bits of both are the same; false across families. */
export function inPrefix(address: Uint8Array, prefix: Uint8Array, prefixLength: number): boolean {
  if (address.length !== prefix.length || prefixLength > prefix.length * 8) return false;
  const whole = prefixLength >> 3;
  for (let index = 0; index < whole; index += 1) {
    if (address[index] !== prefix[index]) return false;
  }
  const bits = prefixLength & 7;
  if (bits === 0) return true;
  const mask = (0xff << (8 - bits)) & 0xff;
  return ((address[whole] ?? 0) & mask) === ((prefix[whole] ?? 0) & mask);
}

/** fe80::/10: means something only together with an interface. */
export function isLinkLocal(address: Pick<IpAddress, 'family' | 'bytes'>): boolean {
  const [first = 0, second = 0] = address.bytes;
  return address.family === 6 && first === 0xfe && (second & 0xc0) === 0x80;
}

/** The network that an address is in: `192.0.2.0/24`. */
export function networkText(bytes: Uint8Array, prefixLength: number): string {
  const masked = bytes.map((byte, index) => {
    const bits = Math.max(0, Math.min(8, prefixLength - 8 * index));
    return byte & (0xff << (8 - bits));
  });
  return `${formatAddress(masked)}/${prefixLength}`;
}
