/**
 * Echo requests and what comes back for them, as bytes: ICMP (RFC 792) and ICMPv6 (RFC 4443). Pure.
 *
 * Invariants:
 * - Nothing here throws, whatever the bytes: what cannot be read is null.
 * - An answer names the request by identifier and sequence number, and by the token in the payload
 *   wherever the packet is long enough to hold it.
 */
import type { Family } from '../config/address-codec.js';

export const TOKEN_BYTES = 8;
const HEADER_BYTES = 8;
/** A payload of 56 bytes, as ping(8) sends: no filter takes offence. */
const PACKET_BYTES = HEADER_BYTES + 56;

const types = {
  4: { request: 8, reply: 0, unreachable: 3, timeExceeded: 11, protocol: 1 },
  6: { request: 128, reply: 129, unreachable: 1, timeExceeded: 3, protocol: 58 },
} as const;

/** ICMP types that an echo socket wants to see. */
export function answerTypes(family: Family): readonly number[] {
  const { reply, unreachable, timeExceeded } = types[family];
  return [reply, unreachable, timeExceeded];
}

export interface EchoName {
  readonly identifier: number;
  readonly sequence: number;
}

export interface EchoAnswer extends EchoName {
  readonly kind: 'reply' | 'error';
  /** Null where the packet was cut before it. */
  readonly token: Uint8Array | null;
  /** Of an error: where the request was going to, and what became of it. */
  readonly destination?: Uint8Array;
  readonly reason?: string;
  /** Its hop limit was reached. */
  readonly expired?: boolean;
}

/** `token`: TOKEN_BYTES bytes. The checksum of ICMPv6 is left to the kernel (RFC 3542 §3.1). */
export function encodeRequest(family: Family, name: EchoName, token: Uint8Array): Buffer {
  const packet = Buffer.alloc(PACKET_BYTES);
  packet.writeUInt8(types[family].request, 0);
  packet.writeUInt16BE(name.identifier, 4);
  packet.writeUInt16BE(name.sequence, 6);
  packet.set(token.subarray(0, TOKEN_BYTES), HEADER_BYTES);
  packet.write('weir monitor', HEADER_BYTES + TOKEN_BYTES, 'latin1');
  if (family === 4) packet.writeUInt16BE(checksum(packet), 2);
  return packet;
}

/** `packet`: as a raw socket gives it, with the IP header for IPv4 and without for IPv6. */
export function decodeAnswer(family: Family, packet: Buffer): EchoAnswer | null {
  const message = family === 4 ? payloadOf4(packet, types[4].protocol) : packet;
  if (message === null || message.length < HEADER_BYTES) return null;
  // The kernel checks that of ICMPv6 (RFC 3542 §3.1), but not that of ICMP on raw sockets.
  if (family === 4 && checksum(message) !== 0) return null;
  const type = message.readUInt8(0);
  const code = message.readUInt8(1);
  const known = types[family];
  if (type === known.reply) return code === 0 ? { kind: 'reply', ...echoOf(message) } : null;
  if (type !== known.unreachable && type !== known.timeExceeded) return null;
  const reason =
    type === known.timeExceeded
      ? code === 0
        ? 'the way there is a loop, or too long'
        : 'fragments were lost on the way'
      : unreachable(family, code);
  const answer = errorOf(family, message.subarray(HEADER_BYTES), reason);
  const expired = type === known.timeExceeded && code === 0;
  return answer !== null && expired ? { ...answer, expired } : answer;
}

function errorOf(family: Family, quoted: Buffer, reason: string): EchoAnswer | null {
  const { protocol, request } = types[family];
  const inner = family === 4 ? payloadOf4(quoted, protocol) : payloadOf6(quoted, protocol);
  if (inner === null || inner.length < HEADER_BYTES || inner.readUInt8(0) !== request) return null;
  const destination = family === 4 ? quoted.subarray(16, 20) : quoted.subarray(24, 40);
  return { kind: 'error', ...echoOf(inner), destination, reason };
}

function echoOf(message: Buffer): EchoName & { readonly token: Uint8Array | null } {
  const end = HEADER_BYTES + TOKEN_BYTES;
  return {
    identifier: message.readUInt16BE(4),
    sequence: message.readUInt16BE(6),
    token: message.length < end ? null : message.subarray(HEADER_BYTES, end),
  };
}

/** RFC 791 §3.1. */
function payloadOf4(packet: Buffer, protocol: number): Buffer | null {
  if (packet.length < 20 || packet.readUInt8(0) >> 4 !== 4) return null;
  const header = (packet.readUInt8(0) & 0xf) * 4;
  if (header < 20 || packet.length < header || packet.readUInt8(9) !== protocol) return null;
  return packet.subarray(header);
}

/** RFC 8200 §3. Our requests have no extension headers, so neither has what is quoted. */
function payloadOf6(packet: Buffer, protocol: number): Buffer | null {
  if (packet.length < 40 || packet.readUInt8(0) >> 4 !== 6) return null;
  return packet.readUInt8(6) === protocol ? packet.subarray(40) : null;
}

const unreachable4: Readonly<Record<number, string>> = {
  0: 'network unreachable',
  1: 'host unreachable',
  2: 'protocol unreachable',
  3: 'port unreachable',
  9: 'forbidden by a filter',
  10: 'forbidden by a filter',
  13: 'forbidden by a filter',
};

const unreachable6: Readonly<Record<number, string>> = {
  0: 'network unreachable',
  1: 'forbidden by a filter',
  3: 'host unreachable',
  4: 'port unreachable',
  5: 'forbidden by a filter',
  6: 'network unreachable',
};

function unreachable(family: Family, code: number): string {
  const words = family === 4 ? unreachable4[code] : unreachable6[code];
  return words ?? `unreachable, code ${code}`;
}

/** RFC 1071. Zero over a message that holds its own right checksum. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) {
    sum += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Of the token, and of addresses. */
export function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
