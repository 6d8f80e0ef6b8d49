/**
 * Frames for tests, byte by byte, and a check of every checksum in a frame.
 * Standards: RFC 791, 8200, 9293, 768, 792, 4443, 1071.
 *
 * Invariant: checksums here are always recomputed over all the bytes and share no code with the
 * product, which only ever changes them along with a field. Two mistakes would have to agree.
 */

export type Protocol = 'tcp' | 'udp';

export interface FrameSpec {
  readonly fromMac?: string;
  readonly toMac?: string;
  /** Dotted or colon form; both of one family. */
  readonly source: string;
  readonly destination: string;
  readonly protocol: Protocol;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly ttl?: number;
  /** TCP flags, for example `SA`. */
  readonly flags?: string;
  readonly payload?: Uint8Array;
  /** Bytes of IPv4 options, a multiple of 4 up to 40. */
  readonly ipOptions?: number;
  /** Bytes of TCP options, a multiple of 4 up to 40. */
  readonly tcpOptions?: number;
  /** Options of TCP byte by byte, instead of `tcpOptions`. */
  readonly optionBytes?: readonly number[];
  readonly sequence?: number;
  readonly acknowledge?: number;
  readonly window?: number;
  /** Leave the UDP checksum out. */
  readonly noChecksum?: boolean;
  /** Bytes behind the IP packet, as switches add to short frames. */
  readonly padding?: number;
  readonly trafficClass?: number;
  /** Ids of VLAN tags with their priorities (bits 13 to 15), the outer one first. */
  readonly vlan?: readonly number[];
  /** Types of the tags, where not the usual ones. */
  readonly tagTypes?: readonly number[];
}

export const clientMac = '02:00:00:00:00:c1';
/** UDP port of GUE in all tests. */
export const guePort = 6080;
export const unitMac = '02:00:00:00:00:01';

const numbers = { tcp: 6, udp: 17, icmp: 1, icmp6: 58 } as const;
const flagBits: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32 };

export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
}

/** 4 or 16 bytes. */
export function addressBytes(address: string): Uint8Array {
  if (!address.includes(':')) return Uint8Array.from(address.split('.'), Number);
  const [head = '', tail] = address.split('::');
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
  const first = words(head);
  const last = tail === undefined ? [] : words(tail);
  const all = [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 0xff]));
}

/** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export function mappedBytes(address: string): Uint8Array {
  const bytes = addressBytes(address);
  if (bytes.length === 16) return bytes;
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes);
}

/** One's complement sum of 16-bit words, folded; an odd last byte is a high byte. */
export function onesSum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part)));
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) + (bytes[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
  return sum;
}

/** What TCP, UDP and ICMPv6 sum up before their own bytes. */
export function pseudoHeader(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): Uint8Array {
  const lengthWord = Buffer.alloc(4);
  lengthWord.writeUInt32BE(length);
  return Buffer.concat([source, destination, lengthWord, Uint8Array.of(0, 0, 0, protocol)]);
}

function word(value: number): number[] {
  return [(value >> 8) & 0xff, value & 0xff];
}

function doubleWord(value: number): number[] {
  return [...word(value >>> 16), ...word(value)];
}

function transport(spec: FrameSpec, source: Uint8Array, destination: Uint8Array): Buffer {
  const payload = spec.payload ?? Buffer.from('weir');
  const ports = [...word(spec.sourcePort), ...word(spec.destinationPort)];
  if (spec.protocol === 'tcp') {
    const options =
      spec.optionBytes === undefined
        ? new Uint8Array(spec.tcpOptions ?? 0).fill(1)
        : Uint8Array.from(spec.optionBytes);
    const flags = [...(spec.flags ?? 'A')].reduce((bits, flag) => bits | (flagBits[flag] ?? 0), 0);
    const header = Uint8Array.of(
      ...ports,
      ...doubleWord(spec.sequence ?? 0x11223344),
      ...doubleWord(spec.acknowledge ?? 0x55667788),
      ((20 + options.length) / 4) << 4,
      flags,
      ...word(spec.window ?? 0xfaf0), 0, 0, 0, 0,
    ); // prettier-ignore
    const segment = Buffer.concat([header, options, payload]);
    const pseudo = pseudoHeader(source, destination, numbers.tcp, segment.length);
    segment.writeUInt16BE(~onesSum(pseudo, segment) & 0xffff, 16);
    return segment;
  }
  const length = 8 + payload.length;
  const datagram = Buffer.concat([Uint8Array.of(...ports, ...word(length), 0, 0), payload]);
  if (spec.noChecksum !== true) {
    const pseudo = pseudoHeader(source, destination, numbers.udp, length);
    const sum = ~onesSum(pseudo, datagram) & 0xffff;
    datagram.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
  }
  return datagram;
}

function ethernet(toMac: string, fromMac: string, type: number, rest: Uint8Array): Buffer {
  return Buffer.concat([macBytes(toMac), macBytes(fromMac), Uint8Array.of(...word(type)), rest]);
}

export interface Ipv4Spec {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly ttl: number;
  readonly options?: number;
  readonly trafficClass?: number;
  /** Flags and offset field as it stands: 0x2000 more fragments, 0x4000 don't fragment. */
  readonly fragment?: number;
  readonly identification?: number;
}

export function ipv4(spec: Ipv4Spec, rest: Uint8Array): Buffer {
  const header = Buffer.alloc(20 + (spec.options ?? 0), 1);
  header[0] = 0x40 | (header.length / 4);
  header[1] = spec.trafficClass ?? 0;
  header.writeUInt16BE(header.length + rest.length, 2);
  header.writeUInt16BE(spec.identification ?? 0xbeef, 4);
  header.writeUInt16BE(spec.fragment ?? 0x4000, 6);
  header[8] = spec.ttl;
  header[9] = spec.protocol;
  header.writeUInt16BE(0, 10);
  header.set(spec.source, 12);
  header.set(spec.destination, 16);
  header.writeUInt16BE(~onesSum(header) & 0xffff, 10);
  return Buffer.concat([header, rest]);
}

export interface Ipv6Spec {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly next: number;
  readonly hopLimit: number;
  readonly trafficClass?: number;
  readonly flowLabel?: number;
}

export function ipv6(spec: Ipv6Spec, rest: Uint8Array): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32BE(
    0x60000000 + ((spec.trafficClass ?? 0) << 20) + (spec.flowLabel ?? 0x12345),
    0,
  );
  header.writeUInt16BE(rest.length, 4);
  header[6] = spec.next;
  header[7] = spec.hopLimit;
  header.set(spec.source, 8);
  header.set(spec.destination, 24);
  return Buffer.concat([header, rest]);
}

/** A whole TCP or UDP frame with correct checksums. */
export function frame(spec: FrameSpec): Buffer {
  const source = addressBytes(spec.source);
  const destination = addressBytes(spec.destination);
  const segment = transport(spec, source, destination);
  const protocol = numbers[spec.protocol];
  const ttl = spec.ttl ?? 61;
  const common = { source, destination, trafficClass: spec.trafficClass ?? 0 };
  const packet =
    source.length === 4
      ? ipv4({ ...common, protocol, ttl, options: spec.ipOptions ?? 0 }, segment)
      : ipv6({ ...common, next: protocol, hopLimit: ttl }, segment);
  return Buffer.concat([wrap(packet, spec), Buffer.alloc(spec.padding ?? 0)]);
}

export interface LinkSpec {
  readonly toMac?: string;
  readonly fromMac?: string;
  readonly vlan?: readonly number[];
  readonly tagTypes?: readonly number[];
}

/** An Ethernet header, with tags, before an IPv4 or IPv6 packet. */
export function wrap(packet: Uint8Array, link: LinkSpec = {}): Buffer {
  const type = (packet[0] ?? 0) >> 4 === 4 ? 0x0800 : 0x86dd;
  const [toMac, fromMac] = [link.toMac ?? unitMac, link.fromMac ?? clientMac];
  const tags = link.vlan ?? [];
  if (tags.length === 0) return ethernet(toMac, fromMac, type, packet);
  const [outer = 0, ...inner] =
    link.tagTypes ?? tags.map((_, index) => (index === 0 && tags.length > 1 ? 0x88a8 : 0x8100));
  const rest = Buffer.from(
    tags.flatMap((id, index) => [...word(id), ...word(inner[index] ?? type)]),
  );
  return ethernet(toMac, fromMac, outer, Buffer.concat([rest, packet]));
}

