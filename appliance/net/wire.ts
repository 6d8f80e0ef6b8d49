/**
 * rtnetlink messages between bytes and values: links, addresses, routes, neighbours. Pure.
 * Source: rtnetlink(7); kernel Documentation/netlink/specs/rt-{link,addr,route,neigh}.yaml and
 * include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour}.h.
 *
 * Invariant: decoders return null for what is not ours to know (other families, other kinds) and
 * throw NetlinkFormatError for bytes that contradict themselves. They copy what they keep.
 */
import { AF_INET, AF_INET6 } from '../../native/ffi/libc.js';
import {
  cString,
  encodeAttribute,
  NetlinkFormatError,
  splitAttributes,
  type Attribute,
} from '../../native/ffi/netlink-message.js';
import { formatAddress, type Family, type IpAddress } from '../config/address-codec.js';

/** What a message carries of an address. */
export type AddressBytes = Pick<IpAddress, 'family' | 'bytes'>;

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;

/** Multicast groups, RTNLGRP_*. */
export const GROUP_LINK = 1;
export const GROUP_NEIGHBOUR = 3;
export const GROUP_IPV4_ADDRESS = 5;
export const GROUP_IPV4_ROUTE = 7;
export const GROUP_IPV4_RULE = 8;
export const GROUP_IPV6_ADDRESS = 9;
export const GROUP_IPV6_ROUTE = 11;
export const GROUP_IPV6_RULE = 19;
export const GROUP_NEXT_HOP = 32;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_RUNNING = 0x40;
const ARPHRD_ETHER = 1;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_LINK_NETNSID = 37;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_VLAN_ID = 1;
const IFLA_VLAN_PROTOCOL = 5;
const ETH_P_8021Q = 0x8100;
const IFLA_BOND_MODE = 1;
const IFLA_BOND_XMIT_HASH_POLICY = 14;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_PROTO = 11;
const IFA_F_NODAD = 0x02;
const IFA_F_NOPREFIXROUTE = 0x200;
const INFINITE = 0xffffffff;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTA_VIA = 18;
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;
const RTM_F_CLONED = 0x200;
const RTNH_F_DEAD = 0x1;
const RTNH_F_LINKDOWN = 0x10;
const RT_TABLE_MAIN = 254;
const RT_TABLE_LOCAL = 255;
/** Larger than that of the kernel's own, which is 0 (none). */
const HOST_ROUTE_METRIC = 1;
const NUD_PROBE = 0x10;

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NTF_USE = 0x01;
const NTF_PROXY = 0x08;

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Empty when it has none. */
  readonly mac: Uint8Array;
  readonly mtu: number;
  /** Set up by the administrator (IFF_UP). */
  readonly up: boolean;
  /** Can carry frames now: up, with carrier (IFF_RUNNING). */
  readonly running: boolean;
  readonly loopback: boolean;
  readonly ethernet: boolean;
  /** `veth`, `vlan`, `bond` …; empty for hardware. */
  readonly kind: string;
  /** Index of the device that this one is a port of: a bond, a bridge; 0 for none. */
  readonly master: number;
  /** What a VLAN device adds to frames; null for every other kind. */
  readonly vlan: VlanDevice | null;
  /** How a bond works; null for every other kind. */
  readonly bond: BondDevice | null;
}

export interface VlanDevice {
  /** Index of the device below, which sees the frames with their tag; null: in another namespace. */
  readonly parent: number | null;
  readonly id: number;
  /** EtherType of the tag: 0x8100 (IEEE 802.1Q), or 0x88a8 (802.1ad). */
  readonly protocol: number;
}

/** Both as numbers of the kernel: BOND_MODE_*, BOND_XMIT_POLICY_*. */
export interface BondDevice {
  readonly mode: number;
  readonly hashPolicy: number;
}

export interface InterfaceAddress {
  readonly interfaceIndex: number;
  /** Canonical text. */
  readonly address: string;
  readonly bytes: Uint8Array;
  readonly family: Family;
  readonly prefixLength: number;
  /** IFA_PROTO: who put it there; 0 unknown. */
  readonly origin: number;
}

export interface Route {
  readonly family: Family;
  /** Kind as RTN_*. */
  readonly type: number;
  readonly destination: Uint8Array | null;
  readonly prefixLength: number;
  /** 0 when the message names none (multipath, blackhole). */
  readonly interfaceIndex: number;
  /** Canonical text; null when the destination is on the link. May be of the other family (RTA_VIA). */
  readonly gateway: string | null;
  /** A cached exception (path MTU, redirect), not an entry of a table. */
  readonly cloned: boolean;
  /** Its interface is down, or has no link. */
  readonly dead: boolean;
}

