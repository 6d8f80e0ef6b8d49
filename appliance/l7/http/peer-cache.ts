/**
 * Addresses of clients as heads write them, for the clients that were here last: most come again and
 * again, and making the text costs more than all else about a new connection.
 *
 * Invariant: what is found was made of the same 16 bytes, the same port and the same scheme.
 */
import type { ClientAddress } from '../client-address.js';
import { addressText, peerOf, type Peer } from '../http1/peer.js';

/** Places, one for each value of the lowest bits of a hash. */
const PLACES = 1024;

interface Known {
  readonly bytes: Uint8Array;
  readonly peer: Peer;
}

export class PeerCache {
  readonly #known = new Array<Known | undefined>(PLACES);

  /** `hash`: of the address, 32 bits; `port`, `scheme`: of the service. */
  of({ bytes, family }: ClientAddress, hash: number, port: number, scheme: Peer['scheme']): Peer {
    const place = hash & (PLACES - 1);
    const known = this.#known[place];
    if (known?.peer.port === port && known.peer.scheme === scheme && same(known.bytes, bytes)) {
      return known.peer;
    }
    const text = addressText(family === 4 ? bytes.subarray(12) : bytes, family);
    const peer = peerOf(text, scheme, port);
    this.#known[place] = { bytes: bytes.slice(), peer };
    return peer;
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < 16; i += 1) if (a[i] !== b[i]) return false;
  return true;
}
