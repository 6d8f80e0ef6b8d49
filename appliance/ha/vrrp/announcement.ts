/**
 * Frames that tell the link who holds an address now: gratuitous ARP (RFC 826; both forms of RFC
 * 5944 §4.6) and unsolicited neighbour advertisements (RFC 4861 §4.4, §7.2.6). Pure.
 */
import { internetChecksum } from './checksum.js';

const ETHERNET = 14;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;
const BROADCAST = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
/** ff02::1 and its Ethernet address (RFC 2464 §7). */
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);

const ARP = 28;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const HARDWARE_ETHERNET = 1;
const PROTOCOL_IPV4 = 0x0800;

const IPV6 = 40;
const ICMPV6 = 58;
const NEIGHBOUR_ADVERTISEMENT = 136;
const ADVERTISEMENT_BODY = 32;
const FLAG_ROUTER = 0x80;
const FLAG_OVERRIDE = 0x20;
const TARGET_LINK_LAYER_ADDRESS = 2;

/** Some hosts take notice of one form only. */
export type ArpForm = 'request' | 'reply';

function ethernet(
  length: number,
  destination: Uint8Array,
  source: Uint8Array,
  type: number,
): Buffer {
  const frame = Buffer.alloc(length);
  frame.set(destination, 0);
  frame.set(source, 6);
  frame.writeUInt16BE(type, 12);
  return frame;
}

/** Tells every host of the link that `address` (4 bytes) is at `mac`. */
export function gratuitousArp(mac: Uint8Array, address: Uint8Array, form: ArpForm): Buffer {
  const frame = ethernet(ETHERNET + ARP, BROADCAST, mac, ETHERTYPE_ARP);
  frame.writeUInt16BE(HARDWARE_ETHERNET, ETHERNET);
  frame.writeUInt16BE(PROTOCOL_IPV4, ETHERNET + 2);
  frame.writeUInt8(mac.length, ETHERNET + 4);
  frame.writeUInt8(address.length, ETHERNET + 5);
  frame.writeUInt16BE(form === 'request' ? ARP_REQUEST : ARP_REPLY, ETHERNET + 6);
  frame.set(mac, ETHERNET + 8);
  frame.set(address, ETHERNET + 14);
  // Not used in a request; in a reply it is what the caches shall hold.
  if (form === 'reply') frame.set(mac, ETHERNET + 18);
  frame.set(address, ETHERNET + 24);
  return frame;
}

/**
 * The same for IPv6: `address` has 16 bytes. `router`: the unit forwards packets, so its neighbours
 * must not take it off their lists of routers (RFC 4861 §7.2.5).
 */
export function unsolicitedAdvertisement(
  mac: Uint8Array,
  address: Uint8Array,
  options: { readonly router: boolean },
): Buffer {
  const frame = ethernet(ETHERNET + IPV6 + ADVERTISEMENT_BODY, ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
  frame.writeUInt8(0x60, ETHERNET);
  frame.writeUInt16BE(ADVERTISEMENT_BODY, ETHERNET + 4);
  frame.writeUInt8(ICMPV6, ETHERNET + 6);
  frame.writeUInt8(255, ETHERNET + 7);
  frame.set(address, ETHERNET + 8);
  frame.set(ALL_NODES, ETHERNET + 24);
  const body = frame.subarray(ETHERNET + IPV6);
  body.writeUInt8(NEIGHBOUR_ADVERTISEMENT, 0);
  body.writeUInt8(FLAG_OVERRIDE | (options.router ? FLAG_ROUTER : 0), 4);
  body.set(address, 8);
  body.writeUInt8(TARGET_LINK_LAYER_ADDRESS, 24);
  body.writeUInt8(1, 25);
  body.set(mac, 26);
  body.writeUInt16BE(
    internetChecksum(body, { source: address, destination: ALL_NODES, protocol: ICMPV6 }),
    2,
  );
  return frame;
}
