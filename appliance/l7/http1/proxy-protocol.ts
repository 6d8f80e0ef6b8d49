/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): who is at the
 * other end of a connection that a proxy in front has opened.
 *
 * Invariant: what is said is believed whole or not at all; a header is never guessed from
 * its begin, and nothing beyond its end is read. Reading may stop after any byte.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { crc32c } from './crc32c.js';
import { progress, type Progress } from './faults.js';
import { latin1 } from './fields.js';
import { CR, LF, octets } from './octets.js';
import type { Writer } from './writer.js';

/** Both ends of a connection; addresses in network order, IPv4 in the first four octets. */
export interface Endpoints {
  /** 0: not said (UNKNOWN, UNSPEC, LOCAL, a Unix socket). */
  readonly family: 0 | 4 | 6;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export type ProxyFault =
  | 'no-proxy-header'
  | 'bad-proxy-line'
  | 'proxy-line-too-long'
  | 'bad-proxy-version'
  | 'bad-proxy-family'
  | 'bad-proxy-length'
  | 'proxy-header-too-long'
  | 'bad-proxy-tlv'
  | 'bad-proxy-checksum';

const lineStart = octets('PROXY ');
const signature = octets('\r\n\r\n\0\r\nQUIT\n');
/** Longest line of version 1 with its end. */
const maxLine = 107;
const fixedPart = 16;

/** TLV types of version 2 that Weir reads or writes itself. */
export const tlvType = {
  alpn: 0x01,
  authority: 0x02,
  crc32c: 0x03,
  noop: 0x04,
  uniqueId: 0x05,
} as const;

export interface ProxyLimits {
  /** Bytes of a version 2 header after its fixed part: addresses and TLVs. */
  readonly size: number;
  readonly versions: '1' | '2' | 'both';
}

export class ProxyHeader implements Endpoints {
  family: 0 | 4 | 6 = 0;
  readonly source = new Uint8Array(16);
  readonly destination = new Uint8Array(16);
  sourcePort = 0;
  destinationPort = 0;
  /** LOCAL: the proxy speaks for itself, for instance to check health. */
  local = false;
  /** Where TLVs lie, checked; equal when there are none. */
  tlvStart = 0;
  tlvEnd = 0;
  /** First byte after the header, when done. */
  end = 0;
  fault: ProxyFault | null = null;

  private start = 0;

  constructor(private readonly limits: ProxyLimits = { size: 2048, versions: 'both' }) {}

  reset(start: number): void {
    this.start = start;
    this.family = 0;
    this.source.fill(0);
    this.destination.fill(0);
    this.sourcePort = 0;
    this.destinationPort = 0;
    this.local = false;
    this.tlvStart = 0;
    this.tlvEnd = 0;
    this.fault = null;
  }

  private refuse(fault: ProxyFault): Progress {
    this.fault = fault;
    return progress.refused;
  }

  /** Looks at the header from its begin again; it is short, and read once a connection. */
  parse(bytes: Uint8Array, end: number): Progress {
    if (this.fault !== null) return progress.refused;
    if (end <= this.start) return progress.more;
    const { versions } = this.limits;
    if (versions !== '2' && bytes[this.start] === lineStart[0]) return this.parseLine(bytes, end);
    if (versions !== '1') return this.parseBinary(bytes, end);
    return this.refuse('no-proxy-header');
  }

  private begins(bytes: Uint8Array, end: number, text: Uint8Array): boolean {
    const size = Math.min(text.length, end - this.start);
    for (let i = 0; i < size; i += 1) if (bytes[this.start + i] !== text[i]) return false;
    return true;
  }