/** State of a neighbour entry, NUD_*. */
export type NeighbourState =
  | 'none'
  | 'incomplete'
  | 'reachable'
  | 'stale'
  | 'delay'
  | 'probe'
  | 'failed'
  | 'noarp'
  | 'permanent';

export interface Neighbour {
  readonly interfaceIndex: number;
  /** Canonical text. */
  readonly address: string;
  readonly state: NeighbourState;
  /** 6 bytes on Ethernet; null while unknown. */
  readonly mac: Uint8Array | null;
}

const neighbourStates: ReadonlyMap<number, NeighbourState> = new Map([
  [0x00, 'none'],
  [0x01, 'incomplete'],
  [0x02, 'reachable'],
  [0x04, 'stale'],
  [0x08, 'delay'],
  [0x10, 'probe'],
  [0x20, 'failed'],
  [0x40, 'noarp'],
  [0x80, 'permanent'],
]);

function familyOf(code: number): Family | null {
  if (code === AF_INET) return 4;
  return code === AF_INET6 ? 6 : null;
}

function codeOf(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

function need(payload: Buffer, size: number, what: string): void {
  if (payload.length < size) {
    throw new NetlinkFormatError(`${what} of ${payload.length} bytes, shorter than ${size}`);
  }
}

function u32(value: Buffer): number {
  need(value, 4, 'number');
  return value.readUInt32LE(0);
}

/** An address of the family that the message announced, copied. */
function addressBytes(value: Buffer, family: Family): Buffer {
  const size = family === 4 ? 4 : 16;
  if (value.length !== size) {
    throw new NetlinkFormatError(`IPv${family} address of ${value.length} bytes`);
  }
  return Buffer.from(value);
}

/** Value of the first attribute of a type. */
function find(attributes: readonly Attribute[], type: number): Buffer | undefined {
  return attributes.find((attribute) => attribute.type === type)?.value;
}

/** struct ifinfomsg. Null for the bridge's own view of its ports (AF_BRIDGE). */
export function decodeLink(payload: Buffer): Link | null {
  need(payload, 16, 'link');
  if (payload.readUInt8(0) !== 0) return null;
  const flags = payload.readUInt32LE(8);
  const attributes = splitAttributes(payload, 16);
  const info = nested(attributes, IFLA_LINKINFO);
  const kindName = find(info, IFLA_INFO_KIND);
  const kind = kindName === undefined ? '' : cString(kindName);
  const name = find(attributes, IFLA_IFNAME);
  const mtu = find(attributes, IFLA_MTU);
  return {
    index: payload.readInt32LE(4),
    name: name === undefined ? '' : cString(name),
    mac: Uint8Array.from(find(attributes, IFLA_ADDRESS) ?? []),
    mtu: mtu === undefined ? 0 : u32(mtu),
    up: (flags & IFF_UP) !== 0,
    running: (flags & (IFF_UP | IFF_RUNNING)) === (IFF_UP | IFF_RUNNING),
    loopback: (flags & IFF_LOOPBACK) !== 0,
    ethernet: payload.readUInt16LE(2) === ARPHRD_ETHER,
    kind,
    master: index(attributes, IFLA_MASTER) ?? 0,
    vlan: kind === 'vlan' ? vlanOf(attributes, nested(info, IFLA_INFO_DATA)) : null,
    bond: kind === 'bond' ? bondOf(nested(info, IFLA_INFO_DATA)) : null,
  };
}

/** The attributes inside an attribute; none when it is not there. */
function nested(attributes: readonly Attribute[], type: number): readonly Attribute[] {
  const value = find(attributes, type);
  return value === undefined ? [] : splitAttributes(value, 0);
}

function index(attributes: readonly Attribute[], type: number): number | null {
  const value = find(attributes, type);
  return value === undefined ? null : u32(value);
}

function vlanOf(link: readonly Attribute[], data: readonly Attribute[]): VlanDevice {
  const id = find(data, IFLA_VLAN_ID);
  if (id === undefined) throw new NetlinkFormatError('VLAN device without an id');
  need(id, 2, 'VLAN id');
  // The protocol came later than the id, and is the only number here in network byte order.
  const protocol = find(data, IFLA_VLAN_PROTOCOL);
  if (protocol !== undefined) need(protocol, 2, 'VLAN protocol');
  // With a namespace beside it the index is one of that other namespace.
  const elsewhere = find(link, IFLA_LINK_NETNSID) !== undefined;
  return {
    parent: elsewhere ? null : index(link, IFLA_LINK),
    id: id.readUInt16LE(0),
    protocol: protocol?.readUInt16BE(0) ?? ETH_P_8021Q,
  };
}

function bondOf(data: readonly Attribute[]): BondDevice {
  return {
    mode: find(data, IFLA_BOND_MODE)?.[0] ?? 0,
    hashPolicy: find(data, IFLA_BOND_XMIT_HASH_POLICY)?.[0] ?? 0,
  };
}

/** struct ifaddrmsg. IFA_LOCAL is the interface's own address; without it IFA_ADDRESS is. */
export function decodeAddress(payload: Buffer): InterfaceAddress | null {
  need(payload, 8, 'address');
  const family = familyOf(payload.readUInt8(0));
  if (family === null) return null;
  const attributes = splitAttributes(payload, 8);
  const value = find(attributes, IFA_LOCAL) ?? find(attributes, IFA_ADDRESS);
  if (value === undefined) return null;
  const bytes = addressBytes(value, family);
  return {
    interfaceIndex: payload.readUInt32LE(4),
    address: formatAddress(bytes),
    bytes,
    family,
    prefixLength: payload.readUInt8(1),
    origin: find(attributes, IFA_PROTO)?.[0] ?? 0,
  };
}

/** struct rtmsg. Of several next hops the first is taken: an answer to encodeRouteQuery has one. */
export function decodeRoute(payload: Buffer): Route | null {
  need(payload, 12, 'route');
  const family = familyOf(payload.readUInt8(0));
  if (family === null) return null;
  const attributes = splitAttributes(payload, 12);
  const multipath = find(attributes, RTA_MULTIPATH);
  let interfaceIndex: number;
  let hop = attributes;
  if (multipath === undefined) {
    const output = find(attributes, RTA_OIF);
    interfaceIndex = output === undefined ? 0 : u32(output);
  } else {
    // struct rtnexthop: length, flags, hops, interface; its attributes follow.
    need(multipath, 8, 'next hop');
    const length = multipath.readUInt16LE(0);
    if (length < 8 || length > multipath.length) throw new NetlinkFormatError('next hop length');
    interfaceIndex = multipath.readInt32LE(4);
    hop = splitAttributes(multipath.subarray(0, length), 8);
  }
  const destination = find(attributes, RTA_DST);
  return {
    family,
    type: payload.readUInt8(7),
    destination: destination === undefined ? null : addressBytes(destination, family),
    prefixLength: payload.readUInt8(1),
    interfaceIndex,
    gateway: gatewayOf(hop, family),
    cloned: (payload.readUInt32LE(8) & RTM_F_CLONED) !== 0,
    dead: (payload.readUInt32LE(8) & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) !== 0,
  };
}

function gatewayOf(attributes: readonly Attribute[], family: Family): string | null {
  const gateway = find(attributes, RTA_GATEWAY);
  if (gateway !== undefined) return formatAddress(addressBytes(gateway, family));
  const via = find(attributes, RTA_VIA);
  if (via === undefined) return null;
  need(via, 2, 'gateway');
  const viaFamily = familyOf(via.readUInt16LE(0));
  return viaFamily === null ? null : formatAddress(addressBytes(via.subarray(2), viaFamily));
}

/** struct ndmsg. Null for bridge tables, proxies, and entries without an address. */
export function decodeNeighbour(payload: Buffer): Neighbour | null {
  need(payload, 12, 'neighbour');
  const family = familyOf(payload.readUInt8(0));
  if (family === null || (payload.readUInt8(10) & NTF_PROXY) !== 0) return null;
  const attributes = splitAttributes(payload, 12);
  const destination = find(attributes, NDA_DST);
  if (destination === undefined) return null;
  const mac = find(attributes, NDA_LLADDR);
  return {
    interfaceIndex: payload.readInt32LE(4),
    address: formatAddress(addressBytes(destination, family)),
    state: neighbourStates.get(payload.readUInt16LE(8)) ?? 'none',
    mac: mac === undefined ? null : Uint8Array.from(mac),
  };
}

/** Payload of RTM_GETLINK, RTM_GETADDR and RTM_GETNEIGH dumps: everything. */
export function encodeDump(type: number): Buffer {
  if (type === RTM_GETLINK) return Buffer.alloc(16);
  return Buffer.alloc(type === RTM_GETADDR ? 8 : 12);
}

/** Payload of a dump by RTM_GETROUTE: the main table of a family. */
export function encodeRouteDump(family: Family): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(codeOf(family), 0);
  header.writeUInt8(RT_TABLE_MAIN, 4);
  return header;
}

