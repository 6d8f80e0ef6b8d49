/**
 * A request's head as it goes on to a member: RFC 9110 §7.6 (forwarding), RFC 9112 §3.2.2
 * (absolute to origin form), RFC 7239 (Forwarded).
 *
 * Invariant: what is written has one Host, one framing, nothing of the client's hop, and
 * a line end only where this file writes one: everything copied went through the parser's
 * tables.
 */
import { upgradeKind } from './connection.js';
import { editFault, noEdits, viaFault, type Edits } from './edits.js';
import { bodyKind } from './framing.js';
import { method } from './methods.js';
import { firstCertificateField, nameId, type KnownName } from './names.js';
import { BACKSLASH, COMMA, octets, QUOTE, SLASH, SP } from './octets.js';
import type { Peer } from './peer.js';
import type { RequestHead } from './request-head.js';
import type { RequestIds } from './request-id.js';
import { hostEnd, targetForm } from './target.js';
import type { Writer } from './writer.js';

/** What becomes of a field that proxies write one after the other. */
export type Chain = 'append' | 'set' | 'keep' | 'remove';

export interface RequestRules {
  /** X-Forwarded-For; `append` is what most programs behind a proxy expect. */
  readonly forwardedFor: Chain;
  /** X-Forwarded-Proto, -Host and -Port: of the connection that came in here. */
  readonly forwardedOthers: 'set' | 'keep' | 'remove';
  /** Forwarded (RFC 7239). */
  readonly forwarded: Chain;
  /** The name of this proxy in Via, or null to write none. */
  readonly via: string | null;
  /** The fields of certificate-fields.ts that the client sent: RFC 9440 §4 wants them removed. */
  readonly certificate: 'keep' | 'remove';
  /** Of the field that has the request id; null writes none. */
  readonly requestId: { readonly name: string; readonly client: 'keep' | 'replace' } | null;
  /** Protocols that a client may switch to. */
  readonly upgrade: 'none' | 'websocket' | 'any';
  /** Host for requests of HTTP/1.0 that have none, and for all when `host` is set. */
  readonly fallbackHost: string;
  readonly edits: Edits;
}

export const defaultRequestRules: RequestRules = Object.freeze({
  forwardedFor: 'append',
  forwardedOthers: 'set',
  forwarded: 'remove',
  via: null,
  certificate: 'remove',
  requestId: null,
  upgrade: 'websocket',
  fallbackHost: '',
  edits: noEdits,
});

/** What a route changes of one request, besides its fields. */
export interface TargetChange {
  /** Path and query for a target that has them, of octets of targets alone; empty: as it came. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** Host, checked as `hostEnd` does it; null: as it came. Edits of Host stand above. */
  readonly host: Uint8Array | null;
}

const text = {
  version: octets(' HTTP/1.1\r\n'),
  host: octets('Host'),
  forwardedFor: octets('X-Forwarded-For'),
  forwardedProto: octets('X-Forwarded-Proto'),
  forwardedHost: octets('X-Forwarded-Host'),
  forwardedPort: octets('X-Forwarded-Port'),
  forwardedFields: octets('Forwarded: for='),
  proto: octets(';proto='),
  hostParameter: octets(';host="'),
  http: octets('http'),
  https: octets('https'),
  via: octets('Via: 1.'),
  contentLength: octets('Content-Length'),
  chunked: octets('Transfer-Encoding: chunked\r\n'),
  upgrade: octets('Connection: Upgrade\r\nUpgrade: '),
  maxForwards: octets('Max-Forwards'),
  separator: octets(', '),
};

/** What is wrong with the texts of rules, as a sentence, or null. */
export function rulesFault(rules: RequestRules): string | null {
  const host = octets(rules.fallbackHost);
  if (host.length > 0 && hostEnd(host, 0, host.length) < 0) {
    return `"${rules.fallbackHost}" is not a host with or without a port.`;
  }
  return (
    (rules.via === null ? null : viaFault(rules.via)) ??
    (rules.requestId === null ? null : editFault({ action: 'remove', name: rules.requestId.name }))
  );
}

/** Rules in the form in which they are carried out; made once for a service. */
export class RequestPlan {
  /** 1: fields of this number are written anew or left out. */
  readonly replaced = new Uint8Array(256);
  readonly via: Uint8Array | null;
  readonly idName: Uint8Array | null;
  readonly fallbackHost: Uint8Array;
  readonly setsHost: boolean;

