/**
 * IP addresses, prefixes and endpoints as text.
 *
 * IPv4 is strict dotted decimal (RFC 6943 §3.1.1: no octal, no short forms). IPv6 is
 * read as RFC 4291 §2.2 and always written as RFC 5952 §4. Invariant: inside Weir one
 * address has one text, so comparing addresses is comparing strings. IPv4-mapped IPv6
 * addresses (`::ffff:10.0.0.1`) would give one address two texts and are refused.
 */
import {
  formatAddress,
  isMapped,
  readAddress,
  type Family,
  type IpAddress,
} from './address-codec.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

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
    const address = readAddress(text);
    if (address !== null) return parsed(address);
    if (/^[0-9]+(\.[0-9]+){3}$/.test(text) && /(^|\.)0[0-9]/.test(text)) {
      return refused(`${quote(text)} is no IP address: write its numbers without leading zeros`);
    }
    if (/^[0-9.]+$/.test(text)) return refused(noAddress(text));
    return refused(
      `${quote(text)} is no IP address: host names are not looked up here; ${HOW_TO_WRITE}`,
    );
  }
  const address = readAddress(text);
  if (address === null) return refused(noAddress(text));
  if (isMapped(address.bytes)) {
    const inner = formatAddress(address.bytes.subarray(12));
    return refused(`${quote(text)} is an IPv4-mapped address: write ${inner}`);
  }
  return parsed(address);
}

const HOW_TO_WRITE = 'write IPv4 as 10.0.0.1 or IPv6 as 2001:db8::1';

function noAddress(text: string): string {
  return `${quote(text)} is no IP address: ${HOW_TO_WRITE}`;
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