  private parseLine(bytes: Uint8Array, available: number): Progress {
    if (!this.begins(bytes, available, lineStart)) return this.refuse('no-proxy-header');
    const end = Math.min(available, this.start + maxLine);
    let p = this.start;
    for (; p < end && bytes[p] !== CR; p += 1) {
      const c = bytes[p] ?? 0;
      if (c < 0x20 || c > 0x7e) return this.refuse('bad-proxy-line');
    }
    if (p + 1 >= this.start + maxLine) return this.refuse('proxy-line-too-long');
    if (p + 1 >= end) return progress.more;
    if (bytes[p + 1] !== LF) return this.refuse('bad-proxy-line');
    this.end = p + 2;
    const line = latin1(bytes, this.start + lineStart.length, p);
    // What follows UNKNOWN is to be ignored.
    if (line === 'UNKNOWN' || line.startsWith('UNKNOWN ')) return progress.done;
    return this.readWords(line.split(' ')) ? progress.done : this.refuse('bad-proxy-line');
  }

  private readWords(words: readonly string[]): boolean {
    const [kind, source = '', destination = '', sourcePort = '', destinationPort = ''] = words;
    if (words.length !== 5 || (kind !== 'TCP4' && kind !== 'TCP6')) return false;
    const valid = kind === 'TCP4' ? isIPv4 : isPlainIpv6;
    const isPort = (text: string): boolean =>
      /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) < 65536;
    if (!valid(source) || !valid(destination) || !isPort(sourcePort) || !isPort(destinationPort)) {
      return false;
    }
    this.family = kind === 'TCP4' ? 4 : 6;
    writeAddress(this.source, source);
    writeAddress(this.destination, destination);
    this.sourcePort = Number(sourcePort);
    this.destinationPort = Number(destinationPort);
    return true;
  }

  private parseBinary(bytes: Uint8Array, end: number): Progress {
    if (!this.begins(bytes, end, signature)) return this.refuse('no-proxy-header');
    if (end - this.start < fixedPart) return progress.more;
    const command = bytes[this.start + 12] ?? 0;
    const family = bytes[this.start + 13] ?? 0;
    const length = word(bytes, this.start + 14);
    if (command !== 0x20 && command !== 0x21) return this.refuse('bad-proxy-version');
    if (family >> 4 > 3 || (family & 15) > 2) return this.refuse('bad-proxy-family');
    if (length > this.limits.size) return this.refuse('proxy-header-too-long');
    const from = this.start + fixedPart;
    if (end - from < length) return progress.more;
    this.end = from + length;
    this.local = command === 0x20;
    return this.readBinary(bytes, from, this.local ? 0 : family);
  }

  private readBinary(bytes: Uint8Array, from: number, family: number): Progress {
    const kind = family >> 4;
    const sizes = [0, 12, 36, 216];
    const size = sizes[kind] ?? 0;
    if (this.end - from < size) return this.refuse('bad-proxy-length');
    // Of a local connection everything after the fixed part is skipped unread.
    if (this.local) return progress.done;
    // Only a stream can be the connection that carries this.
    if ((kind === 1 || kind === 2) && (family & 15) === 1) {
      const width = kind === 1 ? 4 : 16;
      this.family = kind === 1 ? 4 : 6;
      for (let i = 0; i < width; i += 1) {
        this.source[i] = bytes[from + i] ?? 0;
        this.destination[i] = bytes[from + width + i] ?? 0;
      }
      this.sourcePort = word(bytes, from + 2 * width);
      this.destinationPort = word(bytes, from + 2 * width + 2);
    }
    // Without a family the length of the addresses is not known, so nothing after is read.
    if (kind === 0) return progress.done;
    return this.readTlvs(bytes, from + size);
  }

  private readTlvs(bytes: Uint8Array, from: number): Progress {
    let p = from;
    while (p < this.end) {
      if (this.end - p < 3) return this.refuse('bad-proxy-tlv');
      const size = word(bytes, p + 1);
      if (this.end - p - 3 < size) return this.refuse('bad-proxy-tlv');
      if (bytes[p] === tlvType.crc32c) {
        if (size !== 4) return this.refuse('bad-proxy-tlv');
        const said = word(bytes, p + 3) * 65536 + word(bytes, p + 5);
        if (crc32c(bytes, this.start, this.end, p + 3, p + 7) !== said) {
          return this.refuse('bad-proxy-checksum');
        }
      }
      p += 3 + size;
    }
    this.tlvStart = from;
    this.tlvEnd = this.end;
    return progress.done;
  }

