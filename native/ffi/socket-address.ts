/**
 * sockaddr_in (ip(7)) and sockaddr_in6 (ipv6(7)) as bytes.
 *
 * Invariant: an address has 4 bytes for IPv4 and 16 for IPv6, in network order.
 */
import { AF_INET, AF_INET6 } from './libc.js';

/** Where a sockaddr has its address. */
export const addressOffset = { 4: 4, 6: 8 } as const;
export const sockaddrBytes = { 4: 16, 6: 28 } as const;

const scratch = { 4: Buffer.alloc(sockaddrBytes[4]), 6: Buffer.alloc(sockaddrBytes[6]) } as const;

/** The same bytes are given out again by the next call: every system call copies them. */
export function sockaddr(family: 4 | 6, address: Uint8Array, port: number): Uint8Array {
  const bytes = scratch[family];
  bytes.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, addressOffset[family]);
  return bytes;
}
