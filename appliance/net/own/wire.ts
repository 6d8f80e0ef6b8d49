/**
 * rtnetlink messages for the unit's own links, addresses and routes: those of net/wire.ts with what
 * only their keeper and who shows them need. Pure.
 * Source: include/uapi/linux/{rtnetlink,if_link,if_addr}.h.
 */
import { AF_INET, AF_INET6 } from '../../../native/ffi/libc.js';
import {
  cString,
  encodeAttribute,
  splitAttributes,
  type Attribute,
} from '../../../native/ffi/netlink-message.js';
import type { LinkCounters } from '../../api/network-contract.js';
import { formatAddress, type Family, type IpAddress } from '../../config/address-codec.js';
import type { BondHashPolicy, BondMode } from '../../config/network.js';
import { decodeLink, decodeRoute, type Link } from '../wire.js';

/** IFA_PROTO of the unit's own addresses: `N`. No number of iproute2's rt_addrprotos. */
export const OWN_ADDRESS = 0x4e;
/** rtm_protocol of the unit's own routes. No number of iproute2's rt_protos. */
export const OWN_ROUTE = 0x57;
/** IFLA_IFALIAS of links that were made here. */
export const OWN_LINK = 'made by weir';

const IFF_UP = 0x1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_STATS64 = 23;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_VLAN_ID = 1;
const IFLA_BOND_MODE = 1;
const IFLA_BOND_MIIMON = 3;
const IFLA_BOND_PRIMARY = 11;
const IFLA_BOND_XMIT_HASH_POLICY = 14;
const IFLA_BOND_AD_LACP_RATE = 21;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_PROTO = 11;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const RT_TABLE_MAIN = 254;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const NESTED = 0x8000;

const bondModes: Readonly<Record<BondMode, number>> = {
  'active-backup': 1,
  'balance-xor': 2,
  '802.3ad': 4,
};
const hashPolicies: Readonly<Record<BondHashPolicy, number>> = {
  layer2: 0,
  'layer3+4': 1,
  'layer2+3': 2,
};

/** A bond's settings as the kernel has them, by number. */
export interface BondState {
  readonly mode: number;
  /** ms. */
  readonly monitor: number;
  readonly hashPolicy: number;
  readonly lacpRate: number;
  /** Index of the preferred port; 0: none. */
  readonly primary: number;
}

export interface OwnLink extends Link {
  /** Made here, by its alias. */
  readonly ours: boolean;
  readonly bondState: BondState | null;
  /** Null when the kernel gave none. */
  readonly counters: LinkCounters | null;
}

export interface OwnRouteRow {
  readonly family: Family;
  /** `default`, or a prefix as canonical text. */
  readonly to: string;
  readonly via: string | null;
  readonly interfaceIndex: number;
  readonly metric: number;
  /** rtm_protocol: who made it. */
  readonly origin: number;
}

function find(attributes: readonly Attribute[], type: number): Buffer | undefined {
  return attributes.find((attribute) => attribute.type === type)?.value;
}

function number32(value: Buffer | undefined): number {
  return value === undefined || value.length < 4 ? 0 : value.readUInt32LE(0);
}

export function decodeOwnLink(payload: Buffer): OwnLink | null {
  const link = decodeLink(payload);
  if (link === null) return null;
  const attributes = splitAttributes(payload, 16);
  const alias = find(attributes, IFLA_IFALIAS);
  const info = find(attributes, IFLA_LINKINFO);
  const data = info && find(splitAttributes(info, 0), IFLA_INFO_DATA);
  const bond = link.kind === 'bond' && data !== undefined ? splitAttributes(data, 0) : null;
  return {
    ...link,
    ours: alias !== undefined && cString(alias) === OWN_LINK,
    bondState: bond && {
      mode: find(bond, IFLA_BOND_MODE)?.[0] ?? 0,
      monitor: number32(find(bond, IFLA_BOND_MIIMON)),
      hashPolicy: find(bond, IFLA_BOND_XMIT_HASH_POLICY)?.[0] ?? 0,
      lacpRate: find(bond, IFLA_BOND_AD_LACP_RATE)?.[0] ?? 0,
      primary: number32(find(bond, IFLA_BOND_PRIMARY)),
    },
    counters: countersOf(find(attributes, IFLA_STATS64)),
  };
}

