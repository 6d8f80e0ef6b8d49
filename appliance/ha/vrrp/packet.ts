/**
 * VRRP advertisements between bytes and values: version 3 for IPv4 and IPv6 (RFC 9568 §5.2) and
 * version 2 (RFC 3768 §5.3). What is coded is the message behind the IP header. Pure.
 *
 * Invariants:
 * - decodeAdvertisement() accepts exactly what encodeAdvertisement() can write, besides what must
 *   be ignored: four reserved bits of version 3 (RFC 9568 §5.2.6), and in version 2 the
 *   authentication data of type 0 (RFC 3768 §5.3.6).
 * - No length of the wire is used before it was held against the bytes that are there.
 */
import type { Family } from '../../config/address-codec.js';
import { internetChecksum } from './checksum.js';
import type { Rejection } from './rejections.js';

/** IP protocol number. */
export const VRRP_PROTOCOL = 112;
/** TTL and hop limit of what was sent on the same link (RFC 9568 §5.1.1.3, §5.1.2.3). */
export const VRRP_HOP_LIMIT = 255;
/** Precedence "internetwork control" (RFC 791 §3.1), CS6. */
export const TRAFFIC_CLASS = 0xc0;
/** 224.0.0.18 and ff02::12. */
export const vrrpGroups: Readonly<Record<Family, Uint8Array>> = {
  4: Uint8Array.of(224, 0, 0, 18),
  6: Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12),
};
/** RFC 9568 §5.2.4: the owner of the addresses, and who gives up. */
export const OWNER_PRIORITY = 255;
export const RELEASE_PRIORITY = 0;
/** The least that a master can have: what a farewell has (virtual-router.ts). */
export const FAREWELL_PRIORITY = 1;
/** Milliseconds: what version 3 counts in, and version 2. */
export const CENTISECOND = 10;
export const SECOND = 1000;
/** RFC 9568 §5.2.7: twelve bits. */
export const LONGEST_INTERVAL = 4095 * CENTISECOND;
export const MOST_ADDRESSES = 255;

const HEADER = 8;
const TYPE_ADVERTISEMENT = 1;
const AUTHENTICATION = 8;
const AUTHENTICATION_NONE = 0;
const AUTHENTICATION_PASSWORD = 1;

export type Version = 2 | 3;

export interface Advertisement {
  readonly version: Version;
  readonly vrid: number;
  readonly priority: number;
  /** Milliseconds: a multiple of 10 up to LONGEST_INTERVAL, in version 2 of 1000 up to 255,000. */
  readonly interval: number;
  /** 4 bytes each, or 16. */
  readonly addresses: readonly Uint8Array[];
  /**
   * Version 2 only. Simple text (RFC 2338 §5.3.6), at most 8 bytes, which protects from mistakes
   * and from nobody else; null: type 0. In version 3 always null.
   */
  readonly password: Uint8Array | null;
}

