/**
 * Packets out of a capture file as tcpdump writes it while it captures (libpcap's format, in
 * draft-ietf-opsawg-pcap; microseconds, Ethernet), as far as the lab wants to know them: TCP and
 * UDP over IPv4 or IPv6 without extension headers.
 *
 * Invariant: a packet of any other kind is passed over; a file that is not of this format throws.
 */
import { formatIpv4, formatIpv6 } from './addresses.js';

export interface SeenPacket {
  /** Epoch milliseconds. */
  readonly time: number;
  /** Both ends as `ADDRESS.PORT > ADDRESS.PORT`, as tcpdump writes them. */
  readonly flow: string;
  /**
   * What no forwarding changes, and so tells a packet again wherever it is captured: the
   * sequence number of a SYN, the bytes of a datagram. Null for all other segments.
   */
  readonly mark: string | null;
}

const fileHeader = 24;
const recordHeader = 16;
const microseconds = 0xa1b2c3d4;
const ethernetLink = 1;
const ethernetHeader = 14;
const ipv4Header = 20;
const ipv6Header = 40;
const udpHeader = 8;
const synAndAck = 0x12;
const syn = 0x02;

function readPacket(frame: Buffer, time: number): SeenPacket | null {
  if (frame.length < ethernetHeader + ipv4Header) return null;
  const type = frame.readUInt16BE(12);
  const ip = frame.subarray(ethernetHeader);
  let protocol: number;
  let transport: Buffer;
  let ends: [string, string];
  if (type === 0x0800) {
    protocol = ip.readUInt8(9);
    transport = ip.subarray((ip.readUInt8(0) & 0x0f) * 4, ip.readUInt16BE(2));
    ends = [formatIpv4(ip.subarray(12, 16)), formatIpv4(ip.subarray(16, 20))];
  } else if (type === 0x86dd && ip.length >= ipv6Header) {
    protocol = ip.readUInt8(6);
    transport = ip.subarray(ipv6Header, ipv6Header + ip.readUInt16BE(4));
    ends = [formatIpv6(ip.subarray(8, 24)), formatIpv6(ip.subarray(24, 40))];
  } else return null;
  if (transport.length < udpHeader) return null;
  const ports = [transport.readUInt16BE(0), transport.readUInt16BE(2)] as const;
  const flow = `${ends[0]}.${ports[0]} > ${ends[1]}.${ports[1]}`;
  const family = type === 0x0800 ? 4 : 6;
  if (protocol === 17) {
    const bytes = transport.toString('latin1', udpHeader);
    return { time, flow, mark: `udp${family} ${bytes}` };
  }
  if (protocol !== 6 || transport.length < 20) return null;
  const opens = (transport.readUInt8(13) & synAndAck) === syn;
  return { time, flow, mark: opens ? `tcp${family} ${transport.readUInt32BE(4)}` : null };
}

/** Takes a capture file piece by piece, as it comes through a pipe. */
export class PcapReader {
  private rest: Buffer = Buffer.alloc(0);
  private begun = false;

  constructor(private readonly onPacket: (packet: SeenPacket) => void) {}

  push(bytes: Buffer): void {
    let rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    if (!this.begun) {
      if (rest.length < fileHeader) {
        this.rest = rest;
        return;
      }
      if (rest.readUInt32LE(0) !== microseconds || rest.readUInt32LE(20) !== ethernetLink) {
        throw new Error('expected a capture of Ethernet frames in microseconds');
      }
      this.begun = true;
      rest = rest.subarray(fileHeader);
    }
    while (rest.length >= recordHeader) {
      const length = rest.readUInt32LE(8);
      if (rest.length < recordHeader + length) break;
      const time = rest.readUInt32LE(0) * 1000 + rest.readUInt32LE(4) / 1000;
      const packet = readPacket(rest.subarray(recordHeader, recordHeader + length), time);
      if (packet !== null) this.onPacket(packet);
      rest = rest.subarray(recordHeader + length);
    }
    this.rest = rest;
  }
}

/** The outer IP header's length when this is UDP to `port`, else null. */
function outerHeader(frame: Buffer, port: number): number | null {
  const type = frame.readUInt16BE(12);
  const header = type === 0x0800 ? ipv4Header : ipv6Header;
  if (frame.length < ethernetHeader + header + udpHeader) return null;
  const protocol = frame.readUInt8(ethernetHeader + (type === 0x0800 ? 9 : 6));
  const to = frame.readUInt16BE(ethernetHeader + header + 2);
  return protocol === 17 && to === port ? header : null;
}

/** A capture file without the outer headers of GUE variant 1, which tcpdump does not look into. */
export function withoutGue(file: Buffer, port: number): Buffer {
  const pieces = [file.subarray(0, fileHeader)];
  for (let at = fileHeader; at < file.length;) {
    const record = Buffer.from(file.subarray(at, at + recordHeader));
    const length = record.readUInt32LE(8);
    const frame = file.subarray(at + recordHeader, at + recordHeader + length);
    at += recordHeader + length;
    const outer = outerHeader(frame, port);
    if (outer === null) {
      pieces.push(record, frame);
      continue;
    }
    const content = frame.subarray(ethernetHeader + outer + udpHeader);
    const ethernet = Buffer.from(frame.subarray(0, ethernetHeader));
    ethernet.writeUInt16BE(content.readUInt8(0) >> 4 === 4 ? 0x0800 : 0x86dd, 12);
    record.writeUInt32LE(ethernetHeader + content.length, 8);
    record.writeUInt32LE(ethernetHeader + content.length, 12);
    pieces.push(record, ethernet, content);
  }
  return Buffer.concat(pieces);
}
