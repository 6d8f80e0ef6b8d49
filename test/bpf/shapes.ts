/**
 * IP packets in other shapes than whole and plain: fragments, extension headers, IPv4 options,
 * quotations in ICMP errors. Standards: RFC 791 §3.2, 8200 §4, 792, 4443.
 *
 * Invariant: a shape is made of what a packet says (FrameSpec), so the same shape of what the unit
 * should make of that packet is what must come out, byte by byte.
 */
import type { Datapath, MemberSpec } from './datapath.js';
import {
  addressBytes,
  encapsulate,
  frame,
  ipv4,
  ipv6,
  onesSum,
  pseudoHeader,
  wrap,
  type FrameSpec,
} from './packets.js';
import { expectSent, tunnelOuter, type Scene } from './scene.js';

/** An IP packet with what the spec says. */
export type Shape = (spec: FrameSpec) => Buffer;

export const whole: Shape = (spec) => frame({ ...spec, vlan: [], padding: 0 }).subarray(14);

export function isIpv6(spec: Pick<FrameSpec, 'source'>): boolean {
  return spec.source.includes(':');
}

/** The transport header and what follows it. */
export function segmentOf(spec: FrameSpec): Buffer {
  return whole(spec).subarray(isIpv6(spec) ? 40 : 20 + (spec.ipOptions ?? 0));
}

/** What both headers say alike. */
function ends(spec: FrameSpec): { source: Uint8Array; destination: Uint8Array } {
  return { source: addressBytes(spec.source), destination: addressBytes(spec.destination) };
}

const numbers = { tcp: 6, udp: 17 } as const;

export const extensionKinds = { hopByHop: 0, routing: 43, fragment: 44, destination: 60 } as const;

export interface Extension {
  readonly kind: number;
  /** Behind the first byte, which names the next header. */
  readonly rest: Uint8Array;
}

/** An extension header of so many bytes, a multiple of 8. */
export function extension(kind: keyof typeof extensionKinds, bytes = 8): Extension {
  const rest = Buffer.alloc(bytes - 1, 1);
  rest[0] = bytes / 8 - 1;
  // Routing: nothing is left to visit, so the destination is the last one (RFC 8200 §4.4).
  if (kind === 'routing') rest[2] = 0;
  return { kind: extensionKinds[kind], rest };
}

export function fragmentHeader(offset: number, more: boolean, identification: number): Extension {
  const rest = Buffer.alloc(7);
  rest.writeUInt16BE(offset | (more ? 1 : 0), 1);
  rest.writeUInt32BE(identification, 3);
  return { kind: extensionKinds.fragment, rest };
}

/** An IPv6 packet with these extension headers before `content`. */
function chain(
  spec: FrameSpec,
  headers: readonly Extension[],
  content: Uint8Array,
  protocol: number = numbers[spec.protocol],
): Buffer {
  const parts = headers.flatMap(({ rest }, index) => [
    Uint8Array.of(headers[index + 1]?.kind ?? protocol),
    rest,
  ]);
  const next = headers[0]?.kind ?? protocol;
  const header = { ...ends(spec), next, hopLimit: spec.ttl ?? 61 };
  return ipv6(
    { ...header, trafficClass: spec.trafficClass ?? 0 },
    Buffer.concat([...parts, content]),
  );
}

/** A packet with these extension headers, which of IPv6 alone there are. */
export function extended(headers: readonly Extension[]): Shape {
  return (spec) => chain(spec, headers, segmentOf(spec));
}

/** The bytes of the transport from one place to another, or to its end, as one fragment. */
export function fragment(from: number, to: number | null, identification = 0x4711): Shape {
  return (spec) => {
    const part = segmentOf(spec).subarray(from, to ?? undefined);
    if (isIpv6(spec)) {
      return chain(spec, [fragmentHeader(from, to !== null, identification)], part);
    }
    return ipv4(
      {
        ...ends(spec),
        protocol: numbers[spec.protocol],
        ttl: spec.ttl ?? 61,
        trafficClass: spec.trafficClass ?? 0,
        options: spec.ipOptions ?? 0,
        identification: identification & 0xffff,
        fragment: (from / 8) | (to === null ? 0 : 0x2000),
      },
      part,
    );
  };
}

/**
 * The same of IPv6 with headers that every fragment has, before the fragment header, and others
 * that are cut up along with the transport.
 */
export function fragmentBetween(
  before: readonly Extension[],
  behind: readonly Extension[],
  from: number,
  to: number | null,
  identification = 0x4711,
): Shape {
  return (spec) => {
    const all = chain(spec, behind, segmentOf(spec));
    const cut = all.subarray(40).subarray(from, to ?? undefined);
    const header = fragmentHeader(from, to !== null, identification);
    return chain(spec, [...before, header], cut, all[6]);
  };
}

/** Changes bytes of an IPv4 header and makes its checksum right again. */
export function reheader(packet: Buffer, change: (header: Buffer) => void): Buffer {
  change(packet);
  const header = packet.subarray(0, ((packet[0] ?? 0) & 0xf) * 4);
  header.writeUInt16BE(0, 10);
  header.writeUInt16BE(~onesSum(header) & 0xffff, 10);
  return packet;
}

