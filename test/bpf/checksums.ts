/**
 * A check of every checksum in a frame, tunnels and what ICMP errors quote included.
 * Standards: RFC 791, 8200 §4 and §8.1, 9293, 768, 792, 4443 §2.3, 1071.
 *
 * Invariant: sums are taken over all the bytes and share no code with the product, which only
 * ever changes them along with a field. A packet that is not there in one piece (a fragment, a
 * quotation cut short) is judged by its IP header alone.
 */
import { guePort, onesSum, pseudoHeader, wrap } from './packets.js';

const numbers = { icmp: 1, ipip: 4, tcp: 6, udp: 17, ipv6: 41, icmp6: 58 } as const;
const extensions = { hopByHop: 0, routing: 43, fragment: 44, destination: 60 } as const;

interface Found {
  readonly protocol: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** What the IP header and extension headers leave for the transport. */
  readonly segment: Buffer;
  readonly whole: boolean;
}

function openIpv4(packet: Buffer): Found {
  const header = ((packet[0] ?? 0) & 0xf) * 4;
  const total = packet.readUInt16BE(2);
  return {
    protocol: packet[9] ?? 0,
    source: packet.subarray(12, 16),
    destination: packet.subarray(16, 20),
    segment: packet.subarray(header, total),
    whole: (packet.readUInt16BE(6) & 0x3fff) === 0 && packet.length >= total,
  };
}

function openIpv6(packet: Buffer): Found {
  const length = packet.readUInt16BE(4);
  let next = packet[6] ?? 0;
  let segment = packet.subarray(40, 40 + length);
  let whole = packet.length >= 40 + length;
  for (;;) {
    if (next === extensions.fragment && segment.length >= 8) {
      if ((segment.readUInt16BE(2) & 0xfff9) !== 0) whole = false;
      next = segment[0] ?? 0;
      segment = segment.subarray(8);
    } else if (
      next === extensions.hopByHop ||
      next === extensions.routing ||
      next === extensions.destination
    ) {
      const bytes = ((segment[1] ?? 0) + 1) * 8;
      next = segment[0] ?? 0;
      segment = segment.subarray(bytes);
    } else {
      break;
    }
  }
  const [source, destination] = [packet.subarray(8, 24), packet.subarray(24, 40)];
  return { protocol: next, source, destination, segment, whole };
}

/** Whether an ICMP message quotes a packet, and so has one from byte 8 on. */
function quotes(protocol: number, type: number): boolean {
  if (protocol === numbers.icmp) return type === 3 || type === 11 || type === 12;
  return protocol === numbers.icmp6 && type >= 1 && type <= 4;
}

function covered({ protocol, source, destination, segment }: Found): number {
  if (protocol === numbers.icmp) return onesSum(segment);
  // What follows a datagram is not covered (RFC 9868).
  const length = protocol === numbers.udp ? segment.readUInt16BE(4) : segment.length;
  const bytes = segment.subarray(0, length);
  return onesSum(pseudoHeader(source, destination, protocol, length), bytes);
}

/** Everything that is wrong with the checksums of an IP packet. */
function packetFaults(packet: Buffer): string[] {
  const faults: string[] = [];
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4) {
    const header = ((packet[0] ?? 0) & 0xf) * 4;
    if (onesSum(packet.subarray(0, header)) !== 0xffff) faults.push('IPv4 header');
  }
  const found = version === 4 ? openIpv4(packet) : openIpv6(packet);
  const { protocol, segment } = found;
  if (!found.whole) return faults;
  const within = (from: number, name: string): void => {
    faults.push(...packetFaults(segment.subarray(from)).map((fault) => `${name} ${fault}`));
  };
  if (protocol === numbers.ipip || protocol === numbers.ipv6) {
    within(0, 'inner');
    return faults;
  }
  if (protocol === numbers.udp && segment.readUInt16BE(2) === guePort) within(8, 'inner');
  if (quotes(protocol, segment[0] ?? 0) && segment.length >= 8 + (version === 4 ? 20 : 40)) {
    within(8, 'quoted');
  }
  const known = Object.values(numbers).some((number) => number === protocol);
  if (!known || (protocol === numbers.udp && segment.readUInt16BE(6) === 0)) return faults;
  if (covered(found) !== 0xffff) faults.push(`checksum of protocol ${protocol}`);
  return faults;
}

/** Everything that is wrong with the checksums of a frame; empty when all hold. */
export function checksumFaults(bytes: Uint8Array): string[] {
  let rest = Buffer.from(bytes).subarray(12);
  while (rest.readUInt16BE(0) === 0x8100 || rest.readUInt16BE(0) === 0x88a8) {
    rest = rest.subarray(4);
  }
  const type = rest.readUInt16BE(0);
  const packet = rest.subarray(2);
  if (type !== 0x0800 && type !== 0x86dd) return [];
  return packetFaults(packet);
}

/** The same of a packet without a link header. */
export function packetChecksumFaults(packet: Uint8Array): string[] {
  return checksumFaults(wrap(packet));
}
