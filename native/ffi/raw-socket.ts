/**
 * Raw sockets for an IP protocol on one interface: raw(7), ip(7), ipv6(7), RFC 3542. Addresses are
 * 4 or 16 bytes in network order; data is what lies behind the IP header.
 *
 * Invariants:
 * - Only what arrives by the interface is received, and nothing that this host sent to a group.
 * - Checksums inside of data are the caller's.
 * - Nothing here waits: the caller watches `fd` with a Poller.
 */
import {
  AF_INET,
  AF_INET6,
  close,
  setsockoptBytes,
  setsockoptInt,
  SOCK_RAW,
  socket,
  SOL_SOCKET,
  SystemError,
} from './libc.js';
import { addressOffset, sockaddr, sockaddrBytes } from './socket-address.js';
import {
  controlSpace,
  decodeControl,
  encodeControl,
  receiveMessage,
  sendMessage,
} from './socket-message.js';

const SO_BINDTODEVICE = 25;
const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_PKTINFO = 8;
const IP_MTU_DISCOVER = 10;
const IP_PMTUDISC_DONT = 0;
const IP_MULTICAST_IF = 32;
const IP_MULTICAST_TTL = 33;
const IP_MULTICAST_LOOP = 34;
const IP_ADD_MEMBERSHIP = 35;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MULTICAST_IF = 17;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
const IPV6_TCLASS = 67;

/** struct in_pktinfo: interface, local address, destination of the header. */
const PKTINFO_4 = 12;
/** struct in6_pktinfo: address, interface. */
const PKTINFO_6 = 20;
const MOST_PACKET = 65_536;
const MIN_IPV4_HEADER = 20;

export interface RawSocketOptions {
  readonly family: 4 | 6;
  /** Number of the IP protocol. */
  readonly protocol: number;
  readonly interface: { readonly name: string; readonly index: number };
  /** Multicast group to join. */
  readonly group: Uint8Array;
  readonly hopLimit: number;
  /** TOS, or traffic class. */
  readonly trafficClass: number;
}

export interface RawPacket {
  readonly interfaceIndex: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly hopLimit: number;
  readonly data: Uint8Array;
}

export class RawSocket {
  readonly fd: number;
  readonly #options: RawSocketOptions;
  readonly #data = Buffer.alloc(MOST_PACKET);
  readonly #from: Buffer;
  readonly #control = Buffer.alloc(controlSpace(PKTINFO_6) + controlSpace(4));
  #closed = false;

  /** Throws SystemError, EPERM without CAP_NET_RAW, ENODEV where the interface is gone. */
  constructor(options: RawSocketOptions) {
    this.#options = options;
    const { family } = options;
    this.#from = Buffer.alloc(sockaddrBytes[family]);
    this.fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW, options.protocol);
    try {
      const name = Buffer.from(`${options.interface.name}\0`);
      setsockoptBytes(this.fd, SOL_SOCKET, SO_BINDTODEVICE, name);
      if (family === 4) this.#prepare4();
      else this.#prepare6();
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  #prepare4(): void {
    const { hopLimit, trafficClass, group, interface: on } = this.#options;
    const set = (name: number, value: number): void =>
      setsockoptInt(this.fd, IPPROTO_IP, name, value);
    set(IP_TTL, hopLimit);
    set(IP_MULTICAST_TTL, hopLimit);
    set(IP_TOS, trafficClass);
    set(IP_MULTICAST_LOOP, 0);
    set(IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    set(IP_PKTINFO, 1);
    // struct ip_mreqn: group, local address, interface.
    const membership = Buffer.alloc(12);
    membership.writeInt32LE(on.index, 8);
    setsockoptBytes(this.fd, IPPROTO_IP, IP_MULTICAST_IF, membership);
    membership.set(group, 0);
    setsockoptBytes(this.fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership);
  }

  #prepare6(): void {
    const { hopLimit, trafficClass, group, interface: on } = this.#options;
    const set = (name: number, value: number): void =>
      setsockoptInt(this.fd, IPPROTO_IPV6, name, value);
    set(IPV6_UNICAST_HOPS, hopLimit);
    set(IPV6_MULTICAST_HOPS, hopLimit);
    set(IPV6_TCLASS, trafficClass);
    set(IPV6_MULTICAST_LOOP, 0);
    set(IPV6_MULTICAST_IF, on.index);
    set(IPV6_RECVPKTINFO, 1);
    set(IPV6_RECVHOPLIMIT, 1);
    // struct ipv6_mreq: group, interface.
    const membership = Buffer.alloc(20);
    membership.set(group, 0);
    membership.writeInt32LE(on.index, 16);
    setsockoptBytes(this.fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, membership);
  }

  /** Throws SystemError. */
  send(data: Uint8Array, source: Uint8Array, destination: Uint8Array): void {
    const { family, interface: on } = this.#options;
    const info = Buffer.alloc(family === 4 ? PKTINFO_4 : PKTINFO_6);
    info.writeInt32LE(on.index, family === 4 ? 0 : 16);
    info.set(source, family === 4 ? 4 : 0);
    const control = encodeControl(
      family === 4
        ? { level: IPPROTO_IP, type: IP_PKTINFO, data: info }
        : { level: IPPROTO_IPV6, type: IPV6_PKTINFO, data: info },
    );
    const address = sockaddr(family, destination, 0);
    const sent = sendMessage(this.fd, { data, address, control });
    if (sent < 0) throw new SystemError('sendmsg', -sent);
  }

  /** The next packet, copied; null: there is none now. Throws SystemError. */
  receive(): RawPacket | null {
    for (;;) {
      const parts = { data: this.#data, address: this.#from, control: this.#control };
      const { length, controlLength } = receiveMessage(this.fd, parts);
      if (length < 0) {
        const error = new SystemError('recvmsg', -length);
        if (error.code === 'EAGAIN') return null;
        if (error.code === 'EINTR') continue;
        throw error;
      }
      const packet = this.#packet(length, controlLength);
      // One that the kernel told nothing of, or with a header that is none, is nobody's.
      if (packet !== null) return packet;
    }
  }

  #packet(length: number, controlLength: number): RawPacket | null {
    const { family } = this.#options;
    const beside = decodeControl(this.#control, controlLength);
    const find = (level: number, type: number, bytes: number): Buffer | undefined =>
      beside.find((one) => one.level === level && one.type === type && one.data.length >= bytes)
        ?.data;
    if (family === 4) {
      const info = find(IPPROTO_IP, IP_PKTINFO, PKTINFO_4);
      const header = (this.#data.readUInt8(0) & 0x0f) * 4;
      if (info === undefined || header < MIN_IPV4_HEADER || length < header) return null;
      return {
        interfaceIndex: info.readInt32LE(0),
        source: Uint8Array.from(this.#data.subarray(12, 16)),
        destination: Uint8Array.from(this.#data.subarray(16, 20)),
        hopLimit: this.#data.readUInt8(8),
        data: Uint8Array.from(this.#data.subarray(header, length)),
      };
    }
    const info = find(IPPROTO_IPV6, IPV6_PKTINFO, PKTINFO_6);
    const hops = find(IPPROTO_IPV6, IPV6_HOPLIMIT, 4);
    if (info === undefined || hops === undefined) return null;
    return {
      interfaceIndex: info.readInt32LE(16),
      source: Uint8Array.from(this.#from.subarray(addressOffset[6], addressOffset[6] + 16)),
      destination: Uint8Array.from(info.subarray(0, 16)),
      hopLimit: hops.readInt32LE(0),
      data: Uint8Array.from(this.#data.subarray(0, length)),
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
  }
}
