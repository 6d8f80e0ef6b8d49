/**
 * Messages with descriptors between two processes of one unit: unix(7) sockets of type SOCK_SEQPACKET,
 * sendmsg(2), SCM_RIGHTS (cmsg(3)); and sealed memory to hand over with them, memfd_create(2).
 *
 * Invariants:
 * - A message arrives whole or not at all; one that is too large for the receiver is an error here,
 *   never a shorter message.
 * - Descriptors that arrive are close-on-exec, and belong to who receives them.
 * - Nothing here waits.
 */
import koffi from 'koffi';
import { close, SOL_SOCKET, SystemError } from './libc.js';
import { addressOf, holding } from './memory.js';

const libc = koffi.load(null);
const cSocketpair: (domain: number, type: number, protocol: number, pair: Int32Array) => number =
  libc.func('int socketpair(int domain, int type, int protocol, void *pair)');
const cSendmsg: (fd: number, message: Uint8Array, flags: number) => number = libc.func(
  'intptr_t sendmsg(int fd, const void *message, int flags)',
);
const cRecvmsg: (fd: number, message: Uint8Array, flags: number) => number = libc.func(
  'intptr_t recvmsg(int fd, void *message, int flags)',
);
const cMemfd: (name: string, flags: number) => number = libc.func(
  'int memfd_create(const char *name, unsigned int flags)',
);
const cFtruncate: (fd: number, length: number) => number = libc.func(
  'int ftruncate(int fd, int64_t length)',
);
const cFcntl: (fd: number, command: number, argument: number) => number = libc.func(
  'fcntl',
  'int',
  ['int', 'int', 'int'],
);
const cSetsockopt: (
  fd: number,
  level: number,
  name: number,
  value: Int32Array,
  size: number,
) => number = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t size)',
);

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_TRUNC = 0x20;
const MSG_CTRUNC = 0x08;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const ECONNRESET = 104;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const F_SEAL_WRITE = 8;

/** struct msghdr, struct iovec and struct cmsghdr of 64-bit Linux. */
const MSGHDR = 56;
const IOVEC = 16;
const CMSGHDR = 16;

/** Bytes of the longest message, and descriptors of one (SCM_MAX_FD is 253). */
export const LONGEST_MESSAGE = 65_536;
export const MOST_DESCRIPTORS = 250;
/** Room for messages that the other side has not yet read. */
const ROOM = 8 << 20;

export interface PacketMessage {
  readonly data: Buffer;
  readonly descriptors: readonly number[];
}

function header(data: Uint8Array, control: Uint8Array | null): { block: Buffer; iovec: Buffer } {
  const iovec = Buffer.alloc(IOVEC);
  iovec.writeBigUInt64LE(addressOf(data), 0);
  iovec.writeBigUInt64LE(BigInt(data.length), 8);
  const block = Buffer.alloc(MSGHDR);
  block.writeBigUInt64LE(addressOf(iovec), 16);
  block.writeBigUInt64LE(1n, 24);
  if (control !== null) {
    block.writeBigUInt64LE(addressOf(control), 32);
    block.writeBigUInt64LE(BigInt(control.length), 40);
  }
  return { block, iovec };
}

/** Two connected ends; the second one is to be inherited by a child. Throws SystemError. */
export function packetPair(): readonly [number, number] {
  const pair = new Int32Array(2);
  const type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (cSocketpair(AF_UNIX, type, 0, pair) < 0) throw new SystemError('socketpair', koffi.errno());
  const [one = -1, other = -1] = pair;
  for (const fd of [one, other]) widen(fd);
  return [one, other];
}

/** As much room as the system gives: it only makes it less likely that a message has to wait. */
function widen(fd: number): void {
  const size = Int32Array.of(ROOM);
  if (cSetsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, size, 4) < 0) {
    cSetsockopt(fd, SOL_SOCKET, SO_SNDBUF, size, 4);
  }
}