export interface TunnelSpec extends LinkSpec {
  readonly source: string;
  readonly destination: string;
  /** Of GUE: source port and destination port; IP in IP without. */
  readonly gue?: {
    readonly sourcePort: number;
    readonly port: number;
    readonly noChecksum?: boolean;
  };
}

/** A whole IP packet inside another one, with a right outer checksum. */
export function encapsulate(packet: Uint8Array, spec: TunnelSpec): Buffer {
  const source = addressBytes(spec.source);
  const destination = addressBytes(spec.destination);
  const six = (packet[0] ?? 0) >> 4 === 6;
  const trafficClass = six ? (((packet[0] ?? 0) & 0xf) << 4) | ((packet[1] ?? 0) >> 4) : packet[1];
  let content: Uint8Array = packet;
  let protocol = six ? 41 : 4;
  if (spec.gue !== undefined) {
    const { sourcePort, port } = spec.gue;
    content = transport(
      {
        source: spec.source,
        destination: spec.destination,
        protocol: 'udp',
        sourcePort,
        destinationPort: port,
        payload: packet,
        noChecksum: spec.gue.noChecksum ?? false,
      },
      source,
      destination,
    );
    protocol = numbers.udp;
  }
  const common = { source, destination, trafficClass: trafficClass ?? 0 };
  return wrap(
    source.length === 4
      ? ipv4({ ...common, protocol, ttl: 64, identification: 0 }, content)
      : ipv6({ ...common, next: protocol, hopLimit: 64, flowLabel: 0 }, content),
    spec,
  );
}

export interface EchoSpec {
  readonly fromMac?: string;
  readonly toMac?: string;
  readonly source: string;
  readonly destination: string;
  /** `request` unless told; `other` is a type that is no echo. */
  readonly kind?: 'request' | 'reply' | 'other';
  readonly code?: number;
  readonly ttl?: number;
  readonly payload?: Uint8Array;
  readonly ipOptions?: number;
  readonly fragment?: number;
}

/** An ICMP or ICMPv6 echo. */
export function echo(spec: EchoSpec): Buffer {
  const source = addressBytes(spec.source);
  const destination = addressBytes(spec.destination);
  const version4 = source.length === 4;
  const kind = spec.kind ?? 'request';
  const types = version4
    ? { request: 8, reply: 0, other: 13 }
    : { request: 128, reply: 129, other: 135 };
  const message = Buffer.concat([
    Uint8Array.of(types[kind], spec.code ?? 0, 0, 0, 0x12, 0x34, 0, 7),
    spec.payload ?? Buffer.from('abcdefghijk'),
  ]);
  const pseudo = version4
    ? new Uint8Array(0)
    : pseudoHeader(source, destination, numbers.icmp6, message.length);
  message.writeUInt16BE(~onesSum(pseudo, message) & 0xffff, 2);
  const ttl = spec.ttl ?? 61;
  const packet = version4
    ? ipv4(
        {
          source,
          destination,
          protocol: numbers.icmp,
          ttl,
          options: spec.ipOptions ?? 0,
          fragment: spec.fragment ?? 0,
        },
        message,
      )
    : ipv6({ source, destination, next: numbers.icmp6, hopLimit: ttl }, message);
  return wrap(packet, spec);
}

/** Bytes side by side, for messages: only lines that differ. */
export function differences(seen: Uint8Array, expected: Uint8Array): string {
  if (seen.length !== expected.length) {
    return `length ${seen.length}, expected ${expected.length}`;
  }
  const found: string[] = [];
  for (let at = 0; at < seen.length; at++) {
    if (seen[at] !== expected[at]) {
      found.push(`byte ${at}: ${seen[at]?.toString(16)}, expected ${expected[at]?.toString(16)}`);
    }
  }
  return found.join('; ');
}
