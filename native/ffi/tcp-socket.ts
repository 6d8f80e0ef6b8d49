/**
 * TCP sockets for io_uring: listen(2), socket(7), tcp(7), ipv6(7), getpeername(2).
 *
 * Invariants:
 * - These sockets block. io_uring waits by itself for a blocking socket, and fails at once with
 *   EAGAIN on one that is O_NONBLOCK.
 * - TCP_NODELAY of a listener is inherited by what it accepts, so accepting costs no further call.
 */
import koffi from 'koffi';
import { SOCK_CLOEXEC } from './io-uring-abi.js';
import {
  AF_INET6,
  bind,
  close,
  getsockname,
  setsockoptBytes,
  SO_LINGER,
  SOCK_STREAM,
  SOL_SOCKET,
  SystemError,
} from './libc.js';
import { sockaddrBytes } from './socket-address.js';

const libc = koffi.load(null);
const cSocket: (domain: number, type: number, protocol: number) => number = libc.func(
  'int socket(int domain, int type, int protocol)',
);
const cListen: (fd: number, backlog: number) => number = libc.func(
  'int listen(int fd, int backlog)',
);
const cShutdown: (fd: number, how: number) => number = libc.func('int shutdown(int fd, int how)');
const cGetpeername: (fd: number, address: Uint8Array, length: Uint32Array) => number = libc.func(
  'int getpeername(int fd, void *address, void *length)',
);

const cGetsockopt: (
  fd: number,
  level: number,
  name: number,
  value: Int32Array,
  length: Uint32Array,
) => number = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)');

const SO_REUSEADDR = 2;
const SO_PROTOCOL = 38;
const SO_ACCEPTCONN = 30;
const SO_REUSEPORT = 15;
const IPPROTO_IP = 0;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;
const IP_FREEBIND = 15;
const IP_BIND_ADDRESS_NO_PORT = 24;
const IPV6_V6ONLY = 26;
const TCP_NODELAY = 1;

const ON = Buffer.from([1, 0, 0, 0]);
/** struct linger { int l_onoff, l_linger; }: close() resets the connection. */
const RESET = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

function familyOf(address: Uint8Array): number {
  return (address[0] ?? 0) | ((address[1] ?? 0) << 8);
}

function blockingSocket(family: number): number {
  const fd = cSocket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) throw new SystemError('socket', koffi.errno());
  return fd;
}

/** Closes `fd` when `work` fails. */
function orClose(fd: number, work: () => void): number {
  try {
    work();
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/**
 * A listening socket at `address`, a sockaddr as bytes. With SO_REUSEPORT each worker has its own
 * and the kernel spreads the connections. `::` means IPv6 alone. Throws SystemError.
 */
export function listenTcp(address: Uint8Array, backlog: number): number {
  const family = familyOf(address);
  const fd = blockingSocket(family);
  return orClose(fd, () => {
    setsockoptBytes(fd, SOL_SOCKET, SO_REUSEADDR, ON);
    setsockoptBytes(fd, SOL_SOCKET, SO_REUSEPORT, ON);
    setsockoptBytes(fd, IPPROTO_TCP, TCP_NODELAY, ON);
    // The address may come a moment later (IPv6 looks for duplicates first).
    setsockoptBytes(fd, IPPROTO_IP, IP_FREEBIND, ON);
    if (family === AF_INET6) setsockoptBytes(fd, IPPROTO_IPV6, IPV6_V6ONLY, ON);
    bind(fd, address);
    if (cListen(fd, backlog) < 0) throw new SystemError('listen', koffi.errno());
  });
}

/**
 * A socket that is yet to be connected to an address of the same family as `address`; `source`, if
 * any, is the sockaddr that it comes from, whose port is chosen only when it connects, so that one
 * port serves for several destinations. Throws SystemError.
 */
export function clientTcp(address: Uint8Array, source: Uint8Array | null): number {
  const fd = blockingSocket(familyOf(address));
  return orClose(fd, () => {
    setsockoptBytes(fd, IPPROTO_TCP, TCP_NODELAY, ON);
    if (source === null) return;
    setsockoptBytes(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, ON);
    bind(fd, source);
  });
}

/** From now on close() sends a reset and drops what was not sent. Throws SystemError. */
export function resetOnClose(fd: number): void {
  setsockoptBytes(fd, SOL_SOCKET, SO_LINGER, RESET);
}

const SHUT_WR = 1;

/** Ends the sending side. Returns 0 or a negative errno. */
export function endSending(fd: number): number {
  return cShutdown(fd, SHUT_WR) < 0 ? -koffi.errno() : 0;
}

const peerLength = new Uint32Array(1);

/**
 * Writes the peer's sockaddr into `address` (28 bytes hold both families) and returns its length,
 * or a negative errno: the peer may be gone already.
 */
export function peerOf(fd: number, address: Uint8Array): number {
  peerLength[0] = address.length;
  if (cGetpeername(fd, address, peerLength) < 0) return -koffi.errno();
  return peerLength[0];
}

/** The port that a socket is bound to. */
export function localPort(fd: number): number {
  return getsockname(fd, sockaddrBytes[6]).readUInt16BE(2);
}

function option(fd: number, name: number): number {
  const value = new Int32Array(1);
  return cGetsockopt(fd, SOL_SOCKET, name, value, Uint32Array.of(4)) < 0 ? 0 : (value[0] ?? 0);
}

/** The sockaddr that a TCP socket of a group (SO_REUSEPORT) listens at, in hex; null for all others. */
export function listensAt(fd: number): string | null {
  if (option(fd, SO_ACCEPTCONN) === 0 || option(fd, SO_PROTOCOL) !== IPPROTO_TCP) return null;
  if (option(fd, SO_REUSEPORT) === 0) return null;
  return getsockname(fd, sockaddrBytes[6]).toString('hex');
}
