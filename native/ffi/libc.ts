/**
 * Typed bindings of the few libc calls that node does not offer: netlink sockets, ioctl, epoll,
 * eventfd. Manual pages: socket(2), netlink(7), netdevice(7), epoll(7), eventfd(2).
 *
 * Invariant: a failed call leaves here as a SystemError (or as the documented special value),
 * never as a bare -1, and errno is read before any other foreign call can overwrite it.
 */
import { endianness } from 'node:os';
import { getSystemErrorMap, getSystemErrorName } from 'node:util';
import koffi from 'koffi';

if (endianness() !== 'LE') {
  throw new Error('Weir runs on little-endian machines only (x86-64, arm64): its codecs assume it');
}

const libc = koffi.load(null);

const cSocket: (domain: number, type: number, protocol: number) => number = libc.func(
  'int socket(int domain, int type, int protocol)',
);
const cBind: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  'int bind(int fd, const void *address, uint32_t length)',
);
const cConnect: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  'int connect(int fd, const void *address, uint32_t length)',
);
const cGetsockopt: (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: Uint32Array,
) => number = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)');
const cGetsockname: (fd: number, address: Uint8Array, length: Uint32Array) => number = libc.func(
  'int getsockname(int fd, void *address, void *length)',
);
type Send = (fd: number, data: Uint8Array, length: number, flags: number) => number;
const cSend: Send & {
  readonly async: (
    ...given: [...Parameters<Send>, (error: Error | null, sent: number) => void]
  ) => void;
} = libc.func('intptr_t send(int fd, const void *data, size_t length, int flags)');
const cSendto: (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: number,
) => number = libc.func(
  'intptr_t sendto(int fd, const void *data, size_t length, int flags, const void *address, uint32_t addressLength)',
);
const cRecvfrom: (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: Uint32Array,
) => number = libc.func(
  'intptr_t recvfrom(int fd, void *data, size_t length, int flags, void *address, void *addressLength)',
);
const cSetsockopt: (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: number,
) => number = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)',
);
const cClose: (fd: number) => number = libc.func('int close(int fd)');
const cIoctl: (fd: number, request: number, argument: Uint8Array) => number = libc.func(
  'ioctl',
  'int',
  ['int', 'ulong', 'void *'],
);
const cEpollCreate: (flags: number) => number = libc.func('int epoll_create1(int flags)');
const cEpollCtl: (epoll: number, operation: number, fd: number, event: Uint8Array) => number =
  libc.func('int epoll_ctl(int epoll, int operation, int fd, void *event)');
const cEpollWait: (epoll: number, events: Uint8Array, most: number, timeout: number) => number =
  libc.func('int epoll_wait(int epoll, void *events, int most, int timeout)');
const cEventfd: (initial: number, flags: number) => number = libc.func(
  'int eventfd(uint32_t initial, int flags)',
);
const cWrite: (fd: number, data: Uint8Array, length: number) => number = libc.func(
  'intptr_t write(int fd, const void *data, size_t length)',
);
const cRead: (fd: number, data: Uint8Array, length: number) => number = libc.func(
  'intptr_t read(int fd, void *data, size_t length)',
);

/** A failed system call. `code` is the errno name (`ENOBUFS`), `errno` its positive value. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  /** `detail`: what was tried, or the kernel's own sentence about the failure. */
  constructor(syscall: string, errno: number, detail?: string) {
    const code = errnoName(errno);
    const words = getSystemErrorMap().get(-errno)?.[1] ?? 'unknown error';
    super(`${syscall}: ${words} (${code})${detail === undefined ? '' : `: ${detail}`}`);
    this.name = 'SystemError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** Name of a positive errno value: `ENOBUFS`; `E<number>` for one that node does not know. */
export function errnoName(errno: number): string {
  const known = getSystemErrorMap().has(-errno);
  return known ? getSystemErrorName(-errno) : `E${errno}`;
}

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_LINGER = 13;
const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_TRUNC = 0x20;

/** errno of the last foreign call: read at once, before anything else calls out. */
function failure(syscall: string, detail?: string): SystemError {
  return new SystemError(syscall, koffi.errno(), detail);
}

function is(name: 'EAGAIN' | 'EINTR' | 'EINPROGRESS'): boolean {
  return koffi.errno() === koffi.os.errno[name];
}

/** A non-blocking, close-on-exec socket. */
export function socket(domain: number, type: number, protocol: number): number {
  const fd = cSocket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) throw failure('socket');
  return fd;
}

