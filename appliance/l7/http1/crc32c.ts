/** CRC-32C (RFC 3720 appendix B.4), of a PROXY header whose own checksum counts as zero. */
const table = Int32Array.from({ length: 256 }, (_, octet) => {
  let value = octet;
  for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  return value;
});

/** Over [start, end), with the octets of [zeroStart, zeroEnd) taken as 0; a number below 2^32. */
export function crc32c(
  bytes: Uint8Array,
  start: number,
  end: number,
  zeroStart: number,
  zeroEnd: number,
): number {
  let crc = -1;
  for (let i = start; i < end; i += 1) {
    const octet = i >= zeroStart && i < zeroEnd ? 0 : (bytes[i] ?? 0);
    crc = (crc >>> 8) ^ (table[(crc ^ octet) & 255] ?? 0);
  }
  return ~crc >>> 0;
}
