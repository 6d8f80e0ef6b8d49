/**
 * A UDP socket between two fixed ends by one interface: udp(7), socket(7) SO_BINDTODEVICE. Addresses
 * are 4 or 16 bytes in network order.
 *
 * Invariants:
 * - Only what comes from the other end, by the interface, is received: it is connected.
 * - Nothing here waits: the caller watches `fd` with a Poller.
 */
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  connect,
  receive,
  send,
  setsockoptBytes,
  setsockoptInt,
  SOCK_DGRAM,
  socket,
  SOL_SOCKET,
  SystemError,
} from './libc.js';
import { sockaddr, sockaddrBytes } from './socket-address.js';

const SO_BINDTODEVICE = 25;
const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_TOS = 1;
const IPV6_TCLASS = 67;

export interface UdpSocketOptions {
  readonly family: 4 | 6;
  readonly interface: string;
  /** Of the interface; a link-local address is one of it. */
  readonly interfaceIndex: number;
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
  /** On both ends. */
  readonly port: number;
  /** TOS, or traffic class. */
  readonly trafficClass: number;
  /** Bytes of the longest datagram that is received whole. */
  readonly longest: number;
}

export class UdpSocket {
  readonly fd: number;
  readonly #data: Buffer;
  readonly #from: Buffer;
  #closed = false;

  /** Throws SystemError: EADDRNOTAVAIL while the interface has no such address. */
  constructor(options: UdpSocketOptions) {
    const { family, local, remote, port } = options;
    // One more: what fills it is too long.
    this.#data = Buffer.alloc(options.longest + 1);
    this.#from = Buffer.alloc(sockaddrBytes[family]);
    this.fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    try {
      const name = Buffer.from(`${options.interface}\0`);
      setsockoptBytes(this.fd, SOL_SOCKET, SO_BINDTODEVICE, name);
      const [level, option] = family === 4 ? [IPPROTO_IP, IP_TOS] : [IPPROTO_IPV6, IPV6_TCLASS];
      setsockoptInt(this.fd, level, option, options.trafficClass);
      bind(this.fd, end(family, local, port, options.interfaceIndex));
      connect(this.fd, end(family, remote, port, options.interfaceIndex));
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** Where it fails it is lost, as it may be on the way. Returns why. */
  send(datagram: Uint8Array): SystemError | null {
    try {
      send(this.fd, datagram);
      return null;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return error;
    }
  }

  /** The next datagram, valid until the next call; null: there is none now. */
  receive(): Uint8Array | null {
    for (;;) {
      try {
        const length = receive(this.fd, this.#data, this.#from);
        if (length === null) return null;
        if (length < this.#data.length) return this.#data.subarray(0, length);
      } catch (error) {
        // That nobody listened at the other end is told here, once for each datagram.
        if (!(error instanceof SystemError)) throw error;
        if (error.code === 'EBADF') throw error;
      }
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
  }
}

/** sockaddr_in6 has the scope in its last four bytes, which only link-local addresses have a use for. */
function end(family: 4 | 6, address: Uint8Array, port: number, interfaceIndex: number): Uint8Array {
  const bytes = Buffer.from(sockaddr(family, address, port));
  const linkLocal = address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80;
  if (family === 6 && linkLocal) bytes.writeUInt32LE(interfaceIndex, 24);
  return bytes;
}