/** `address`: the sockaddr as bytes. */
export function bind(fd: number, address: Uint8Array): void {
  if (cBind(fd, address, address.length) < 0) throw failure('bind');
}

/** The socket's own sockaddr, at most `size` bytes. */
export function getsockname(fd: number, size: number): Buffer {
  const address = Buffer.alloc(size);
  const length = new Uint32Array([size]);
  if (cGetsockname(fd, address, length) < 0) throw failure('getsockname');
  return address.subarray(0, Math.min(size, length[0] ?? 0));
}

export function setsockoptInt(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  setsockoptBytes(fd, level, name, bytes);
}

/** An option that is a structure, given as bytes. */
export function setsockoptBytes(fd: number, level: number, name: number, value: Uint8Array): void {
  if (cSetsockopt(fd, level, name, value, value.length) < 0) {
    throw failure('setsockopt', `level ${level}, option ${name}`);
  }
}

/** Room for what waits to be sent; less where the system gives less: then something waits sooner. */
export function widenSendBuffer(fd: number, bytes: number): void {
  const size = Buffer.alloc(4);
  size.writeInt32LE(bytes);
  if (cSetsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, size, 4) < 0) {
    cSetsockopt(fd, SOL_SOCKET, SO_SNDBUF, size, 4);
  }
}

/**
 * Begins to connect a non-blocking socket to `address`, a sockaddr as bytes. True: connected
 * already; false: under way, and socketError() tells how it ended once the socket is writable.
 */
export function connect(fd: number, address: Uint8Array): boolean {
  if (cConnect(fd, address, address.length) === 0) return true;
  // Interrupted, it goes on by itself (connect(2)).
  if (is('EINPROGRESS') || is('EINTR')) return false;
  throw failure('connect');
}

const optionValue = Buffer.alloc(4);
const optionLength = new Uint32Array(1);

/** Takes a socket's pending error (SO_ERROR); null when there is none. */
export function socketError(fd: number): SystemError | null {
  optionLength[0] = 4;
  if (cGetsockopt(fd, SOL_SOCKET, SO_ERROR, optionValue, optionLength) < 0) {
    throw failure('getsockopt', 'SO_ERROR');
  }
  const errno = optionValue.readInt32LE(0);
  return errno === 0 ? null : new SystemError('connect', errno);
}

/** Sends what the kernel takes at once. Returns how many bytes, or a negative errno. */
export function trySend(fd: number, data: Uint8Array): number {
  const sent = cSend(fd, data, data.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? -koffi.errno() : sent;
}

/** Sends one datagram to the socket's default peer; netlink's is the kernel. */
export function send(fd: number, data: Uint8Array): void {
  for (;;) {
    if (cSend(fd, data, data.length, MSG_DONTWAIT) >= 0) return;
    if (!is('EINTR')) throw failure('send');
  }
}

/**
 * As send(), in a thread of the pool: for what the kernel does not do at once, though it is told not
 * to wait (netlink). `data` is not to be changed until it resolves. Throws SystemError.
 */
export function sendApart(fd: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    cSend.async(fd, data, data.length, MSG_DONTWAIT, (error, sent) => {
      if (error !== null) reject(error);
      else if (sent >= 0) resolve();
      // The other thread's errno is not known here: asked once more, it is.
      else resolve(Promise.resolve().then(() => send(fd, data)));
    });
  });
}

