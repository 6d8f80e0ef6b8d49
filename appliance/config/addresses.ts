/**
 * IP addresses, prefixes and endpoints as text.
 *
 * IPv4 is strict dotted decimal (RFC 6943 §3.1.1: no octal, no short forms). IPv6 is
 * read as RFC 4291 §2.2 and always written as RFC 5952 §4. Invariant: inside Weir one
 * address has one text, so comparing addresses is comparing strings. IPv4-mapped IPv6
 * addresses (`::ffff:10.0.0.1`) would give one address two texts and are refused.
 */
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

export type Family = 4 | 6;

export interface IpAddress {
  readonly family: Family;
  /** 4 or 16 bytes in network order. */
  readonly bytes: Uint8Array;
  /** The canonical text. */
  readonly text: string;
}

export interface IpPrefix {
  readonly address: IpAddress;
  readonly length: number;
  readonly text: string;
}

/** An address and a port; port 0 stands for "the service's own". */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export function parseAddress(text: string): Parsed<IpAddress> {
  if (text.startsWith('[')) {
    return refused(`${quote(text)} is no IP address: leave out the brackets`);
  }
  if (text.includes('/')) {
    return refused(`${quote(text)} has a prefix length: one address belongs here, leave out "/…"`);
  }
  if (text.includes('%')) {
    return refused(`${quote(text)} has a zone: addresses with a zone are not used here`);
  }
  if (!text.includes(':')) {
    const bytes = parseIpv4(text);
    if (bytes !== null) return parsed({ family: 4, bytes, text: bytes.join('.') });
    if (/^[0-9]+(\.[0-9]+){3}$/.test(text) && /(^|\.)0[0-9]/.test(text)) {
      return refused(`${quote(text)} is no IP address: write its numbers without leading zeros`);
    }
    if (/^[0-9.]+$/.test(text)) return refused(noAddress(text));
    return refused(
      `${quote(text)} is no IP address: host names are not looked up here; ${HOW_TO_WRITE}`,
    );
  }
  const bytes = parseIpv6(text);
  if (bytes === null) return refused(noAddress(text));
  if (isMapped(bytes)) {
    return refused(`${quote(text)} is an IPv4-mapped address: write ${bytes.slice(12).join('.')}`);
  }
  return parsed({ family: 6, bytes, text: formatIpv6(bytes) });
}

const HOW_TO_WRITE = 'write IPv4 as 10.0.0.1 or IPv6 as 2001:db8::1';

function noAddress(text: string): string {
  return `${quote(text)} is no IP address: ${HOW_TO_WRITE}`;
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return null;
    bytes[index] = Number(part);
  }
  return bytes;
}

/** RFC 4291 §2.2, all three forms; null when it is none. */
function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  // "::" stands for at least one group (RFC 4291 §2.2), of which RFC 5952 asks two when writing.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const bytes = new Uint8Array(16);
  groups.forEach((group, index) => {
    bytes[index * 2] = group >> 8;
    bytes[index * 2 + 1] = group & 0xff;
  });
  return bytes;
}

function parseGroups(text: string, last: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const bytes = last && index === parts.length - 1 ? parseIpv4(part) : null;
      if (bytes === null) return null;
      const [a = 0, b = 0, c = 0, d = 0] = bytes;
      groups.push((a << 8) | b, (c << 8) | d);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null;
      groups.push(parseInt(part, 16));
    }
  }
  return groups.length <= 8 ? groups : null;
}

function isMapped(bytes: Uint8Array): boolean {
  return (
    bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff
  );
}

/** RFC 5952 §4: lower case, no leading zeros, the first longest run of two or more zero groups is "::". */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from(
    { length: 8 },
    (_, i) => ((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0),
  );
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run++;
    if (run > length) [start, length] = [i, run];
    i += run;
  }
  const hex = groups.map((group) => group.toString(16));
  if (start < 0) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}

/** Addresses that one host on a routed network can own; a message when this one is none. */
export function checkUnicast(address: IpAddress): string | null {
  const [first = 0, second = 0] = address.bytes;
  if (address.bytes.every((byte) => byte === 0)) {
    return `${address.text} stands for every address: write the one address`;
  }
  if (address.family === 4) {
    if (first === 0)
      return `${address.text} is in 0.0.0.0/8, which no host can own: write the address of one`;
    if (address.text === '255.255.255.255')
      return `${address.text} is the broadcast address: write a unicast address`;
    if (first >= 224 && first < 240)
      return `${address.text} is a multicast address: write a unicast address`;
    if (first >= 240)
      return `${address.text} is in 240.0.0.0/4, which is reserved: write a unicast address`;
    return null;
  }
  if (first === 0xff) return `${address.text} is a multicast address: write a unicast address`;
  if (first === 0xfe && (second & 0xc0) === 0x80) {
    return `${address.text} is link-local and means another host on each link: write a global or unique local address`;
  }
  return null;
}

export function parsePrefix(text: string): Parsed<IpPrefix> {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  if (!match) {
    return refused(
      `${quote(text)} is no prefix: write an address and a length, such as 10.0.0.0/8`,
    );
  }
  const address = parseAddress(match[1] ?? '');
  if (!address.ok) return address;
  const length = Number(match[2]);
  const bits = address.value.family === 4 ? 32 : 128;
  if (length > bits) {
    return refused(
      `${quote(text)} is no prefix: the length of an IPv${address.value.family} prefix is at most ${bits}`,
    );
  }
  return parsed({ address: address.value, length, text: `${address.value.text}/${length}` });
}

/** The canonical text of an address, or the text itself when it is none. */
export function canonicalAddress(text: string): string {
  const result = parseAddress(text);
  return result.ok ? result.value.text : text;
}

/** Family of a canonical address. */
export function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

/** `10.0.0.1:80` or `[fd00::1]:80`; the address is canonical. */
export function formatEndpoint(endpoint: Endpoint): string {
  return endpoint.address.includes(':')
    ? `[${endpoint.address}]:${endpoint.port}`
    : `${endpoint.address}:${endpoint.port}`;
}

/**
 * What identifies a member within its pool, and its name in every table and on the screen:
 * `ADDRESS:PORT`, or the address alone when the port is the service's own.
 */
export function memberKey(member: {
  readonly address: string;
  readonly port?: number | undefined;
}): string {
  const { address, port = 0 } = member;
  return port === 0 ? address : formatEndpoint({ address, port });
}

/** Reads `ADDRESS:PORT`, `[ADDRESS]:PORT`, or an address alone, which is port 0. */
export function parseEndpoint(text: string): Parsed<Endpoint> {
  const alone = parseAddress(text);
  if (alone.ok) return parsed({ address: alone.value.text, port: 0 });
  const bracketed = /^\[([^\]]*)\](?::(0|[1-9][0-9]{0,4}))?$/.exec(text);
  const plain = /^([^:]*)(?::(0|[1-9][0-9]{0,4}))?$/.exec(text);
  const match = bracketed ?? plain ?? [text, text];
  const address = parseAddress(match[1] ?? '');
  if (!address.ok) {
    return refused(`${quote(text)} is no address and port: write 10.0.0.1:80 or [2001:db8::1]:80`);
  }
  const port = Number(match[2] ?? 0);
  if (port > 65535) return refused(`${quote(text)} has a port over 65535`);
  if (bracketed && address.value.family === 4) {
    return refused(
      `${quote(text)} has brackets, which are for IPv6: write ${formatEndpoint({ address: address.value.text, port })}`,
    );
  }
  return parsed({ address: address.value.text, port });
}
