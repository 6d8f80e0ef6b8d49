/**
 * A datagram socket that is connected to one peer: unix(7), udp(7). For Unix datagrams node has
 * nothing, and its UDP sockets queue without a bound.
 *
 * Invariant: nothing here waits.
 */
import {
  AF_INET,
  AF_INET6,
  close,
  connect,
  send,
  SOCK_DGRAM,
  socket,
  SystemError,
} from './libc.js';
import { sockaddr } from './socket-address.js';

const AF_UNIX = 1;
/** `sun_path` with its final NUL (unix(7)). */
const mostPath = 108;

export type DatagramPeer =
  | { readonly path: string }
  | { readonly family: 4 | 6; readonly address: Uint8Array; readonly port: number };

export class DatagramSocket {
  readonly #fd: number;
  #closed = false;

  /** Throws SystemError; RangeError for a path that no socket can have. */
  constructor(peer: DatagramPeer) {
    const unix = 'path' in peer;
    const address = unix
      ? unixAddress(peer.path)
      : sockaddr(peer.family, peer.address, peer.port).slice();
    const domain = unix ? AF_UNIX : peer.family === 4 ? AF_INET : AF_INET6;
    this.#fd = socket(domain, SOCK_DGRAM, 0);
    try {
      connect(this.#fd, address);
    } catch (error) {
      close(this.#fd);
      throw error;
    }
  }

  /** False: there is no room for it now. Throws SystemError. */
  send(datagram: Uint8Array): boolean {
    try {
      send(this.#fd, datagram);
      return true;
    } catch (error) {
      if (error instanceof SystemError && (error.code === 'EAGAIN' || error.code === 'ENOBUFS')) {
        return false;
      }
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#fd);
  }
}

function unixAddress(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (name.length === 0 || name.length >= mostPath || name.includes(0)) {
    throw new RangeError(`no socket can have the path "${path}": 1 to ${mostPath - 1} bytes`);
  }
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.set(name, 2);
  return address;
}