/** Sends one datagram to `address`, a sockaddr as bytes, without waiting. */
export function sendTo(fd: number, data: Uint8Array, address: Uint8Array): void {
  for (;;) {
    if (cSendto(fd, data, data.length, MSG_DONTWAIT, address, address.length) >= 0) return;
    if (!is('EINTR')) throw failure('sendto');
  }
}

/**
 * Receives one datagram without waiting. Returns its whole length, which is larger than the buffer
 * when the datagram was cut (MSG_TRUNC), or null when there is none now. `from` receives the
 * sender's sockaddr.
 */
export function receive(fd: number, buffer: Uint8Array, from: Uint8Array): number | null {
  const fromLength = new Uint32Array([from.length]);
  for (;;) {
    const got = cRecvfrom(fd, buffer, buffer.length, MSG_DONTWAIT | MSG_TRUNC, from, fromLength);
    if (got >= 0) return got;
    if (is('EAGAIN')) return null;
    if (!is('EINTR')) throw failure('recvfrom');
  }
}

/** close(2), for who judges its failure: 0 or a negative errno. */
export function tryClose(fd: number): number {
  return cClose(fd) < 0 ? -koffi.errno() : 0;
}

export function close(fd: number): void {
  if (tryClose(fd) < 0) throw failure('close', `descriptor ${fd}`);
}

/** ioctl(2) with a structure as bytes, changed in place. */
export function ioctl(fd: number, request: number, argument: Uint8Array, detail?: string): void {
  if (cIoctl(fd, request, argument) < 0) throw failure('ioctl', detail);
}

export function epollCreate(): number {
  const fd = cEpollCreate(SOCK_CLOEXEC);
  if (fd < 0) throw failure('epoll_create1');
  return fd;
}

/** `struct epoll_event` is packed on x86-64 only: 12 bytes there, 16 elsewhere (eventpoll.h). */
const epollPacked = process.arch === 'x64';
export const epollEventSize = epollPacked ? 12 : 16;
const epollDataOffset = epollPacked ? 4 : 8;

const epollEvent = Buffer.alloc(epollEventSize);

/** Watches `fd`, level-triggered, or stops watching it. */
export function epollControl(epoll: number, operation: number, fd: number, events: number): void {
  epollEvent.writeUInt32LE(events, 0);
  epollEvent.writeInt32LE(fd, epollDataOffset);
  if (cEpollCtl(epoll, operation, fd, epollEvent) < 0)
    throw failure('epoll_ctl', `descriptor ${fd}`);
}

/** Descriptors that are ready now; never waits. `scratch` holds whole epoll_event structures. */
export function epollReady(epoll: number, scratch: Buffer): number[] {
  for (;;) {
    const most = Math.floor(scratch.length / epollEventSize);
    const count = cEpollWait(epoll, scratch, most, 0);
    if (count >= 0) {
      return Array.from({ length: count }, (_, index) =>
        scratch.readInt32LE(index * epollEventSize + epollDataOffset),
      );
    }
    if (!is('EINTR')) throw failure('epoll_wait');
  }
}

/** A non-blocking eventfd(2), for whoever wants to wake a Poller. */
export function eventfd(): number {
  const fd = cEventfd(0, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) throw failure('eventfd');
  return fd;
}

/** Adds one to an eventfd. */
export function signalEventfd(fd: number): void {
  const one = Buffer.alloc(8);
  one.writeUInt32LE(1);
  if (cWrite(fd, one, 8) < 0) throw failure('write', 'eventfd');
}

/** Takes an eventfd back to zero and returns what it held; 0 when it was not signalled. */
export function drainEventfd(fd: number): bigint {
  const value = Buffer.alloc(8);
  if (cRead(fd, value, 8) < 0) {
    if (is('EAGAIN')) return 0n;
    throw failure('read', 'eventfd');
  }
  return value.readBigUInt64LE();
}
