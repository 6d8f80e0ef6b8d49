/**
 * The server name in a TLS ClientHello, without ending TLS: RFC 8446 §4.1.2 and §5.1, RFC 6066
 * §3 (server_name), RFC 7301 §3.1 (ALPN), RFC 9849 (of an encrypted hello, the outer one).
 *
 * The hello may come in any pieces and be cut into records anywhere. Its octets are put together
 * here, in memory that grows with what came and not with what is announced, and are read once,
 * when all are there; a piece is looked at once.
 *
 * Invariant: `done` means that the hello is well-formed up to its last octet, that no extension
 * is there twice, and that the name, when there is one, has octets of host names only.
 */
import { hostOctet, tokenLower } from '../http1/octets.js';

/** Verdicts, as http1's `progress`. */
export const helloProgress = { more: 0, done: 1, refused: 2 } as const;
export type HelloProgress = (typeof helloProgress)[keyof typeof helloProgress];

export interface HelloFault {
  /** Stable: in logs and counters. */
  readonly code: string;
  readonly sentence: string;
  /** The alert to say so with (RFC 8446 §6). */
  readonly alert: number;
}

const fault = (code: string, alert: number, sentence: string): HelloFault =>
  Object.freeze({ code, sentence, alert });

const unexpectedMessage = 10;
const decodeError = 50;
const illegalParameter = 47;
const protocolVersion = 70;

export const helloFaults = {
  notTls: fault(
    'not-tls',
    unexpectedMessage,
    'The connection does not begin with a TLS handshake.',
  ),
  version: fault('tls-version', protocolVersion, 'The record is of no version from SSL 3.0 up.'),
  recordSize: fault('tls-record-size', decodeError, 'A record is empty or larger than 16 KiB.'),
  notHello: fault('not-client-hello', unexpectedMessage, 'The first message is no ClientHello.'),
  tooLarge: fault('client-hello-size', decodeError, 'The ClientHello is larger than 16 KiB.'),
  trailing: fault('client-hello-trailing', unexpectedMessage, 'Data follows in the same record.'),
  malformed: fault('client-hello-malformed', decodeError, 'The ClientHello is malformed.'),
  twice: fault('tls-extension-twice', illegalParameter, 'An extension is there more than once.'),
  badName: fault('server-name', illegalParameter, 'The server name is no host name.'),
} as const satisfies Readonly<Record<string, HelloFault>>;

/** The largest hello with its four octets of type and length. */
export const maxHello = 16_384;
const maxRecord = 16_384;
const firstRoom = 1024;
const DOT = 0x2e;

const extension = { serverName: 0, alpn: 16, encryptedHello: 0xfe0d } as const;

/** Types of extensions seen in the hello in hand; empty between two. */
const seen = new Uint8Array(65_536);

export class ClientHello {
  fault: HelloFault | null = null;
  /** The hello put together; positions below are in it. */
  bytes = new Uint8Array(firstRoom);
  /** The name in lower case, without a last dot; empty when there is none. */
  nameStart = 0;
  nameEnd = 0;
  /** The list of protocols, each with an octet of length before it; empty when there is none. */
  alpnStart = 0;
  alpnEnd = 0;
  /** Whether the hello carries an encrypted one: then the name is that of the outer. */
  encrypted = false;

  private length = 0;
  /** Octets of the hello in all; 0: not known yet. */
  private total = 0;
  private readonly header = new Uint8Array(5);
  private headerLength = 0;
  /** Octets that the record in hand still has. */
  private left = 0;
  private verdict: HelloProgress = helloProgress.more;

  /** For another connection. */
  reset(): void {
    this.fault = null;
    this.nameStart = 0;
    this.nameEnd = 0;
    this.alpnStart = 0;
    this.alpnEnd = 0;
    this.encrypted = false;
    this.length = 0;
    this.total = 0;
    this.headerLength = 0;
    this.left = 0;
    this.verdict = helloProgress.more;
  }

  /** Takes the next piece of the connection, which nobody gave before. */
  feed(bytes: Uint8Array, start: number, end: number): HelloProgress {
    let p = start;
    while (p < end && this.verdict === helloProgress.more) {
      if (this.left > 0) {
        const size = Math.min(this.left, end - p);
        this.verdict = this.take(bytes, p, p + size);
        this.left -= size;
        p += size;
        continue;
      }
      this.header[this.headerLength] = bytes[p] ?? 0;
      this.headerLength += 1;
      p += 1;
      this.verdict = this.readHeader();
    }
    return this.verdict;
  }

  private refuse(why: HelloFault): HelloProgress {
    this.fault = why;
    return helloProgress.refused;
  }

  /** Each octet of a record's header as it comes, so nonsense is refused at once. */
  private readHeader(): HelloProgress {
    const [type = 0, major = 0, , high = 0, low = 0] = this.header;
    if (type !== 22) return this.refuse(helloFaults.notTls);
    if (this.headerLength > 1 && major !== 3) return this.refuse(helloFaults.version);
    if (this.headerLength < 5) return helloProgress.more;
    const size = high * 256 + low;
    if (size === 0 || size > maxRecord) return this.refuse(helloFaults.recordSize);
    this.left = size;
    this.headerLength = 0;
    return helloProgress.more;
  }