  /** Throws RangeError when a text of the rules cannot be written into a head. */
  constructor(readonly rules: RequestRules = defaultRequestRules) {
    const fault = rulesFault(rules);
    if (fault !== null) throw new RangeError(fault);
    const replace = (...names: KnownName[]): void => {
      for (const name of names) this.replaced[nameId[name]] = 1;
    };
    replace('host', 'content-length');
    if (rules.forwardedFor !== 'keep') replace('x-forwarded-for');
    if (rules.forwardedOthers !== 'keep') {
      replace('x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port');
    }
    if (rules.forwarded === 'set' || rules.forwarded === 'remove') replace('forwarded');
    if (rules.certificate !== 'keep') this.replaced.fill(1, firstCertificateField);
    this.via = rules.via === null ? null : octets(rules.via);
    this.idName = rules.requestId === null ? null : octets(rules.requestId.name);
    this.fallbackHost = octets(rules.fallbackHost);
    this.setsHost = rules.edits.names('host');
  }
}

/** Whether this request goes on with its Upgrade: then a 101 may follow. */
export function forwardsUpgrade(head: RequestHead, plan: RequestPlan): boolean {
  if (head.upgrade === upgradeKind.none || plan.rules.upgrade === 'none') return false;
  return plan.rules.upgrade === 'any' || head.upgrade === upgradeKind.websocket;
}

/** Writes the head with its empty line. Whether it fitted, and its end, is in the writer. */
export function writeRequest(
  writer: Writer,
  head: RequestHead,
  bytes: Uint8Array,
  plan: RequestPlan,
  peer: Peer,
  ids: RequestIds | null,
  change: TargetChange | null = null,
): void {
  writer.copy(bytes, head.methodStart, head.methodEnd);
  writer.octet(SP);
  const hasPath = head.form === targetForm.origin || head.form === targetForm.absolute;
  if (change !== null && change.end > change.start && hasPath) {
    writer.copy(change.bytes, change.start, change.end);
  } else writeTarget(writer, head, bytes);
  writer.all(text.version);
  if (!plan.setsHost) writeHost(writer, head, bytes, plan, change);
  const keepsId = copyFields(writer, head, bytes, plan);
  if (head.has(nameId['content-length'])) {
    writer.name(text.contentLength);
    writer.decimal(head.length);
    writer.lineEnd();
  }
  if (head.body === bodyKind.chunked) writer.all(text.chunked);
  if (head.maxForwards > 0) {
    writer.name(text.maxForwards);
    writer.decimal(head.maxForwards - 1);
    writer.lineEnd();
  }
  if (forwardsUpgrade(head, plan)) {
    const index = head.firstOf(nameId.upgrade);
    writer.all(text.upgrade);
    writer.copy(bytes, head.valueStart[index] ?? 0, head.valueEnd[index] ?? 0);
    writer.lineEnd();
  }
  writeOrigin(writer, head, bytes, plan, peer);
  if (peer.certificate !== null) writer.all(peer.certificate);
  if (plan.via !== null) {
    writer.all(text.via);
    writer.octet(0x30 + head.minor);
    writer.octet(SP);
    writer.all(plan.via);
    writer.lineEnd();
  }
  if (plan.idName !== null && ids !== null && !keepsId) {
    writer.name(plan.idName);
    ids.write(writer);
    writer.lineEnd();
  }
  writer.all(plan.rules.edits.lines);
  writer.lineEnd();
}

function writeTarget(writer: Writer, head: RequestHead, bytes: Uint8Array): void {
  if (head.form !== targetForm.absolute) {
    writer.copy(bytes, head.targetStart, head.targetEnd);
    return;
  }
  // RFC 9112 §3.2.4: OPTIONS for a whole server becomes "*".
  if (head.pathStart === head.pathEnd && head.method === method.options) writer.octet(0x2a);
  else if (bytes[head.pathStart] !== SLASH || head.pathStart === head.pathEnd) writer.octet(SLASH);
  writer.copy(bytes, head.pathStart, head.pathEnd);
}

function writeHost(
  writer: Writer,
  head: RequestHead,
  bytes: Uint8Array,
  plan: RequestPlan,
  change: TargetChange | null,
): void {
  writer.name(text.host);
  if (change !== null && change.host !== null) writer.all(change.host);
  else if (head.authorityEnd > head.hostStart)
    writer.copy(bytes, head.hostStart, head.authorityEnd);
  else writer.all(plan.fallbackHost);
  writer.lineEnd();
}