  /** Where the value of the first TLV of a type begins, or -1; its two octets before are its length. */
  tlv(bytes: Uint8Array, type: number): number {
    for (let p = this.tlvStart; p < this.tlvEnd; p += 3 + word(bytes, p + 1)) {
      if (bytes[p] === type) return p + 3;
    }
    return -1;
  }
}

const isPlainIpv6 = (text: string): boolean => isIPv6(text) && !text.includes('%');

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
}

/** The octets of a checked address. */
export function writeAddress(out: Uint8Array, text: string): void {
  if (!text.includes(':')) {
    for (const [i, part] of text.split('.').entries()) out[i] = Number(part);
    return;
  }
  // The last 32 bits may be written as IPv4.
  const plain = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  const [head = '', tail] = plain.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const first = groups(head);
  const last = groups(tail ?? '');
  const all = [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last];
  for (const [i, group] of all.entries()) {
    const value = Number.parseInt(group, 16);
    out[2 * i] = value >> 8;
    out[2 * i + 1] = value & 255;
  }
}

function writeAddressText(writer: Writer, address: Uint8Array, family: 4 | 6): void {
  for (let i = 0; i < (family === 4 ? 4 : 8); i += 1) {
    if (i > 0) writer.octet(family === 4 ? 0x2e : 0x3a);
    if (family === 4) writer.decimal(address[i] ?? 0);
    else {
      const group = word(address, 2 * i);
      writer.hex(group, group > 0xfff ? 4 : group > 0xff ? 3 : group > 0xf ? 2 : 1);
    }
  }
}

const text = {
  unknown: octets('PROXY UNKNOWN\r\n'),
  tcp4: octets('PROXY TCP4 '),
  tcp6: octets('PROXY TCP6 '),
};

/** Version 1. */
export function writeProxyLine(writer: Writer, ends: Endpoints): void {
  if (ends.family === 0) {
    writer.all(text.unknown);
    return;
  }
  writer.all(ends.family === 4 ? text.tcp4 : text.tcp6);
  writeAddressText(writer, ends.source, ends.family);
  writer.octet(0x20);
  writeAddressText(writer, ends.destination, ends.family);
  writer.octet(0x20);
  writer.decimal(ends.sourcePort);
  writer.octet(0x20);
  writer.decimal(ends.destinationPort);
  writer.lineEnd();
}

function writeWord(writer: Writer, value: number): void {
  writer.octet(value >> 8);
  writer.octet(value & 255);
}

/** Version 2; `tlvs` is ready-made (`tlvOf`), without a checksum. Family 0 says LOCAL. */
export function writeProxyBinary(writer: Writer, ends: Endpoints, tlvs: Uint8Array): void {
  writer.all(signature);
  if (ends.family === 0) {
    writer.octet(0x20);
    writer.octet(0);
    writeWord(writer, 0);
    return;
  }
  const width = ends.family === 4 ? 4 : 16;
  writer.octet(0x21);
  writer.octet(ends.family === 4 ? 0x11 : 0x21);
  writeWord(writer, 2 * width + 4 + tlvs.length);
  writer.copy(ends.source, 0, width);
  writer.copy(ends.destination, 0, width);
  writeWord(writer, ends.sourcePort);
  writeWord(writer, ends.destinationPort);
  writer.all(tlvs);
}

/** One TLV; values above 65535 bytes cannot be said, so they throw RangeError. */
export function tlvOf(type: number, value: Uint8Array): Uint8Array {
  if (value.length > 65535) throw new RangeError('the value of a TLV has at most 65535 bytes');
  return Uint8Array.from([type, value.length >> 8, value.length & 255, ...value]);
}
