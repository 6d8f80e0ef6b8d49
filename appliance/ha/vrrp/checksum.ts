/**
 * The Internet checksum (RFC 1071), with and without a pseudo-header: RFC 768 for IPv4, RFC 8200
 * §8.1 for IPv6. Pure.
 */

/** Both addresses have 4 bytes or both 16. */
export interface PseudoHeader {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
}

/** Over `bytes`, whose own checksum field holds 0. Zero over bytes that hold the right one. */
export function internetChecksum(bytes: Uint8Array, header: PseudoHeader | null = null): number {
  let sum = words(bytes);
  if (header !== null) {
    // Upper and lower half of the length and the protocol: their places do not change the sum.
    sum += words(header.source) + words(header.destination);
    sum += (bytes.length >>> 16) + (bytes.length & 0xffff) + header.protocol;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function words(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  }
  return sum;
}