/** Where a message goes, or came from, as its IP header says. */
export interface Ends {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/**
 * Version 3 over IPv4 only: `message` sums the message alone (RFC 9568 §5.2.8), `pseudo-header`
 * the pseudo-header too, as RFC 5798 was read by some.
 */
export type ChecksumForm = 'message' | 'pseudo-header';

/** Throws RangeError for what the message has no room for: a mistake of the caller. */
export function encodeAdvertisement(
  advertisement: Advertisement,
  ends: Ends,
  form: ChecksumForm = 'message',
): Buffer {
  const { version, vrid, priority, interval, addresses, password } = advertisement;
  const size = ends.source.length;
  const unit = version === 2 ? SECOND : CENTISECOND;
  mustBe(Number.isInteger(vrid) && vrid >= 1 && vrid <= 255, `a virtual router id of ${vrid}`);
  mustBe(Number.isInteger(priority) && priority >= 0 && priority <= 255, `priority ${priority}`);
  mustBe(
    Number.isInteger(interval / unit) &&
      interval >= unit &&
      interval <= (version === 2 ? 255 * SECOND : LONGEST_INTERVAL),
    `an interval of ${interval} ms in version ${version}`,
  );
  mustBe(
    addresses.length >= 1 && addresses.length <= MOST_ADDRESSES,
    `${addresses.length} addresses`,
  );
  mustBe(version === 3 || size === 4, 'IPv6 in version 2');
  mustBe(
    addresses.every(({ length }) => length === size) && ends.destination.length === size,
    'addresses of both families',
  );
  mustBe(version === 2 || password === null, 'a password in version 3');
  mustBe((password?.length ?? 0) <= AUTHENTICATION, `a password of ${password?.length ?? 0} bytes`);

  const tail = version === 2 ? AUTHENTICATION : 0;
  const message = Buffer.alloc(HEADER + addresses.length * size + tail);
  message.writeUInt8((version << 4) | TYPE_ADVERTISEMENT, 0);
  message.writeUInt8(vrid, 1);
  message.writeUInt8(priority, 2);
  message.writeUInt8(addresses.length, 3);
  if (version === 3) message.writeUInt16BE(interval / unit, 4);
  else {
    message.writeUInt8(password === null ? AUTHENTICATION_NONE : AUTHENTICATION_PASSWORD, 4);
    message.writeUInt8(interval / unit, 5);
  }
  addresses.forEach((address, index) => message.set(address, HEADER + index * size));
  if (password !== null) message.set(password, message.length - AUTHENTICATION);
  const withHeader = size === 16 || (version === 3 && form === 'pseudo-header');
  message.writeUInt16BE(
    internetChecksum(message, withHeader ? { ...ends, protocol: VRRP_PROTOCOL } : null),
    6,
  );
  return message;
}

function mustBe(holds: boolean, what: string): void {
  if (!holds) throw new RangeError(`an advertisement cannot have ${what}`);
}

/** The message, or why it is none that anybody could believe. Copies what it keeps. */
export function decodeAdvertisement(message: Uint8Array, ends: Ends): Advertisement | Rejection {
  if (message.length < HEADER) return 'too-short';
  const view = Buffer.from(message.buffer, message.byteOffset, message.length);
  const size = ends.source.length;
  const version = view.readUInt8(0) >> 4;
  if (version !== 2 && version !== 3) return 'version';
  if ((view.readUInt8(0) & 0x0f) !== TYPE_ADVERTISEMENT) return 'type';
  if (version === 2 && size !== 4) return 'family';
  const count = view.readUInt8(3);
  if (count === 0) return 'count';
  const end = HEADER + count * size;
  if (view.length !== end + (version === 2 ? AUTHENTICATION : 0)) return 'length';
  if (!rightChecksum(view, version, ends)) return 'checksum';
  const vrid = view.readUInt8(1);
  if (vrid === 0) return 'vrid-zero';
  const interval =
    version === 2 ? view.readUInt8(5) * SECOND : (view.readUInt16BE(4) & 0x0fff) * CENTISECOND;
  if (interval === 0) return 'interval-zero';
  let password: Uint8Array | null = null;
  if (version === 2) {
    const type = view.readUInt8(4);
    if (type === AUTHENTICATION_PASSWORD) password = withoutPadding(view.subarray(end));
    else if (type !== AUTHENTICATION_NONE) return 'authentication';
  }
  const addresses = Array.from({ length: count }, (_, index) =>
    Uint8Array.from(view.subarray(HEADER + index * size, HEADER + (index + 1) * size)),
  );
  return { version, vrid, priority: view.readUInt8(2), interval, addresses, password };
}

/** Both forms of version 3 over IPv4 are in use (ChecksumForm), so both are right. */
function rightChecksum(message: Uint8Array, version: Version, ends: Ends): boolean {
  const bare = ends.source.length === 4 && internetChecksum(message) === 0;
  if (bare || version === 2) return bare;
  return internetChecksum(message, { ...ends, protocol: VRRP_PROTOCOL }) === 0;
}

function withoutPadding(field: Uint8Array): Uint8Array {
  let length = field.length;
  while (length > 0 && field[length - 1] === 0) length -= 1;
  return Uint8Array.from(field.subarray(0, length));
}