/** struct rtnl_link_stats64: packets, bytes, errors and drops, received and sent in turn. */
function countersOf(value: Buffer | undefined): LinkCounters | null {
  if (value === undefined || value.length < 64) return null;
  const at = (index: number): number => Number(value.readBigUInt64LE(index * 8));
  return {
    ...{ rxPackets: at(0), txPackets: at(1), rxBytes: at(2), txBytes: at(3) },
    ...{ rxErrors: at(4), txErrors: at(5), rxDropped: at(6), txDropped: at(7) },
  };
}

/** Unicast routes of the main table; null for all others. Of several next hops the first. */
export function decodeOwnRoute(payload: Buffer): OwnRouteRow | null {
  const route = decodeRoute(payload);
  if (route === null || route.cloned || route.type !== RTN_UNICAST) return null;
  const attributes = splitAttributes(payload, 12);
  const table = find(attributes, RTA_TABLE);
  if ((table === undefined ? payload.readUInt8(4) : number32(table)) !== RT_TABLE_MAIN) return null;
  return {
    family: route.family,
    to:
      route.destination === null || route.prefixLength === 0
        ? 'default'
        : `${formatAddress(route.destination)}/${route.prefixLength}`,
    via: route.gateway,
    interfaceIndex: route.interfaceIndex,
    metric: number32(find(attributes, RTA_PRIORITY)),
    origin: payload.readUInt8(5),
  };
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'utf8');
}

function linkHeader(index: number, change: 'up' | 'down' | null): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  if (change !== null) {
    header.writeUInt32LE(change === 'up' ? IFF_UP : 0, 8);
    header.writeUInt32LE(IFF_UP, 12);
  }
  return header;
}

export type LinkMade =
  | { readonly kind: 'vlan'; readonly link: number; readonly id: number }
  | { readonly kind: 'bond'; readonly bond: BondState };

/** Payload of RTM_NEWLINK that makes a link. */
export function encodeNewLink(name: string, made: LinkMade): Buffer {
  const data =
    made.kind === 'vlan' ? encodeAttribute(IFLA_VLAN_ID, u16(made.id)) : bondData(made.bond, true);
  return Buffer.concat([
    linkHeader(0, null),
    encodeAttribute(IFLA_IFNAME, text(name)),
    ...(made.kind === 'vlan' ? [encodeAttribute(IFLA_LINK, u32(made.link))] : []),
    linkInfo(made.kind, data),
  ]);
}

/** Payload of RTM_NEWLINK that marks a link as ours: not every kernel takes an alias while it makes one. */
export function encodeMark(name: string): Buffer {
  return Buffer.concat([
    linkHeader(0, null),
    encodeAttribute(IFLA_IFNAME, text(name)),
    encodeAttribute(IFLA_IFALIAS, Buffer.from(OWN_LINK)),
  ]);
}

/** Payload of RTM_NEWLINK with what can be changed of a bond while it works. */
export function encodeBondChange(index: number, bond: BondState): Buffer {
  return Buffer.concat([linkHeader(index, null), linkInfo('bond', bondData(bond, false))]);
}

function linkInfo(kind: string, data: Buffer): Buffer {
  return encodeAttribute(
    IFLA_LINKINFO | NESTED,
    Buffer.concat([
      encodeAttribute(IFLA_INFO_KIND, text(kind)),
      encodeAttribute(IFLA_INFO_DATA | NESTED, data),
    ]),
  );
}

/** The preferred port is named only once it is one. */
function bondData(bond: BondState, made: boolean): Buffer {
  const { mode, monitor, hashPolicy, lacpRate, primary } = bond;
  return Buffer.concat([
    ...(made ? [encodeAttribute(IFLA_BOND_MODE, Uint8Array.of(mode))] : []),
    encodeAttribute(IFLA_BOND_MIIMON, u32(monitor)),
    ...(mode === bondModes['active-backup']
      ? made
        ? []
        : [encodeAttribute(IFLA_BOND_PRIMARY, u32(primary))]
      : [encodeAttribute(IFLA_BOND_XMIT_HASH_POLICY, Uint8Array.of(hashPolicy))]),
    ...(made && mode === bondModes['802.3ad']
      ? [encodeAttribute(IFLA_BOND_AD_LACP_RATE, Uint8Array.of(lacpRate))]
      : []),
  ]);
}

