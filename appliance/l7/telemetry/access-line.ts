/**
 * One line of the access log: JSON, or the combined format of Apache with the microseconds behind
 * it. README.md describes both for who reads them.
 *
 * Invariants:
 * - Every JSON line is one object, with all its keys always; every combined line has exactly its
 *   six quotes and no control character (line-text.ts).
 * - A line has at most `lineMost` octets, whatever the request was: long parts are cut.
 * - User names and passwords in a URL are left out. Queries are not.
 */
import { octets } from '../http1/octets.js';
import { endings, type AccessRecord, type Ending } from './access-record.js';
import { LineText } from './line-text.js';

/** Octets that each part may have in the line, escaped. */
const most = {
  name: 256,
  client: 64,
  method: 64,
  target: 8192,
  host: 512,
  id: 256,
  agent: 1024,
  referer: 2048,
} as const;

/** All parts at their longest, the words between them, and numbers of 16 digits. */
export const lineMost = 16_384;

/** The words between the values, in order. */
const json = {
  time: octets('{"time":"'),
  service: octets('","service":'),
  route: octets(',"route":'),
  client: octets(',"client":'),
  clientPort: octets(',"clientPort":'),
  method: octets(',"method":'),
  target: octets(',"target":'),
  host: octets(',"host":'),
  protocol: octets(',"protocol":'),
  status: octets(',"status":'),
  bytesIn: octets(',"bytesIn":'),
  bytesOut: octets(',"bytesOut":'),
  queue: octets(',"queueUs":'),
  connect: octets(',"connectUs":'),
  head: octets(',"headUs":'),
  total: octets(',"totalUs":'),
  member: octets(',"member":'),
  retries: octets(',"retries":'),
  id: octets(',"requestId":'),
  agent: octets(',"userAgent":'),
  referer: octets(',"referer":'),
  ended: octets(',"ended":"'),
  cut: octets('","cut":'),
  end: octets('}\n'),
  nothing: octets('null'),
  yes: octets('true'),
  no: octets('false'),
} as const;

const combined = {
  user: octets(' - - ['),
  request: octets('] "'),
  protocol: octets(' HTTP/1.'),
  status: octets('" '),
  referer: octets(' "'),
  agent: octets('" "'),
  time: octets('" '),
} as const;

const http = octets('"HTTP/1.');
const endingWords = Object.fromEntries(endings.map((word) => [word, octets(word)])) as Readonly<
  Record<Ending, Uint8Array>
>;
const QUOTE = 0x22;
const DASH = 0x2d;
const SP = 0x20;

export class AccessLine {
  /** The line is here, from 0 on. */
  readonly bytes = new Uint8Array(lineMost);
  private readonly text = new LineText(this.bytes);

  constructor(readonly format: 'json' | 'combined') {}

  /** Writes the line, with its line feed, and returns where it ends. */
  write(record: AccessRecord): number {
    this.text.start();
    if (this.format === 'json') this.json(record);
    else this.combined(record);
    return this.text.at;
  }

  /** How many requests it stands for, and the line in JSON. Returns where it ends. */
  writeLive(record: AccessRecord, weight: number): number {
    this.text.start();
    this.text.decimal(weight);
    this.text.octet(SP);
    this.json(record);
    return this.text.at;
  }

  private json(record: AccessRecord): void {
    const { text } = this;
    const { bytes } = record;
    text.raw(json.time);
    text.time(record.doubles);
    this.name(json.service, record.service, most.name);
    this.name(json.route, record.route, most.name);
    this.name(json.client, record.client, most.client);
    this.number(json.clientPort, record.clientPort);
    this.part(json.method, bytes, record.methodStart, record.methodEnd, most.method);
    text.raw(json.target);
    this.url(bytes, record.targetStart, record.targetEnd, most.target);
    this.part(json.host, bytes, record.hostStart, record.hostEnd, most.host);
    text.raw(json.protocol);
    if (record.minor < 0) text.raw(json.nothing);
    else {
      text.raw(http);
      text.decimal(record.minor);
      text.octet(QUOTE);
    }
    this.number(json.status, record.status);
    this.number(json.bytesIn, record.bytesIn);
    this.number(json.bytesOut, record.bytesOut);
    this.number(json.queue, record.queueMicros);
    this.number(json.connect, record.connectMicros);
    this.number(json.head, record.headMicros);
    this.number(json.total, record.totalMicros);
    this.name(json.member, record.member, most.name);
    this.number(json.retries, record.retries);
    this.part(json.id, record.idBytes, record.idStart, record.idEnd, most.id);
    this.part(json.agent, bytes, record.agentStart, record.agentEnd, most.agent);
    text.raw(json.referer);
    this.url(bytes, record.refererStart, record.refererEnd, most.referer);
    text.raw(json.ended);
    text.raw(endingWords[record.ended]);
    text.raw(json.cut);
    text.raw(text.cut ? json.yes : json.no);
    text.raw(json.end);
  }

