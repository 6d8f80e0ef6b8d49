/**
 * Framing of netlink: messages in a datagram, attributes in a message, errors in an answer. Pure.
 * Source: kernel Documentation/userspace-api/netlink/intro.rst, include/uapi/linux/netlink.h.
 *
 * Invariant: no length that came off the wire is used before it was checked against the bytes that
 * are really there; a contradiction is a NetlinkFormatError, never a read beyond the message.
 */

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;
/** Types below this one are netlink's own. */
export const NLMSG_MIN_TYPE = 16;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
/** The dump changed under way: ask again. */
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_DUMP = 0x300;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

const HEADER_SIZE = 16;
const ATTRIBUTE_HEADER_SIZE = 4;
const NLMSGERR_ATTR_MSG = 1;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER are flags in the type. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;

export class NetlinkFormatError extends Error {
  readonly code = 'NETLINK_FORMAT';

  constructor(what: string) {
    super(`the kernel sent a netlink message that contradicts itself: ${what}`);
    this.name = 'NetlinkFormatError';
  }
}

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  /** The bytes after the header; shares memory with the datagram. */
  readonly payload: Buffer;
}

export interface Attribute {
  readonly type: number;
  /** Shares memory with the message. */
  readonly value: Buffer;
}

function align4(length: number): number {
  return (length + 3) & ~3;
}

/** The messages of one datagram, in order. */
export function splitMessages(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset < datagram.length) {
    const left = datagram.length - offset;
    if (left < HEADER_SIZE) throw new NetlinkFormatError(`${left} bytes where a header should be`);
    const length = datagram.readUInt32LE(offset);
    if (length < HEADER_SIZE || length > left) {
      throw new NetlinkFormatError(`message of ${length} bytes where ${left} are left`);
    }
    messages.push({
      type: datagram.readUInt16LE(offset + 4),
      flags: datagram.readUInt16LE(offset + 6),
      sequence: datagram.readUInt32LE(offset + 8),
      portId: datagram.readUInt32LE(offset + 12),
      payload: datagram.subarray(offset + HEADER_SIZE, offset + length),
    });
    offset += align4(length);
  }
  return messages;
}

/** The attributes that start at `offset` of a payload, in order. Up to three bytes of padding may follow. */
export function splitAttributes(payload: Buffer, offset: number): Attribute[] {
  if (offset > payload.length) {
    throw new NetlinkFormatError(`${payload.length} bytes where a header of ${offset} should be`);
  }
  const attributes: Attribute[] = [];
  let at = offset;
  while (payload.length - at >= ATTRIBUTE_HEADER_SIZE) {
    const left = payload.length - at;
    const length = payload.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER_SIZE || length > left) {
      throw new NetlinkFormatError(`attribute of ${length} bytes where ${left} are left`);
    }
    attributes.push({
      type: payload.readUInt16LE(at + 2) & ATTRIBUTE_TYPE_MASK,
      value: payload.subarray(at + ATTRIBUTE_HEADER_SIZE, at + length),
    });
    at += align4(length);
  }
  return attributes;
}

/** One message, ready to send; its length is a multiple of four so that messages can be joined. */
export function encodeMessage(
  type: number,
  flags: number,
  sequence: number,
  payload: Uint8Array,
): Buffer {
  const length = HEADER_SIZE + payload.length;
  const message = Buffer.alloc(align4(length));
  message.writeUInt32LE(length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(flags, 6);
  message.writeUInt32LE(sequence, 8);
  message.set(payload, HEADER_SIZE);
  return message;
}

export function encodeAttribute(type: number, value: Uint8Array): Buffer {
  const length = ATTRIBUTE_HEADER_SIZE + value.length;
  const attribute = Buffer.alloc(align4(length));
  attribute.writeUInt16LE(length, 0);
  attribute.writeUInt16LE(type, 2);
  attribute.set(value, ATTRIBUTE_HEADER_SIZE);
  return attribute;
}

/** What NLMSG_ERROR or NLMSG_DONE says: errno as a positive number (0: it worked), and the kernel's words. */
export interface Outcome {
  readonly errno: number;
  readonly detail: string | undefined;
}

export function readOutcome(message: NetlinkMessage): Outcome {
  const { payload, flags, type } = message;
  // An NLMSG_DONE without a body is success (older kernels).
  if (payload.length < 4) {
    if (type === NLMSG_DONE) return { errno: 0, detail: undefined };
    throw new NetlinkFormatError(`error message of ${payload.length} bytes`);
  }
  const errno = Math.abs(payload.readInt32LE(0));
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno, detail: undefined };
  let offset = 4;
  if (type === NLMSG_ERROR) {
    // The request's header comes back, and its payload too unless that was cut off.
    if (payload.length < 4 + HEADER_SIZE) throw new NetlinkFormatError('error without its request');
    const requestLength = payload.readUInt32LE(4);
    offset += (flags & NLM_F_CAPPED) === 0 ? align4(requestLength) : HEADER_SIZE;
  }
  const text = splitAttributes(payload, offset).find(({ type: t }) => t === NLMSGERR_ATTR_MSG);
  return { errno, detail: text === undefined ? undefined : cString(text.value) };
}

/** A NUL-terminated (or unterminated) string of an attribute. */
export function cString(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString('utf8', 0, end < 0 ? value.length : end);
}
