/**
 * Who speaks to whom, in the words of the PROXY header that a member may want before the requests of a
 * connection. Such a connection is of one client and never of another, so it is not kept.
 */
import { type Endpoints, writeAddress } from '../http1/proxy-protocol.js';
import type { ClientAddress } from '../client-address.js';
import type { L7Service } from '../tables.js';

/** Nobody: the proxy speaks for itself. */
export const nobody: Endpoints = {
  family: 0,
  source: new Uint8Array(16),
  destination: new Uint8Array(16),
  sourcePort: 0,
  destinationPort: 0,
};

/** A client that came to a service's own address, without a PROXY header of its own. */
export function endsOf(
  { bytes, family }: ClientAddress,
  sourcePort: number,
  { address, port }: L7Service,
): Endpoints {
  const destination = new Uint8Array(16);
  writeAddress(destination, address);
  // A copy: the client's connection may be another's by the time that this is used.
  const source = bytes.slice(family === 4 ? 12 : 0);
  return { family, source, destination, sourcePort, destinationPort: port };
}