export function bondState(
  settings: {
    readonly mode: BondMode;
    readonly 'monitor-interval': number;
    readonly 'hash-policy'?: BondHashPolicy | undefined;
    readonly 'lacp-rate'?: 'slow' | 'fast' | undefined;
  },
  primary: number,
): BondState {
  return {
    mode: bondModes[settings.mode],
    monitor: settings['monitor-interval'],
    hashPolicy: hashPolicies[settings['hash-policy'] ?? 'layer2'],
    lacpRate: settings['lacp-rate'] === 'fast' ? 1 : 0,
    primary,
  };
}

/** Payload of RTM_NEWLINK that changes a link, or of RTM_DELLINK (no change) that removes it. */
export function encodeLinkChange(
  index: number,
  change: { readonly state?: 'up' | 'down'; readonly mtu?: number; readonly master?: number } = {},
): Buffer {
  const { state = null, mtu, master } = change;
  return Buffer.concat([
    linkHeader(index, state),
    ...(mtu === undefined ? [] : [encodeAttribute(IFLA_MTU, u32(mtu))]),
    ...(master === undefined ? [] : [encodeAttribute(IFLA_MASTER, u32(master))]),
  ]);
}

/** Payload of RTM_NEWADDR or RTM_DELADDR for an address with its network. */
export function encodeNetworkAddress(
  { family, bytes }: Pick<IpAddress, 'family' | 'bytes'>,
  prefixLength: number,
  interfaceIndex: number,
): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(family === 4 ? AF_INET : AF_INET6, 0);
  header.writeUInt8(prefixLength, 1);
  header.writeUInt32LE(interfaceIndex, 4);
  const parts = [
    header,
    encodeAttribute(IFA_LOCAL, bytes),
    encodeAttribute(IFA_ADDRESS, bytes),
    encodeAttribute(IFA_PROTO, Uint8Array.of(OWN_ADDRESS)),
  ];
  if (family === 4 && prefixLength < 31) {
    const last = bytes.map((byte, index) => {
      const network = Math.max(0, Math.min(8, prefixLength - 8 * index));
      return byte | (0xff >> network);
    });
    parts.push(encodeAttribute(IFA_BROADCAST, last));
  }
  return Buffer.concat(parts);
}

export interface WantedRoute {
  readonly family: Family;
  readonly to: string;
  /** Null for `default`. */
  readonly destination: Uint8Array | null;
  readonly prefixLength: number;
  readonly via: IpAddress | null;
  /** 0: the kernel finds it by the router. */
  readonly interfaceIndex: number;
  readonly metric: number;
}

/** Payload of RTM_NEWROUTE or RTM_DELROUTE. */
export function encodeOwnRoute(route: WantedRoute): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(route.family === 4 ? AF_INET : AF_INET6, 0);
  header.writeUInt8(route.prefixLength, 1);
  header.writeUInt8(RT_TABLE_MAIN, 4);
  header.writeUInt8(OWN_ROUTE, 5);
  const onLink = route.via === null && route.family === 4;
  header.writeUInt8(onLink ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE, 6);
  header.writeUInt8(RTN_UNICAST, 7);
  return Buffer.concat([
    header,
    ...(route.destination === null ? [] : [encodeAttribute(RTA_DST, route.destination)]),
    ...(route.via === null ? [] : [encodeAttribute(RTA_GATEWAY, route.via.bytes)]),
    ...(route.interfaceIndex === 0 ? [] : [encodeAttribute(RTA_OIF, u32(route.interfaceIndex))]),
    ...(route.metric === 0 ? [] : [encodeAttribute(RTA_PRIORITY, u32(route.metric))]),
  ]);
}

/** Payload of a dump of routes. */
export function encodeRouteDump(family: Family): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(family === 4 ? AF_INET : AF_INET6, 0);
  return header;
}
