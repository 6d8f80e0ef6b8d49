/**
 * The other end of a connection in the words of heads, made once a connection: as
 * X-Forwarded-For writes it, and as a node of Forwarded (RFC 7239 §6).
 *
 * Invariant: addresses are checked text, so they can be written into any field.
 */
import { isIP } from 'node:net';
import { octets } from './octets.js';

export interface Peer {
  /** `192.0.2.1` or `2001:db8::1`. */
  readonly address: Uint8Array;
  /** `192.0.2.1` or `"[2001:db8::1]"`. */
  readonly node: Uint8Array;
  readonly scheme: 'http' | 'https';
  /** The port that the client connected to. */
  readonly port: number;
}

/** Throws RangeError when the address is none: it comes from the kernel or a PROXY header. */
export function peerOf(address: string, scheme: 'http' | 'https', port: number): Peer {
  const family = address.includes('%') ? 0 : isIP(address);
  if (family === 0) throw new RangeError(`"${address}" is not an IP address`);
  return {
    address: octets(address),
    node: octets(family === 6 ? `"[${address}]"` : address),
    scheme,
    port,
  };
}
