/**
 * The frames of a probe as a client would send them: Ethernet, IPv4 (RFC 791) or IPv6 (RFC 8200),
 * TCP (RFC 9293) or UDP (RFC 768), with their checksums (RFC 1071). Pure.
 */
import { addressBytes } from './address-bytes.js';
import { PROTOCOL } from './layouts.js';

export const TCP_FLAG = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

export interface ProbeFrame {
  /** Of the interface that it seems to come in by; 6 bytes. */
  readonly toMac: Uint8Array;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly content:
    | { readonly protocol: 'tcp'; readonly flags: number; readonly sequence: number }
    | { readonly protocol: 'udp'; readonly payload: Uint8Array };
}

/** Administered by nobody else: the second bit of the first byte says that it is local. */
const FROM_MAC = Uint8Array.of(0x02, 0, 0, 0, 0, 0x01);
const HOPS = 64;
const WINDOW = 65_535;
/** Maximum segment size, RFC 9293 §3.7.1: one that every way carries. */
const SEGMENT_OPTION = Uint8Array.of(2, 4, 1220 >> 8, 1220 & 0xff);

export function probeFrame(frame: ProbeFrame): Uint8Array {
  const ipv6 = frame.destination.includes(':');
  const bytes = ipv6 ? addressBytes : (text: string) => addressBytes(text).subarray(12);
  const [source, destination] = [bytes(frame.source), bytes(frame.destination)];
  const transport = transportOf(frame);
  const protocol = PROTOCOL[frame.content.protocol];
  const pseudo = Buffer.concat([source, destination, word(transport.length), word(protocol)]);
  const at = frame.content.protocol === 'tcp' ? 16 : 6;
  const sum = checksum(Buffer.concat([pseudo, transport]));
  // 0 in UDP says that there is none.
  transport.writeUInt16BE(sum === 0 && frame.content.protocol === 'udp' ? 0xffff : sum, at);
  const link = Buffer.concat([
    frame.toMac,
    FROM_MAC,
    Uint8Array.of(...(ipv6 ? [0x86, 0xdd] : [8, 0])),
  ]);
  return Buffer.concat([
    link,
    ipv6
      ? ipv6Header(source, destination, protocol, transport.length)
      : ipv4Header(source, destination, protocol, transport.length),
    transport,
  ]);
}

function transportOf({ sourcePort, destinationPort, content }: ProbeFrame): Buffer {
  if (content.protocol === 'udp') {
    const header = Buffer.alloc(8);
    header.writeUInt16BE(sourcePort, 0);
    header.writeUInt16BE(destinationPort, 2);
    header.writeUInt16BE(8 + content.payload.length, 4);
    return Buffer.concat([header, content.payload]);
  }
  const options = content.flags & TCP_FLAG.syn ? SEGMENT_OPTION : new Uint8Array(0);
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header.writeUInt32BE(content.sequence >>> 0, 4);
  header.writeUInt8((header.length / 4) << 4, 12);
  header.writeUInt8(content.flags, 13);
  header.writeUInt16BE(WINDOW, 14);
  header.set(options, 20);
  return header;
}

function ipv4Header(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(header.length + length, 2);
  header.writeUInt16BE(0x4000, 6);
  header.writeUInt8(HOPS, 8);
  header.writeUInt8(protocol, 9);
  header.set(source, 12);
  header.set(destination, 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function ipv6Header(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(length, 4);
  header.writeUInt8(protocol, 6);
  header.writeUInt8(HOPS, 7);
  header.set(source, 8);
  header.set(destination, 24);
  return header;
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  if (bytes.length % 2 === 1) sum += (bytes.at(-1) ?? 0) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
