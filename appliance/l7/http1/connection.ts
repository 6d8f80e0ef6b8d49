/**
 * What a head says of its connection: RFC 9112 §9.3 (persistence), RFC 9110 §7.6.1
 * (Connection and the fields that it names), §7.8 (Upgrade), §10.1.1 (Expect), RFC 6455
 * §4.2.1 (WebSocket).
 *
 * Invariant: after these functions `drop` is 1 for every field that ends at this hop.
 * Connection cannot be used to take away Host or the framing of the next message.
 */
import { faults, type Fault } from './faults.js';
import { isWord, type FieldSection } from './fields.js';
import { bodyKind } from './framing.js';
import { method } from './methods.js';
import { findName, hashStep, nameId, sameName } from './names.js';
import { COMMA, HT, nameFold, octets, SLASH, SP, tokenLower } from './octets.js';
import type { RequestHead } from './request-head.js';
import type { ResponseHead } from './response-head.js';

export const upgradeKind = { none: 0, websocket: 1, other: 2 } as const;
export type UpgradeKind = (typeof upgradeKind)[keyof typeof upgradeKind];

const option = { close: 1, keepAlive: 2, upgrade: 4 } as const;

/** Options of all Connection fields together that are looked at. */
const maxOptions = 32;

const websocket = octets('websocket');
const continues = octets('100-continue');

/** Fields that end at this hop whether or not Connection names them. */
const hopByHop = new Uint8Array(256);
for (const name of [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
] as const) {
  hopByHop[nameId[name]] = 1;
}

const isSpace = (c: number | undefined): boolean => c === SP || c === HT;

/** Drops what ends here. Returns the options as bits; -1 malformed, -2 names what it must not. */
function readConnection(head: FieldSection, bytes: Uint8Array): number {
  let bits = 0;
  let options = 0;
  for (let i = 0; i < head.count; i += 1) {
    const id = head.ids[i] ?? 0;
    if (hopByHop[id] === 0) continue;
    head.drop[i] = 1;
    if (id !== nameId.connection) continue;
    const end = head.valueEnd[i] ?? 0;
    let p = head.valueStart[i] ?? 0;
    while (p < end) {
      // Empty elements of a list are allowed (RFC 9110 §5.6.1.2).
      if (bytes[p] === COMMA || isSpace(bytes[p])) {
        p += 1;
        continue;
      }
      const start = p;
      let hash = 0;
      while (p < end && tokenLower[bytes[p] ?? 0] !== 0) {
        hash = hashStep(hash, nameFold[bytes[p] ?? 0] ?? 0);
        p += 1;
      }
      const stop = p;
      while (p < end && isSpace(bytes[p])) p += 1;
      if (stop === start || (p < end && bytes[p] !== COMMA)) return -1;
      options += 1;
      if (options > maxOptions) return -2;
      const known = findName(bytes, start, stop, hash);
      if (known === nameId.close) bits |= option.close;
      else if (known === nameId['keep-alive']) bits |= option.keepAlive;
      else if (known === nameId.upgrade) bits |= option.upgrade;
      else if (isEndToEnd(known)) return -2;
      else dropNamed(head, bytes, start, stop, hash);
    }
  }
  return bits;
}

function isEndToEnd(id: number): boolean {
  return (
    id === nameId.host || id === nameId['content-length'] || id === nameId['transfer-encoding']
  );
}

function dropNamed(
  head: FieldSection,
  bytes: Uint8Array,
  start: number,
  end: number,
  hash: number,
): void {
  for (let i = 0; i < head.count; i += 1) {
    if (head.hashes[i] !== hash) continue;
    const from = head.nameStart[i] ?? 0;
    if (sameName(bytes, from, head.nameEnd[i] ?? 0, bytes, start, end)) head.drop[i] = 1;
  }
}

function connectionFault(bits: number): Fault {
  return bits === -1 ? faults.badConnection : faults.connectionNames;
}

function persists(bits: number, minor: number): boolean {
  if ((bits & option.close) !== 0) return false;
  return minor === 1 || (bits & option.keepAlive) !== 0;
}

export function readRequestConnection(head: RequestHead, bytes: Uint8Array): Fault | null {
  const bits = readConnection(head, bytes);
  if (bits < 0) return connectionFault(bits);
  head.persistent = persists(bits, head.minor);
  // RFC 9110 §10.1.1 and §7.8: of HTTP/1.0, neither field means anything.
  if (head.minor === 0) {
    // What goes on is of HTTP/1.1, where it would mean something again.
    for (let i = 0; i < head.count; i += 1) if (head.ids[i] === nameId.expect) head.drop[i] = 1;
    return null;
  }
  if (head.has(nameId.expect)) {
    const fault = readExpect(head, bytes);
    if (fault !== null) return fault;
  }
  if (!head.has(nameId.upgrade)) return null;
  if (!isProtocolList(head, bytes)) return faults.badUpgrade;
  // Without the option the field was meant for another hop.
  if ((bits & option.upgrade) !== 0) head.upgrade = upgradeOf(head, bytes);
  return null;
}

function readExpect(head: RequestHead, bytes: Uint8Array): Fault | null {
  const index = head.firstOf(nameId.expect);
  const start = head.valueStart[index] ?? 0;
  if (head.hasTwice(nameId.expect) || !isWord(bytes, start, head.valueEnd[index] ?? 0, continues)) {
    return faults.expectation;
  }
  head.expectContinue = head.body !== bodyKind.none;
  return null;
}

/** `token ["/" token]` with commas between; one field of it. */
function isProtocolList(head: RequestHead, bytes: Uint8Array): boolean {
  if (head.hasTwice(nameId.upgrade)) return false;
  const index = head.firstOf(nameId.upgrade);
  const end = head.valueEnd[index] ?? 0;
  let p = head.valueStart[index] ?? 0;
  if (p === end) return false;
  for (; p < end; p += 1) {
    const c = bytes[p] ?? 0;
    if (tokenLower[c] === 0 && c !== SLASH && c !== COMMA && !isSpace(c)) return false;
  }
  return true;
}

function upgradeOf(head: RequestHead, bytes: Uint8Array): UpgradeKind {
  const index = head.firstOf(nameId.upgrade);
  const start = head.valueStart[index] ?? 0;
  if (!isWord(bytes, start, head.valueEnd[index] ?? 0, websocket)) return upgradeKind.other;
  const handshake =
    head.method === method.get &&
    head.body === bodyKind.none &&
    head.has(nameId['sec-websocket-key']) &&
    head.has(nameId['sec-websocket-version']);
  return handshake ? upgradeKind.websocket : upgradeKind.none;
}

export function readResponseConnection(head: ResponseHead, bytes: Uint8Array): Fault | null {
  const bits = readConnection(head, bytes);
  if (bits < 0) return connectionFault(bits);
  head.persistent =
    persists(bits, head.minor) &&
    !head.doubtful &&
    head.body !== bodyKind.untilClose &&
    head.body !== bodyKind.tunnel;
  return null;
}

/**
 * RFC 8470 §4: may be answered although anybody may have sent it again: a safe method (RFC 9110 §9.2.1)
 * without content and without an Upgrade.
 */
export function isRepeatable(head: RequestHead): boolean {
  const safe =
    head.method === method.get || head.method === method.head || head.method === method.options;
  return safe && head.body === bodyKind.none && head.upgrade === upgradeKind.none;
}

/** RFC 9110 §9.2.2: may be sent again by itself when a connection dies before any answer. */
export function isIdempotent(which: number): boolean {
  return (
    which !== method.other &&
    which !== method.post &&
    which !== method.patch &&
    which !== method.connect
  );
}
