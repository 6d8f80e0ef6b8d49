/**
 * sendmsg(2) and recvmsg(2): a message with what goes beside it (cmsg(3)).
 *
 * Invariants:
 * - Nothing here waits, and no errno gets lost: a failure is a negative number.
 * - The structures hold addresses of buffers; these are held until the call has returned.
 */
import koffi from 'koffi';
import { addressOf, holding } from './memory.js';

const libc = koffi.load(null);
const cSendmsg: (fd: number, message: Uint8Array, flags: number) => number = libc.func(
  'intptr_t sendmsg(int fd, const void *message, int flags)',
);
const cRecvmsg: (fd: number, message: Uint8Array, flags: number) => number = libc.func(
  'intptr_t recvmsg(int fd, void *message, int flags)',
);

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
export const MSG_TRUNC = 0x20;
export const MSG_CTRUNC = 0x08;
export const MSG_CMSG_CLOEXEC = 0x40000000;

/** struct msghdr, struct iovec and struct cmsghdr of 64-bit Linux. */
const MSGHDR = 56;
const IOVEC = 16;
const CMSGHDR = 16;

export interface ControlMessage {
  readonly level: number;
  readonly type: number;
  readonly data: Buffer;
}

function aligned(length: number): number {
  return (length + 7) & ~7;
}

/** Room for a control message of so many bytes (CMSG_SPACE). */
export function controlSpace(bytes: number): number {
  return CMSGHDR + aligned(bytes);
}

export function encodeControl({ level, type, data }: ControlMessage): Buffer {
  const control = Buffer.alloc(controlSpace(data.length));
  control.writeBigUInt64LE(BigInt(CMSGHDR + data.length), 0);
  control.writeInt32LE(level, 8);
  control.writeInt32LE(type, 12);
  control.set(data, CMSGHDR);
  return control;
}

/** Those of the first `length` bytes; they share their memory. */
export function decodeControl(control: Buffer, length: number): ControlMessage[] {
  const found: ControlMessage[] = [];
  let at = 0;
  while (at + CMSGHDR <= length) {
    const size = Number(control.readBigUInt64LE(at));
    if (size < CMSGHDR || at + size > length) break;
    found.push({
      level: control.readInt32LE(at + 8),
      type: control.readInt32LE(at + 12),
      data: control.subarray(at + CMSGHDR, at + size),
    });
    at += aligned(size);
  }
  return found;
}

interface Parts {
  readonly data: Uint8Array;
  /** A sockaddr. */
  readonly address: Uint8Array | null;
  readonly control: Uint8Array | null;
}

function header({ data, address, control }: Parts): { block: Buffer; held: Uint8Array[] } {
  const iovec = Buffer.alloc(IOVEC);
  iovec.writeBigUInt64LE(addressOf(data), 0);
  iovec.writeBigUInt64LE(BigInt(data.length), 8);
  const block = Buffer.alloc(MSGHDR);
  const held: Uint8Array[] = [data, iovec];
  if (address !== null) {
    block.writeBigUInt64LE(addressOf(address), 0);
    block.writeUInt32LE(address.length, 8);
    held.push(address);
  }
  block.writeBigUInt64LE(addressOf(iovec), 16);
  block.writeBigUInt64LE(1n, 24);
  if (control !== null) {
    block.writeBigUInt64LE(addressOf(control), 32);
    block.writeBigUInt64LE(BigInt(control.length), 40);
    held.push(control);
  }
  return { block, held };
}

/** How many bytes were sent, or a negative errno. */
export function sendMessage(fd: number, parts: Parts): number {
  const { block, held } = header(parts);
  return holding(held, () => {
    const sent = cSendmsg(fd, block, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -koffi.errno() : sent;
  });
}

export interface Received {
  /** Bytes, or a negative errno. */
  readonly length: number;
  readonly controlLength: number;
  /** MSG_TRUNC, MSG_CTRUNC. */
  readonly flags: number;
}

/** Into the buffers of `parts`. */
export function receiveMessage(fd: number, parts: Parts, flags = 0): Received {
  const { block, held } = header(parts);
  return holding(held, () => {
    const got = cRecvmsg(fd, block, MSG_DONTWAIT | flags);
    return {
      length: got < 0 ? -koffi.errno() : got,
      controlLength: Number(block.readBigUInt64LE(40)),
      flags: block.readInt32LE(48),
    };
  });
}
