/**
 * The MAC address of a virtual router, and advertisements as whole frames that come from it
 * (RFC 9568 §7.2, §7.3; IPv4 RFC 791 §3.1, IPv6 RFC 8200 §3; groups RFC 1112 §6.4, RFC 2464 §7). Pure.
 */
import type { Family } from '../../config/address-codec.js';
import { internetChecksum } from './checksum.js';
import { TRAFFIC_CLASS, VRRP_HOP_LIMIT, VRRP_PROTOCOL, type Ends } from './packet.js';

const ETHERNET = 14;
const IPV4 = 20;
const IPV6 = 40;

export function virtualMac({
  vrid,
  family,
}: {
  readonly vrid: number;
  readonly family: Family;
}): Uint8Array {
  return Uint8Array.of(0, 0, 0x5e, 0, family === 4 ? 1 : 2, vrid);
}

/** An advertisement to the group of its family. */
export function advertisementFrame(
  mac: Uint8Array,
  family: Family,
  { source, destination }: Ends,
  message: Uint8Array,
): Buffer {
  const header = family === 4 ? IPV4 : IPV6;
  const frame = Buffer.alloc(ETHERNET + header + message.length);
  frame.set(groupMac(family, destination), 0);
  frame.set(mac, 6);
  frame.writeUInt16BE(family === 4 ? 0x0800 : 0x86dd, 12);
  const packet = frame.subarray(ETHERNET);
  if (family === 4) {
    packet.writeUInt8(0x45, 0);
    packet.writeUInt8(TRAFFIC_CLASS, 1);
    packet.writeUInt16BE(IPV4 + message.length, 2);
    packet.writeUInt8(VRRP_HOP_LIMIT, 8);
    packet.writeUInt8(VRRP_PROTOCOL, 9);
    packet.set(source, 12);
    packet.set(destination, 16);
    packet.writeUInt16BE(internetChecksum(packet.subarray(0, IPV4)), 10);
  } else {
    packet.writeUInt32BE(((6 << 28) | (TRAFFIC_CLASS << 20)) >>> 0, 0);
    packet.writeUInt16BE(message.length, 4);
    packet.writeUInt8(VRRP_PROTOCOL, 6);
    packet.writeUInt8(VRRP_HOP_LIMIT, 7);
    packet.set(source, 8);
    packet.set(destination, 24);
  }
  packet.set(message, header);
  return frame;
}

function groupMac(family: Family, group: Uint8Array): Uint8Array {
  return family === 4
    ? Uint8Array.of(1, 0, 0x5e, (group[1] ?? 0) & 0x7f, group[2] ?? 0, group[3] ?? 0)
    : Uint8Array.of(0x33, 0x33, ...group.subarray(12));
}
