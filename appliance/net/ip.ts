/**
 * IP addresses between text and the bytes of netlink messages (RFC 4291 §2.2, RFC 5952 §4). Pure.
 *
 * Invariant: one address has one text, the one that formatAddress makes, so texts can be map keys.
 */
import { isIPv4, isIPv6 } from 'node:net';

export type Family = 'ipv4' | 'ipv6';

export interface IpAddress {
  readonly family: Family;
  /** 4 or 16 bytes in network order. */
  readonly bytes: Buffer;
}

/** Null when the text is no address. Zones (`%eth0`) are no part of an address here. */
export function parseAddress(text: string): IpAddress | null {
  if (isIPv4(text)) return { family: 'ipv4', bytes: Buffer.from(text.split('.').map(Number)) };
  if (!isIPv6(text) || text.includes('%')) return null;
  return { family: 'ipv6', bytes: ipv6Bytes(text) };
}

/** The text has been checked: what is left is to expand `::` and an IPv4 tail. */
function ipv6Bytes(text: string): Buffer {
  const tail = text.slice(text.lastIndexOf(':') + 1);
  const hex = isIPv4(tail) ? `${text.slice(0, -tail.length)}${ipv4AsGroups(tail)}` : text;
  const [left = '', right] = hex.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const head = groups(left);
  const rest = right === undefined ? [] : groups(right);
  const bytes = Buffer.alloc(16);
  head.forEach((group, index) => bytes.writeUInt16BE(group, index * 2));
  rest.forEach((group, index) => bytes.writeUInt16BE(group, (8 - rest.length + index) * 2));
  return bytes;
}

function ipv4AsGroups(text: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

/** Text of 4 or 16 bytes. Throws RangeError for any other length: that is a caller's mistake. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16)
    throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, index) => view.readUInt16BE(index * 2));
  // IPv4-mapped: RFC 5952 §5.
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${view.subarray(12).join('.')}`;
  }
  const gap = longestZeroRun(groups);
  const words = (part: readonly number[]): string =>
    part.map((group) => group.toString(16)).join(':');
  if (gap === null) return words(groups);
  return `${words(groups.slice(0, gap.start))}::${words(groups.slice(gap.start + gap.length))}`;
}

/** The first of the longest runs of two or more zero groups (RFC 5952 §4.2). */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } | null {
  let best: { start: number; length: number } | null = null;
  let start = 0;
  while (start < groups.length) {
    if (groups[start] !== 0) {
      start += 1;
      continue;
    }
    let end = start;
    while (groups[end] === 0) end += 1;
    if (end - start >= 2 && end - start > (best?.length ?? 0))
      best = { start, length: end - start };
    start = end;
  }
  return best;
}

/** Whether the first `prefixLength` bits of both are the same; false across families. */
export function inPrefix(address: Uint8Array, prefix: Uint8Array, prefixLength: number): boolean {
  if (address.length !== prefix.length || prefixLength > prefix.length * 8) return false;
  const whole = prefixLength >> 3;
  for (let index = 0; index < whole; index += 1) {
    if (address[index] !== prefix[index]) return false;
  }
  const bits = prefixLength & 7;
  if (bits === 0) return true;
  const mask = (0xff << (8 - bits)) & 0xff;
  return ((address[whole] ?? 0) & mask) === ((prefix[whole] ?? 0) & mask);
}

/** fe80::/10: means something only together with an interface. */
export function isLinkLocal(address: IpAddress): boolean {
  const [first = 0, second = 0] = address.bytes;
  return address.family === 'ipv6' && first === 0xfe && (second & 0xc0) === 0x80;
}