/** Copies what stays, neighbours in one piece. Returns whether the client's request id is among it. */
function copyFields(
  writer: Writer,
  head: RequestHead,
  bytes: Uint8Array,
  plan: RequestPlan,
): boolean {
  const edits = plan.rules.edits;
  const edited = !edits.empty;
  let idAt = -1;
  if (plan.idName !== null) idAt = head.find(bytes, plan.idName);
  const keepsId =
    idAt >= 0 && plan.rules.requestId?.client === 'keep' && isPlainId(head, bytes, idAt);
  let run = -1;
  for (let i = 0; i < head.count; i += 1) {
    const id = head.ids[i] ?? 0;
    const goes =
      head.drop[i] !== 0 ||
      (head.maxForwards > 0 && id === nameId['max-forwards']) ||
      plan.replaced[id] !== 0 ||
      (edited && edits.removes(head, bytes, i)) ||
      (idAt >= 0 &&
        !(keepsId && i === idAt) &&
        plan.idName !== null &&
        head.find(bytes, plan.idName, i) === i) ||
      (id === nameId.forwarded &&
        !isBalanced(bytes, head.valueStart[i] ?? 0, head.valueEnd[i] ?? 0));
    if (goes) {
      if (run >= 0) writer.copy(bytes, run, head.nameStart[i] ?? 0);
      run = -1;
    } else if (run < 0) run = head.nameStart[i] ?? 0;
  }
  if (run >= 0) writer.copy(bytes, run, head.fieldsEnd);
  return keepsId;
}

/** Ids from outside end up in logs: only short ones of visible ASCII are kept. */
function isPlainId(head: RequestHead, bytes: Uint8Array, index: number): boolean {
  const start = head.valueStart[index] ?? 0;
  const end = head.valueEnd[index] ?? 0;
  if (start === end || end - start > 128) return false;
  for (let i = start; i < end; i += 1) {
    const c = bytes[i] ?? 0;
    if (c <= SP || c > 0x7e || c === COMMA) return false;
  }
  return true;
}

/** An open quoted string would swallow the element that follows it in the joined list. */
function isBalanced(bytes: Uint8Array, start: number, end: number): boolean {
  let quoted = false;
  for (let i = start; i < end; i += 1) {
    if (bytes[i] === QUOTE) quoted = !quoted;
    else if (bytes[i] === BACKSLASH && quoted) i += 1;
  }
  return !quoted;
}

function writeOrigin(
  writer: Writer,
  head: RequestHead,
  bytes: Uint8Array,
  plan: RequestPlan,
  peer: Peer,
): void {
  const { rules } = plan;
  const scheme = peer.scheme === 'https' ? text.https : text.http;
  const hasHost = head.authorityEnd > head.hostStart;
  if (rules.forwardedFor === 'append' || rules.forwardedFor === 'set') {
    writer.name(text.forwardedFor);
    if (rules.forwardedFor === 'append' && head.has(nameId['x-forwarded-for'])) {
      for (let i = 0; i < head.count; i += 1) {
        // Connection may name it: then it was for this hop only.
        if (head.ids[i] !== nameId['x-forwarded-for'] || head.drop[i] !== 0) continue;
        if (head.valueStart[i] === head.valueEnd[i]) continue;
        writer.copy(bytes, head.valueStart[i] ?? 0, head.valueEnd[i] ?? 0);
        writer.all(text.separator);
      }
    }
    writer.all(peer.address);
    writer.lineEnd();
  }
  if (rules.forwardedOthers === 'set') {
    writer.name(text.forwardedProto);
    writer.all(scheme);
    writer.lineEnd();
    if (hasHost) {
      writer.name(text.forwardedHost);
      writer.copy(bytes, head.hostStart, head.authorityEnd);
      writer.lineEnd();
    }
    writer.name(text.forwardedPort);
    writer.decimal(peer.port);
    writer.lineEnd();
  }
  if (rules.forwarded === 'append' || rules.forwarded === 'set') {
    // A field line of its own after the others is an element more (RFC 9110 §5.3).
    writer.all(text.forwardedFields);
    writer.all(peer.node);
    writer.all(text.proto);
    writer.all(scheme);
    if (hasHost) {
      writer.all(text.hostParameter);
      writer.copy(bytes, head.hostStart, head.authorityEnd);
      writer.octet(QUOTE);
    }
    writer.lineEnd();
  }
}
