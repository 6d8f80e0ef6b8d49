/**
 * rtnetlink payloads for devices that give a network interface a further MAC address. Pure.
 * Source: kernel Documentation/netlink/specs/rt-link.yaml, include/uapi/linux/if_link.h.
 */
import { AF_INET6 } from '../../native/ffi/libc.js';
import { encodeAttribute } from '../../native/ffi/netlink-message.js';

const IFF_UP = 1;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_LINK = 5;
const IFLA_LINKINFO = 18;
const IFLA_AF_SPEC = 26;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_MACVLAN_MODE = 1;
/** Others keep frames of this MAC address from the interface below: two masters would not hear each other. */
const MACVLAN_MODE_BRIDGE = 4;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;

/** `flags`, of those in `change`. */
function header(index: number, flags = 0, change = 0): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(flags, 8);
  bytes.writeUInt32LE(change, 12);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const name = (text: string): Buffer => encodeAttribute(IFLA_IFNAME, Buffer.from(`${text}\0`));

/** RTM_NEWLINK that makes one. */
export function encodeMacvlan(device: {
  readonly name: string;
  readonly mac: Uint8Array;
  /** Index of the interface below. */
  readonly below: number;
}): Buffer {
  const mode = encodeAttribute(IFLA_MACVLAN_MODE, u32(MACVLAN_MODE_BRIDGE));
  return Buffer.concat([
    header(0),
    name(device.name),
    encodeAttribute(IFLA_ADDRESS, device.mac),
    encodeAttribute(IFLA_LINK, u32(device.below)),
    encodeAttribute(
      IFLA_LINKINFO,
      Buffer.concat([
        encodeAttribute(IFLA_INFO_KIND, Buffer.from('macvlan')),
        encodeAttribute(IFLA_INFO_DATA, mode),
      ]),
    ),
  ]);
}

/** RTM_NEWLINK: no link-local address, which another one with the same MAC address would have too. */
export function encodeNoLinkLocal(device: string): Buffer {
  const mode = encodeAttribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE));
  const spec = encodeAttribute(IFLA_AF_SPEC, encodeAttribute(AF_INET6, mode));
  return Buffer.concat([header(0), name(device), spec]);
}

/** RTM_NEWLINK. */
export function encodeUp(index: number, up: boolean): Buffer {
  return header(index, up ? IFF_UP : 0, IFF_UP);
}

/** RTM_DELLINK. */
export function encodeRemoval(index: number): Buffer {
  return header(index);
}