/** Changes a byte. */
export function bend(packet: Buffer, at: number, value: number): Buffer {
  packet[at] = value;
  return packet;
}

/** The packet says that something else is in it. */
export function reprotocol(at: number, protocol: number): Shape {
  return (spec) => {
    const packet = bend(whole(spec), at, protocol);
    return isIpv6(spec) ? packet : reheader(packet, () => undefined);
  };
}

export interface IcmpSpec {
  readonly source: string;
  readonly destination: string;
  readonly type: number;
  readonly code?: number;
  /** The four bytes behind the checksum. */
  readonly rest?: number;
  readonly body: Uint8Array;
  readonly ttl?: number;
  /** IPv4: 0 unless told. */
  readonly identification?: number;
  /** IPv4: bytes of options. */
  readonly options?: number;
}

/** An IP packet with an ICMP or ICMPv6 message. */
export function icmp(spec: IcmpSpec): Buffer {
  const source = addressBytes(spec.source);
  const destination = addressBytes(spec.destination);
  const head = Buffer.alloc(8);
  head[0] = spec.type;
  head[1] = spec.code ?? 0;
  head.writeUInt32BE(spec.rest ?? 0, 4);
  const message = Buffer.concat([head, spec.body]);
  const ttl = spec.ttl ?? 61;
  if (source.length === 4) {
    message.writeUInt16BE(~onesSum(message) & 0xffff, 2);
    const { identification = 0, options = 0 } = spec;
    return ipv4({ source, destination, protocol: 1, ttl, identification, options }, message);
  }
  const pseudo = pseudoHeader(source, destination, 58, message.length);
  message.writeUInt16BE(~onesSum(pseudo, message) & 0xffff, 2);
  return ipv6({ source, destination, next: 58, hopLimit: ttl, flowLabel: 0 }, message);
}

/** The IP header and so many bytes behind it, or all of the packet, as an error quotes it. */
export function quotation(bytes: number | null): Shape {
  return (spec) => {
    const packet = whole(spec);
    if (bytes === null) return packet;
    return packet.subarray(0, packet.length - segmentOf(spec).length + bytes);
  };
}

/** Errors that quote a packet, the one about its length first, then an unreachable port. */
export const errorKinds = {
  ipv4: [
    { name: 'fragmentation needed', error: { type: 3, code: 4, rest: 1400 } },
    { name: 'port unreachable', error: { type: 3, code: 3 } },
    { name: 'host unreachable', error: { type: 3, code: 1 } },
    { name: 'administratively prohibited', error: { type: 3, code: 13 } },
    { name: 'time exceeded', error: { type: 11 } },
    { name: 'reassembly time exceeded', error: { type: 11, code: 1 } },
    { name: 'parameter problem', error: { type: 12, rest: 0x14000000 } },
  ],
  ipv6: [
    { name: 'packet too big', error: { type: 2, rest: 1400 } },
    { name: 'port unreachable', error: { type: 1, code: 4 } },
    { name: 'no route', error: { type: 1 } },
    { name: 'administratively prohibited', error: { type: 1, code: 1 } },
    { name: 'time exceeded', error: { type: 3 } },
    { name: 'reassembly time exceeded', error: { type: 3, code: 1 } },
    { name: 'parameter problem', error: { type: 4, code: 1, rest: 40 } },
  ],
} as const;

/** What the unit makes of a packet of this shape on its way to the member. */
export function forwarded(
  scene: Scene,
  request: FrameSpec,
  member: MemberSpec,
  shape: Shape,
): Buffer {
  const moved = scene.moved(request, member);
  if (scene.combination.forwarding !== 'tunnel') return wrap(shape(moved), moved);
  return tunnelled(request, member, shape(moved));
}

/** A packet inside the tunnel that the flow's packets take; a GUE header without a sum if told. */
export function tunnelled(
  request: FrameSpec,
  member: MemberSpec,
  packet: Uint8Array,
  how: { readonly port?: number; readonly noChecksum?: boolean } = {},
): Buffer {
  const outer = tunnelOuter(request, member, how.port ?? 0);
  const link = { toMac: member.mac, fromMac: member.sourceMac, vlan: member.vlan ?? [] };
  const { gue } = outer;
  if (gue === undefined) return encapsulate(packet, { ...outer, ...link });
  const noChecksum = how.noChecksum ?? false;
  return encapsulate(packet, { ...outer, ...link, gue: { ...gue, noChecksum } });
}

/** A request of this shape must come out at the member in the same shape. */
export function expectShapeAt(
  path: Datapath,
  scene: Scene,
  shape: Shape,
  request: FrameSpec = scene.request(),
  member: MemberSpec = scene.home,
): void {
  expectSent(path, wrap(shape(request), request), () => forwarded(scene, request, member, shape));
}

/** An answer of this shape must come out at the client in the same shape. */
export function expectShapeBack(
  path: Datapath,
  scene: Scene,
  shape: Shape,
  answer: FrameSpec,
): void {
  const back = scene.returned(answer);
  expectSent(path, wrap(shape(answer), answer), wrap(shape(back), back));
}
