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
import { close, SOL_SOCKET, SystemError, widenSendBuffer } from './libc.js';
import { Mapping } from './memory.js';
import {
  controlSpace,
  decodeControl,
  encodeControl,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_TRUNC,
  receiveMessage,
  sendMessage,
} from './socket-message.js';

const libc = koffi.load(null);
const cSocketpair: (domain: number, type: number, protocol: number, pair: Int32Array) => number =
  libc.func('int socketpair(int domain, int type, int protocol, void *pair)');
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
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SCM_RIGHTS = 1;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const ECONNRESET = 104;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const F_SEAL_WRITE = 8;

/** Bytes of the longest message, and descriptors of one (SCM_MAX_FD is 253). */
export const LONGEST_MESSAGE = 65_536;
export const MOST_DESCRIPTORS = 250;
/** Room for messages that the other side has not yet read. */
const ROOM = 8 << 20;

export interface PacketMessage {
  readonly data: Buffer;
  readonly descriptors: readonly number[];
}

/** Two connected ends; the second one is to be inherited by a child. Throws SystemError. */
export function packetPair(): readonly [number, number] {
  const pair = new Int32Array(2);
  const type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (cSocketpair(AF_UNIX, type, 0, pair) < 0) throw new SystemError('socketpair', koffi.errno());
  const [one = -1, other = -1] = pair;
  for (const fd of [one, other]) widenSendBuffer(fd, ROOM);
  return [one, other];
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
  const control = descriptors.length === 0 ? null : rights(descriptors);
  const sent = sendMessage(fd, { data, address: null, control });
  if (sent >= 0) return true;
  const error = new SystemError('sendmsg', -sent);
  if (error.code === 'EAGAIN' || error.code === 'ENOBUFS' || error.code === 'ETOOMANYREFS') {
    return false;
  }
  throw error;
}

function rights(descriptors: readonly number[]): Buffer {
  const data = Buffer.alloc(descriptors.length * 4);
  for (const [index, one] of descriptors.entries()) data.writeInt32LE(one, index * 4);
  return encodeControl({ level: SOL_SOCKET, type: SCM_RIGHTS, data });
}

/** Of the message that is just being received: what waits for none takes no memory. */
const scratch = Buffer.alloc(LONGEST_MESSAGE);
const control = Buffer.alloc(controlSpace(MOST_DESCRIPTORS * 4));

/** The next message; null: there is none now; 'ended': the other side is gone. Throws SystemError. */
export function receivePacket(fd: number): PacketMessage | null | 'ended' {
  const parts = { data: scratch, address: null, control };
  let received = receiveMessage(fd, parts, MSG_CMSG_CLOEXEC);
  // Said once where the other side ended without reading everything, ahead of what it sent before.
  if (received.length === -ECONNRESET) received = receiveMessage(fd, parts, MSG_CMSG_CLOEXEC);
  const { length, controlLength, flags } = received;
  if (length < 0) {
    const error = new SystemError('recvmsg', -length);
    if (error.code === 'EAGAIN' || error.code === 'EINTR') return null;
    if (error.code === 'ECONNRESET') return 'ended';
    throw error;
  }
  const descriptors = descriptorsIn(control, controlLength);
  if ((flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
    for (const one of descriptors) close(one);
    throw new RangeError('a message from another process was cut');
  }
  // A message has at least a byte.
  if (length === 0) return 'ended';
  return { data: Buffer.from(scratch.subarray(0, length)), descriptors };
}

function descriptorsIn(control: Buffer, length: number): number[] {
  return decodeControl(control, length)
    .filter(({ level, type }) => level === SOL_SOCKET && type === SCM_RIGHTS)
    .flatMap(({ data }) =>
      Array.from({ length: data.length >> 2 }, (_, index) => data.readInt32LE(index * 4)),
    );
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

/** A copy of `data` that nobody can change any more, as a descriptor. Throws SystemError. */
export function sealedCopy(name: string, data: Uint8Array): number {
  const fd = sharedMemory(name, data.length);
  try {
    const mapping = Mapping.open(fd, { length: data.length, access: 'write' });
    new Uint8Array(mapping.buffer).set(data);
    mapping.close();
    seal(fd, true);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}
