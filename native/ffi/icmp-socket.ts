/**
 * Raw sockets for ICMP and ICMPv6: raw(7), icmp(7), RFC 3542 §3. Addresses are 4 or 16 bytes in
 * network order.
 *
 * Invariants:
 * - Only the ICMP types asked for reach the socket: the kernel's own filter keeps the rest away.
 * - Nothing here waits: the caller watches `fd` with a Poller.
 */
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  receive,
  sendTo,
  setsockoptBytes,
  setsockoptInt,
  socket,
  SO_RCVBUFFORCE,
  SO_RCVBUF,
  SOCK_RAW,
  SOL_SOCKET,
  SystemError,
} from './libc.js';
import { addressOffset, sockaddr, sockaddrBytes } from './socket-address.js';

const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_IP = 0;
const IP_TTL = 2;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
/** linux/icmp.h: a bit for each type, set means blocked. */
const SOL_RAW = 255;
const ICMP_FILTER = 1;
/** linux/icmpv6.h: 256 bits, set means blocked. */
const ICMPV6_FILTER = 1;
/** Room for the answers of thousands of members that come in one moment. */
const RECEIVE_BUFFER = 2 * 1024 * 1024;
const MOST_PACKET = 2048;
const PACKETS_PER_TURN = 256;

export class IcmpSocket {
  readonly fd: number;
  readonly #family: 4 | 6;
  readonly #buffer = Buffer.alloc(MOST_PACKET);
  readonly #from = Buffer.alloc(sockaddrBytes[6]);
  #closed = false;

  /**
   * `source`: address to send from; `hops`: hop limit, 1 to 255. Throws SystemError; that of a failed
   * bind has its syscall.
   */
  constructor(
    family: 4 | 6,
    options: { types: readonly number[]; source: Uint8Array | null; hops?: number | null },
  ) {
    this.#family = family;
    this.fd =
      family === 4
        ? socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
        : socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    try {
      if (family === 4) setsockoptBytes(this.fd, SOL_RAW, ICMP_FILTER, filter(4, options.types));
      else setsockoptBytes(this.fd, IPPROTO_ICMPV6, ICMPV6_FILTER, filter(32, options.types));
      widen(this.fd);
      const { hops = null } = options;
      if (hops !== null && family === 4) setsockoptInt(this.fd, IPPROTO_IP, IP_TTL, hops);
      else if (hops !== null) setsockoptInt(this.fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops);
      if (options.source !== null) bind(this.fd, sockaddr(family, options.source, 0));
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** Throws SystemError. */
  send(packet: Uint8Array, destination: Uint8Array): void {
    sendTo(this.fd, packet, sockaddr(this.#family, destination, 0));
  }

  /**
   * Hands over packets that have come, at most some; more make `fd` readable again. Both arrays are
   * windows that the next packet overwrites. IPv4 packets begin with their IP header, others do not.
   */
  drain(onPacket: (packet: Buffer, source: Uint8Array) => void): void {
    const at = addressOffset[this.#family];
    const end = at + (this.#family === 4 ? 4 : 16);
    for (let turn = 0; turn < PACKETS_PER_TURN && !this.#closed; turn += 1) {
      const length = receive(this.fd, this.#buffer, this.#from);
      if (length === null) return;
      onPacket(
        this.#buffer.subarray(0, Math.min(length, MOST_PACKET)),
        this.#from.subarray(at, end),
      );
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
  }
}

function filter(bytes: number, types: readonly number[]): Buffer {
  const mask = Buffer.alloc(bytes, 0xff);
  for (const type of types) {
    // 32-bit words of the machine, which is little-endian (libc.ts): byte and bit follow in order.
    const at = type >> 3;
    if (at < bytes) mask[at] = (mask[at] ?? 0) & ~(1 << (type & 7));
  }
  return mask;
}

function widen(fd: number): void {
  try {
    setsockoptInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
  } catch (error) {
    if (!(error instanceof SystemError && error.code === 'EPERM')) throw error;
    setsockoptInt(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
  }
}
