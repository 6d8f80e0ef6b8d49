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
  /**
   * Field lines, each with its end, that tell of the client's certificate; null: those that are to be
   * told do not fit, so no request may go on.
   */
  readonly certificate: Uint8Array | null;
}

/** Where nothing is to be told of a certificate. */
export const noLines = new Uint8Array(0);

/** Throws RangeError when the address is none: it comes from the kernel or a PROXY header. */
export function peerOf(address: string, scheme: 'http' | 'https', port: number): Peer {
  const family = address.includes('%') ? 0 : isIP(address);
  if (family === 0) throw new RangeError(`"${address}" is not an IP address`);
  return {
    address: octets(address),
    node: octets(family === 6 ? `"[${address}]"` : address),
    scheme,
    port,
    certificate: noLines,
  };
}

/** An address in network order as text, IPv6 as RFC 5952 §4 wants it. */
export function addressText(address: Uint8Array, family: 4 | 6): string {
  if (family === 4) return address.subarray(0, 4).join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((address[2 * i] ?? 0) * 256 + (address[2 * i + 1] ?? 0)).toString(16),
  );
  const text = groups.join(':');
  // The longest run of zero groups, the first of equals, and never a single one.
  let longest = '';
  for (const [run] of text.matchAll(/\b0(?::0)+\b/g))
    if (run.length > longest.length) longest = run;
  if (longest === '') return text;
  const at = text.search(new RegExp(`\\b${longest}\\b`));
  const before = text.slice(0, at).replace(/:$/, '');
  const after = text.slice(at + longest.length).replace(/^:/, '');
  return `${before}::${after}`;
}