  private name(key: Uint8Array, value: Uint8Array, room: number): void {
    this.part(key, value, 0, value.length, room);
  }

  /** An empty range is null. */
  private part(key: Uint8Array, bytes: Uint8Array, start: number, end: number, room: number): void {
    const { text } = this;
    text.raw(key);
    if (end <= start) {
      text.raw(json.nothing);
      return;
    }
    text.octet(QUOTE);
    text.json(bytes, start, end, room);
    text.octet(QUOTE);
  }

  /** A negative number is null. */
  private number(key: Uint8Array, value: number): void {
    this.text.raw(key);
    if (value < 0) this.text.raw(json.nothing);
    else this.text.decimal(value);
  }

  private url(bytes: Uint8Array, start: number, end: number, room: number): void {
    const { text } = this;
    if (end <= start) {
      text.raw(json.nothing);
      return;
    }
    const limit = text.at + room;
    const from = authorityStart(bytes, start, end);
    text.octet(QUOTE);
    text.json(bytes, start, from, room);
    text.json(bytes, from === start ? from : userInfoEnd(bytes, from, end), end, limit - text.at);
    text.octet(QUOTE);
  }

  private combined(record: AccessRecord): void {
    const { text } = this;
    const { bytes } = record;
    this.word(record.client, 0, record.client.length, most.client);
    text.raw(combined.user);
    text.apacheTime(record.doubles);
    text.raw(combined.request);
    if (record.minor < 0) text.octet(DASH);
    else {
      this.word(bytes, record.methodStart, record.methodEnd, most.method);
      text.octet(SP);
      this.location(bytes, record.targetStart, record.targetEnd, most.target);
      text.raw(combined.protocol);
      text.decimal(record.minor);
    }
    text.raw(combined.status);
    if (record.status > 0) text.decimal(record.status);
    else text.octet(DASH);
    text.octet(SP);
    if (record.bytesOut > 0) text.decimal(record.bytesOut);
    else text.octet(DASH);
    text.raw(combined.referer);
    this.location(bytes, record.refererStart, record.refererEnd, most.referer);
    text.raw(combined.agent);
    this.word(bytes, record.agentStart, record.agentEnd, most.agent);
    text.raw(combined.time);
    if (record.totalMicros >= 0) text.decimal(record.totalMicros);
    else text.octet(DASH);
    text.octet(0x0a);
  }

  private word(bytes: Uint8Array, start: number, end: number, room: number): void {
    if (end <= start) this.text.octet(DASH);
    else this.text.hex(bytes, start, end, room);
  }

  private location(bytes: Uint8Array, start: number, end: number, room: number): void {
    if (end <= start) {
      this.text.octet(DASH);
      return;
    }
    const limit = this.text.at + room;
    const from = authorityStart(bytes, start, end);
    this.text.hex(bytes, start, from, room);
    this.text.hex(
      bytes,
      from === start ? from : userInfoEnd(bytes, from, end),
      end,
      limit - this.text.at,
    );
  }
}

/**
 * Where the authority of a URL begins, behind the `//` of `scheme://`; `start` when it has none, as
 * a path, of which `//` and `@` may be part.
 */
function authorityStart(bytes: Uint8Array, start: number, end: number): number {
  for (let i = start; i + 2 < end; i += 1) {
    const c = bytes[i] ?? 0;
    if (c === 0x3a) return bytes[i + 1] === 0x2f && bytes[i + 2] === 0x2f ? i + 3 : start;
    if (c === 0x2f || c === 0x3f || c === 0x23) return start;
  }
  return start;
}

/** Behind the last `@` of the authority at `from`; `from` when there is none. */
function userInfoEnd(bytes: Uint8Array, from: number, end: number): number {
  let found = from;
  for (let i = from; i < end; i += 1) {
    const c = bytes[i] ?? 0;
    if (c === 0x40) found = i + 1;
    else if (c === 0x2f || c === 0x3f || c === 0x23 || c === 0x5c) break;
  }
  return found;
}