  private take(bytes: Uint8Array, start: number, end: number): HelloProgress {
    const length = this.length + end - start;
    if (length > maxHello) return this.refuse(helloFaults.tooLarge);
    if (length > this.bytes.length) {
      const larger = new Uint8Array(Math.min(maxHello, 2 * length));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    const out = this.bytes;
    for (let p = start, q = this.length; p < end; p += 1, q += 1) out[q] = bytes[p] ?? 0;
    this.length = length;
    if (out[0] !== 1) return this.refuse(helloFaults.notHello);
    if (length < 4) return helloProgress.more;
    if (this.total === 0) {
      this.total = 4 + (out[1] ?? 0) * 65_536 + this.word(2);
      if (this.total > maxHello) return this.refuse(helloFaults.tooLarge);
    }
    if (length < this.total) return helloProgress.more;
    // A message must not go on into records of another key (RFC 8446 §5.1), and none may follow.
    if (length > this.total || this.left > end - start) return this.refuse(helloFaults.trailing);
    const why = this.readHello(this.total);
    return why === null ? helloProgress.done : this.refuse(why);
  }

  private word(at: number): number {
    return (this.bytes[at] ?? 0) * 256 + (this.bytes[at + 1] ?? 0);
  }

  /** RFC 8446 §4.1.2; `end` is where the message ends. */
  private readHello(end: number): HelloFault | null {
    // Type and length, version, random.
    let p = 4 + 2 + 32;
    if (p + 1 > end || this.bytes[4] !== 3) return helloFaults.malformed;
    const session = this.bytes[p] ?? 0;
    if (session > 32) return helloFaults.malformed;
    p += 1 + session;
    if (p + 2 > end) return helloFaults.malformed;
    const suites = this.word(p);
    if (suites < 2 || suites % 2 !== 0) return helloFaults.malformed;
    p += 2 + suites;
    if (p + 1 > end) return helloFaults.malformed;
    const compressions = this.bytes[p] ?? 0;
    p += 1 + compressions;
    if (compressions === 0 || p > end) return helloFaults.malformed;
    // Before TLS 1.3 there may be no extensions at all.
    if (p === end) return null;
    if (p + 2 > end || p + 2 + this.word(p) !== end) return helloFaults.malformed;
    const why = this.readExtensions(p + 2, end);
    this.forget(p + 2, end);
    return why;
  }

  private readExtensions(start: number, end: number): HelloFault | null {
    let p = start;
    while (p < end) {
      if (p + 4 > end) return helloFaults.malformed;
      const type = this.word(p);
      const from = p + 4;
      const to = from + this.word(p + 2);
      if (to > end) return helloFaults.malformed;
      if (seen[type] === 1) return helloFaults.twice;
      seen[type] = 1;
      let why: HelloFault | null = null;
      if (type === extension.serverName) why = this.readServerName(from, to);
      else if (type === extension.alpn) why = this.readProtocols(from, to);
      else if (type === extension.encryptedHello) this.encrypted = true;
      if (why !== null) return why;
      p = to;
    }
    return null;
  }

  /** Empties `seen` by the same walk. */
  private forget(start: number, end: number): void {
    for (let p = start; p + 4 <= end; p += 4 + this.word(p + 2)) seen[this.word(p)] = 0;
  }

  /** RFC 6066 §3: of types of names there is one, and one name of it. */
  private readServerName(start: number, end: number): HelloFault | null {
    const from = start + 5;
    if (from > end || start + 2 + this.word(start) !== end) return helloFaults.malformed;
    if (this.bytes[start + 2] !== 0) return helloFaults.badName;
    if (from + this.word(start + 3) !== end) return helloFaults.malformed;
    let to = end;
    // RFC 6066 writes it without, some clients with the last dot.
    if (to > from + 1 && this.bytes[to - 1] === DOT) to -= 1;
    if (to === from || to - from > 255) return helloFaults.badName;
    for (let p = from; p < to; p += 1) {
      const c = this.bytes[p] ?? 0;
      if (hostOctet[c] === 0) return helloFaults.badName;
      this.bytes[p] = tokenLower[c] ?? 0;
    }
    this.nameStart = from;
    this.nameEnd = to;
    return null;
  }

  /** RFC 7301 §3.1: names of 1 to 255 octets. */
  private readProtocols(start: number, end: number): HelloFault | null {
    if (start + 4 > end || start + 2 + this.word(start) !== end) return helloFaults.malformed;
    let p = start + 2;
    while (p < end) {
      const size = this.bytes[p] ?? 0;
      if (size === 0 || p + 1 + size > end) return helloFaults.malformed;
      p += 1 + size;
    }
    this.alpnStart = start + 2;
    this.alpnEnd = end;
    return null;
  }
}