/** Sends a message. False: there is no room now. Throws SystemError, EPIPE when nobody is there. */
export function sendPacket(
  fd: number,
  data: Uint8Array,
  descriptors: readonly number[] = [],
): boolean {
  if (data.length === 0 || data.length > LONGEST_MESSAGE) {
    throw new RangeError(`a message of ${data.length} bytes: from 1 to ${LONGEST_MESSAGE}`);
  }
  if (descriptors.length > MOST_DESCRIPTORS) {
    throw new RangeError(`${descriptors.length} descriptors: at most ${MOST_DESCRIPTORS}`);
  }
  let control: Buffer | null = null;
  if (descriptors.length > 0) {
    const length = CMSGHDR + descriptors.length * 4;
    control = Buffer.alloc(Math.ceil(length / 8) * 8);
    control.writeBigUInt64LE(BigInt(length), 0);
    control.writeInt32LE(SOL_SOCKET, 8);
    control.writeInt32LE(SCM_RIGHTS, 12);
    for (const [index, one] of descriptors.entries()) {
      control.writeInt32LE(one, CMSGHDR + index * 4);
    }
  }
  const { block, iovec } = header(data, control);
  const held = control === null ? [data, iovec] : [data, iovec, control];
  return holding(held, () => {
    if (cSendmsg(fd, block, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return true;
    const error = new SystemError('sendmsg', koffi.errno());
    if (error.code === 'EAGAIN' || error.code === 'ENOBUFS' || error.code === 'ETOOMANYREFS') {
      return false;
    }
    throw error;
  });
}

/** The next message; null: there is none now; 'ended': the other side is gone. Throws SystemError. */
export function receivePacket(fd: number): PacketMessage | null | 'ended' {
  const data = Buffer.alloc(LONGEST_MESSAGE);
  const control = Buffer.alloc(CMSGHDR + Math.ceil((MOST_DESCRIPTORS * 4) / 8) * 8);
  const { block, iovec } = header(data, control);
  return holding([data, iovec, control], () => {
    let length = cRecvmsg(fd, block, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    // Said once where the other side ended without reading everything, ahead of what it sent before.
    if (length < 0 && koffi.errno() === ECONNRESET) {
      length = cRecvmsg(fd, block, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    }
    if (length < 0) {
      const error = new SystemError('recvmsg', koffi.errno());
      if (error.code === 'EAGAIN' || error.code === 'EINTR') return null;
      if (error.code === 'ECONNRESET') return 'ended';
      throw error;
    }
    const descriptors = descriptorsIn(control, Number(block.readBigUInt64LE(40)));
    const flags = block.readInt32LE(48);
    if ((flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
      for (const one of descriptors) close(one);
      throw new RangeError('a message from another process was cut');
    }
    // A message has at least a byte.
    if (length === 0) return 'ended';
    return { data: data.subarray(0, length), descriptors };
  });
}

function descriptorsIn(control: Buffer, length: number): number[] {
  const found: number[] = [];
  let at = 0;
  while (at + CMSGHDR <= length) {
    const size = Number(control.readBigUInt64LE(at));
    if (size < CMSGHDR || at + size > length) break;
    const rights =
      control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS;
    for (let p = at + CMSGHDR; rights && p + 4 <= at + size; p += 4) {
      found.push(control.readInt32LE(p));
    }
    at += Math.ceil(size / 8) * 8;
  }
  return found;
}

/** Memory of `length` bytes as a descriptor. Throws SystemError. */
export function sharedMemory(name: string, length: number): number {
  const fd = cMemfd(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw new SystemError('memfd_create', koffi.errno(), name);
  if (cFtruncate(fd, length) < 0) {
    const error = new SystemError('ftruncate', koffi.errno(), name);
    close(fd);
    throw error;
  }
  return fd;
}

/** From now on its size never changes; with `write` nor does what it holds. Throws SystemError. */
export function seal(fd: number, write: boolean): void {
  const seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | (write ? F_SEAL_WRITE : 0);
  if (cFcntl(fd, F_ADD_SEALS, seals) < 0) throw new SystemError('fcntl', koffi.errno(), 'seals');
}
