/**
 * Both ends of a client's connection: as the socket or a PROXY header says it, as the rest of the tier
 * wants it (client-address.ts), and as a PROXY header to a member says it again.
 */
import { addressOffset } from '../../native/ffi/socket-address.js';
import { AF_INET6 } from '../../native/ffi/libc.js';
import type { ClientAddress } from './client-address.js';
import type { Endpoints } from './http1/proxy-protocol.js';

/** 16 bytes, IPv4 as ::ffff:a.b.c.d, and a port. */
export class Endpoint implements ClientAddress {
  readonly bytes = new Uint8Array(16);
  family: 4 | 6 = 4;
  port = 0;

  /** From an address of 4 or 16 bytes in network order at `start`. */
  set(source: Uint8Array, start: number, family: 4 | 6, port: number): void {
    const { bytes } = this;
    this.family = family;
    this.port = port;
    let at = 0;
    if (family === 4) {
      for (; at < 10; at += 1) bytes[at] = 0;
      bytes[10] = 0xff;
      bytes[11] = 0xff;
      at = 12;
    }
    for (let from = start; at < 16; at += 1, from += 1) bytes[at] = source[from] as number;
  }

  setSockaddr(sockaddr: Uint8Array): void {
    const family = sockaddr[0] === AF_INET6 ? 6 : 4;
    const port = ((sockaddr[2] as number) << 8) | (sockaddr[3] as number);
    this.set(sockaddr, addressOffset[family], family, port);
  }

  copy(from: Endpoint): void {
    this.family = from.family;
    this.port = from.port;
    for (let at = 0; at < 16; at += 1) this.bytes[at] = from.bytes[at] as number;
  }

  /** Of all bytes of the address, after FNV-1a: a word, signed as words are. */
  hash(): number {
    let hash = 0x811c9dc5 | 0;
    for (let at = 0; at < 16; at += 1) {
      hash = Math.imul(hash ^ (this.bytes[at] as number), 0x01000193);
    }
    // The upper bits choose, so all must depend on all (the finaliser of MurmurHash3).
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return hash ^ (hash >>> 16);
  }
}

/** What a PROXY header to a member says; one serves all connections in turn. */
export class ToldEndpoints implements Endpoints {
  family: 0 | 4 | 6 = 0;
  readonly source = new Uint8Array(16);
  readonly destination = new Uint8Array(16);
  sourcePort = 0;
  destinationPort = 0;

  /** Of two families one cannot speak in one header: then nothing is said. */
  set(source: Endpoint, destination: Endpoint): void {
    this.family = source.family === destination.family ? source.family : 0;
    const from = source.family === 4 ? 12 : 0;
    for (let at = from; at < 16; at += 1) {
      this.source[at - from] = source.bytes[at] as number;
      this.destination[at - from] = destination.bytes[at] as number;
    }
    this.sourcePort = source.port;
    this.destinationPort = destination.port;
  }
}
