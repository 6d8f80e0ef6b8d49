/**
 * A response's head as it goes back to the client: RFC 9110 §7.6, RFC 9112 §6 and §9.3.
 *
 * Invariant: as for requests; the framing that is written is the one that the caller uses
 * for the body, and a body that ends with the connection says `Connection: close`.
 */
import {
  asItIs,
  codingOf,
  contentCoding,
  goesWithCoding,
  isSufficientVary,
  variesByEncoding,
  writeCoding,
  writeWeakened,
} from './coding.js';
import { noEdits, viaFault, type Edits } from './edits.js';
import { latin1 } from './fields.js';
import { bodyKind } from './framing.js';
import { method } from './methods.js';
import { nameId } from './names.js';
import { octets, SP } from './octets.js';
import type { ResponseHead } from './response-head.js';
import type { Writer } from './writer.js';

/** What an answer depends on: what RequestHead says of these. */
export interface AnsweredRequest {
  readonly method: number;
  readonly minor: number;
}

export interface ResponseRules {
  readonly via: string | null;
  readonly edits: Edits;
}

export class ResponsePlan {
  readonly via: Uint8Array | null;
  readonly edits: Edits;
  /** The edits speak of Content-Encoding: then Weir itself codes nothing. */
  readonly setsCoding: boolean;
  /** The edits write a Vary that covers Accept-Encoding. */
  readonly varies: boolean;

  /** Throws RangeError with what `viaFault` says. */
  constructor(rules: ResponseRules = { via: null, edits: noEdits }) {
    const fault = rules.via === null ? null : viaFault(rules.via);
    if (fault !== null) throw new RangeError(fault);
    this.via = rules.via === null ? null : octets(rules.via);
    this.edits = rules.edits;
    const written = latin1(rules.edits.lines, 0, rules.edits.lines.length);
    this.setsCoding = rules.edits.names('content-encoding') || /^content-encoding:/im.test(written);
    this.varies = [...written.matchAll(/^vary:(.*)$/gim)].some(([, value = '']) =>
      variesByEncoding(octets(value.trim()), 0, value.trim().length),
    );
  }
}

/** How the body goes to the client, and whether its connection goes on. */
export const passage = {
  /** No body, or as many bytes as Content-Length says. */
  plain: 0,
  chunked: 1,
  /** Until the connection ends: the client speaks HTTP/1.0. */
  untilClose: 2,
  tunnel: 3,
} as const;
export type Passage = (typeof passage)[keyof typeof passage];

/**
 * The way for a body to the client of this request. `treated` is what coding.ts calls a treatment;
 * `codedLength` the length of a coded body where that is known already, else -1.
 */
export function passageOf(
  response: ResponseHead,
  request: AnsweredRequest,
  treated: number = asItIs,
  codedLength = -1,
): Passage {
  if (response.body === bodyKind.tunnel) return passage.tunnel;
  if (response.body === bodyKind.none) return passage.plain;
  const plain = codingOf(treated) === contentCoding.identity;
  if (plain ? response.body === bodyKind.length : codedLength >= 0) return passage.plain;
  return request.minor === 0 ? passage.untilClose : passage.chunked;
}

const text = {
  version: octets('HTTP/1.1 '),
  via: octets('Via: 1.'),
  contentLength: octets('Content-Length'),
  chunked: octets('Transfer-Encoding: chunked\r\n'),
  close: octets('Connection: close\r\n'),
  keepAlive: octets('Connection: keep-alive\r\n'),
  upgrade: octets('Connection: Upgrade\r\nUpgrade: '),
};

/**
 * Writes the head with its empty line. `persistent` is the decision for the client's
 * connection; it is overruled where the body needs the end of the connection. `treated` and
 * `codedLength` are those of `passageOf`.
 */
export function writeResponse(
  writer: Writer,
  response: ResponseHead,
  bytes: Uint8Array,
  request: AnsweredRequest,
  plan: ResponsePlan,
  persistent: boolean,
  treated: number = asItIs,
  codedLength = -1,
): void {
  writer.all(text.version);
  writer.decimal(response.status);
  writer.octet(SP);
  writer.copy(bytes, response.reasonStart, response.reasonEnd);
  writer.lineEnd();
  copyFields(writer, response, bytes, plan, treated);
  if (treated !== asItIs) writeCodedFields(writer, response, bytes, plan, treated);
  const way = passageOf(response, request, treated, codedLength);
  writeLength(writer, response, treated, codedLength);
  if (way === passage.chunked) writer.all(text.chunked);
  if (!response.interim) writeConnection(writer, response, bytes, request, way, persistent);
  if (plan.via !== null) {
    writer.all(text.via);
    writer.octet(0x30 + response.minor);
    writer.octet(SP);
    writer.all(plan.via);
    writer.lineEnd();
  }
  if (!response.interim) writer.all(plan.edits.lines);
  writer.lineEnd();
}

/** The length of what the client gets; of a coded body only where it is known. */
function writeLength(
  writer: Writer,
  response: ResponseHead,
  treated: number,
  codedLength: number,
): void {
  const coded = codingOf(treated) !== contentCoding.identity;
  const index = response.firstOf(nameId['content-length']);
  if (coded ? codedLength < 0 : index < 0 || response.drop[index] !== 0) return;
  writer.name(text.contentLength);
  writer.decimal(coded ? codedLength : response.length);
  writer.lineEnd();
}

/** What copyFields left out, as it is for a coded body, and what was not there. */
function writeCodedFields(
  writer: Writer,
  head: ResponseHead,
  bytes: Uint8Array,
  plan: ResponsePlan,
  treated: number,
): void {
  let varies = plan.varies;
  for (let i = 0; i < head.count; i += 1) {
    if (head.drop[i] !== 0 || plan.edits.removes(head, bytes, i)) continue;
    if (isSufficientVary(head, bytes, i)) varies = true;
    if (goesWithCoding(head, bytes, i, treated)) writeWeakened(writer, head, bytes, i);
  }
  writeCoding(writer, treated, varies);
}

function writeConnection(
  writer: Writer,
  response: ResponseHead,
  bytes: Uint8Array,
  request: AnsweredRequest,
  way: Passage,
  persistent: boolean,
): void {
  if (way === passage.tunnel && request.method === method.connect) return;
  // RFC 9110 §15.5.22: 426 has to say to what.
  if (way === passage.tunnel || (response.status === 426 && response.has(nameId.upgrade))) {
    const index = response.firstOf(nameId.upgrade);
    writer.all(text.upgrade);
    writer.copy(bytes, response.valueStart[index] ?? 0, response.valueEnd[index] ?? 0);
    writer.lineEnd();
    if (way === passage.tunnel) return;
  }
  if (!persistent || way === passage.untilClose) writer.all(text.close);
  else if (request.minor === 0) writer.all(text.keepAlive);
}

function copyFields(
  writer: Writer,
  head: ResponseHead,
  bytes: Uint8Array,
  plan: ResponsePlan,
  treated: number,
): void {
  const edited = !plan.edits.empty && !head.interim;
  let run = -1;
  for (let i = 0; i < head.count; i += 1) {
    const goes =
      head.drop[i] !== 0 ||
      head.ids[i] === nameId['content-length'] ||
      (treated !== asItIs && goesWithCoding(head, bytes, i, treated)) ||
      (edited && plan.edits.removes(head, bytes, i));
    if (goes) {
      if (run >= 0) writer.copy(bytes, run, head.nameStart[i] ?? 0);
      run = -1;
    } else if (run < 0) run = head.nameStart[i] ?? 0;
  }
  if (run >= 0) writer.copy(bytes, run, head.fieldsEnd);
}
