/**
 * Which of the unit's own addresses a host of one of its networks knows it by. Pure.
 *
 * Invariant: single addresses (/32, /128) are never it: services and loopback have those.
 */
import { readAddress } from '../config/address-codec.js';
import { inPrefix, isLinkLocal } from './prefix.js';
import type { InterfaceAddress } from './wire.js';

type Own = Pick<InterfaceAddress, 'address' | 'family' | 'bytes' | 'prefixLength'>;

/** The unit's address on the network that `address` lies in, the longest prefix first; null: no such network. */
export function ownAddressTowards(address: string, addresses: readonly Own[]): string | null {
  const wanted = readAddress(address);
  if (wanted === null || isLinkLocal(wanted)) return null;
  let best: Own | null = null;
  for (const candidate of addresses) {
    if (candidate.family !== wanted.family) continue;
    if (candidate.prefixLength === candidate.bytes.length * 8) continue;
    if (!inPrefix(wanted.bytes, candidate.bytes, candidate.prefixLength)) continue;
    if (best === null || candidate.prefixLength > best.prefixLength) best = candidate;
  }
  return best?.address ?? null;
}