/** Payload of RTM_GETROUTE: which way would a packet to this address go? */
export function encodeRouteQuery({ family, bytes }: AddressBytes): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(codeOf(family), 0);
  header.writeUInt8(bytes.length * 8, 1);
  return Buffer.concat([header, encodeAttribute(RTA_DST, bytes)]);
}

/**
 * A route by which an IPv6 address is this host's, as the kernel makes one for each address: for RTM_NEWROUTE
 * and RTM_DELROUTE. Behind the kernel's own, which has no metric.
 */
export function encodeHostRoute(
  bytes: Uint8Array,
  interfaceIndex: number,
  protocol: number,
): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(AF_INET6, 0);
  header.writeUInt8(bytes.length * 8, 1);
  header.writeUInt8(RT_TABLE_LOCAL, 4);
  header.writeUInt8(protocol, 5);
  header.writeUInt8(RTN_LOCAL, 7);
  const [index, metric] = [Buffer.alloc(4), Buffer.alloc(4)];
  index.writeUInt32LE(interfaceIndex);
  metric.writeUInt32LE(HOST_ROUTE_METRIC);
  return Buffer.concat([
    header,
    encodeAttribute(RTA_DST, bytes),
    encodeAttribute(RTA_OIF, index),
    encodeAttribute(RTA_PRIORITY, metric),
  ]);
}

/**
 * Payload of RTM_NEWADDR or RTM_DELADDR for one address of its own (/32 or /128).
 * IPv6: no duplicate address detection (the pair's units hold it in turn), no prefix route, and
 * preferred for 0 seconds, so that the unit's own connections do not start from it (RFC 6724 §5
 * rule 3); IPv4 chooses its source by subnet and needs no such care.
 */
export function encodeOwnAddress(
  { family, bytes }: AddressBytes,
  interfaceIndex: number,
  origin: number,
): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(codeOf(family), 0);
  header.writeUInt8(bytes.length * 8, 1);
  header.writeUInt32LE(interfaceIndex, 4);
  const parts = [
    header,
    encodeAttribute(IFA_LOCAL, bytes),
    encodeAttribute(IFA_ADDRESS, bytes),
    encodeAttribute(IFA_PROTO, Uint8Array.of(origin)),
  ];
  if (family === 6) {
    const flags = Buffer.alloc(4);
    flags.writeUInt32LE(IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
    // struct ifa_cacheinfo: preferred, valid, created, updated.
    const lifetimes = Buffer.alloc(16);
    lifetimes.writeUInt32LE(INFINITE, 4);
    parts.push(encodeAttribute(IFA_FLAGS, flags), encodeAttribute(IFA_CACHEINFO, lifetimes));
  }
  return Buffer.concat(parts);
}

/**
 * Payload of RTM_NEWNEIGH that asks the kernel to use the entry as a packet would: an unknown or
 * failed one is resolved, a stale one verified, and nothing else changes (NTF_USE).
 */
export function encodeNeighbourUse(address: AddressBytes, interfaceIndex: number): Buffer {
  return encodeNeighbour(address, interfaceIndex, { state: 0, flags: NTF_USE });
}

/** Payload of RTM_NEWNEIGH (with NLM_F_REPLACE) that has the kernel ask a neighbour whose MAC address it has. */
export function encodeNeighbourProbe(address: AddressBytes, interfaceIndex: number): Buffer {
  return encodeNeighbour(address, interfaceIndex, { state: NUD_PROBE, flags: 0 });
}

function encodeNeighbour(
  { family, bytes }: AddressBytes,
  interfaceIndex: number,
  { state, flags }: { readonly state: number; readonly flags: number },
): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(codeOf(family), 0);
  header.writeInt32LE(interfaceIndex, 4);
  header.writeUInt16LE(state, 8);
  header.writeUInt8(flags, 10);
  return Buffer.concat([header, encodeAttribute(NDA_DST, bytes)]);
}
