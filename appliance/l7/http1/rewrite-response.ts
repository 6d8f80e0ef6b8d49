/**
 * A response's head as it goes back to the client: RFC 9110 §7.6, RFC 9112 §6 and §9.3.
 *
 * Invariant: as for requests; the framing that is written is the one that the caller uses
 * for the body, and a body that ends with the connection says `Connection: close`.
 */
import { noEdits, viaFault, type Edits } from './edits.js';
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

  /** Throws RangeError with what `viaFault` says. */
  constructor(rules: ResponseRules = { via: null, edits: noEdits }) {
    const fault = rules.via === null ? null : viaFault(rules.via);
    if (fault !== null) throw new RangeError(fault);
    this.via = rules.via === null ? null : octets(rules.via);
    this.edits = rules.edits;
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

/** The way for a body to the client of this request. */
export function passageOf(response: ResponseHead, request: AnsweredRequest): Passage {
  if (response.body === bodyKind.tunnel) return passage.tunnel;
  if (response.body === bodyKind.none || response.body === bodyKind.length) return passage.plain;
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
 * connection; it is overruled where the body needs the end of the connection.
 */
export function writeResponse(
  writer: Writer,
  response: ResponseHead,
  bytes: Uint8Array,
  request: AnsweredRequest,
  plan: ResponsePlan,
  persistent: boolean,
): void {
  writer.all(text.version);
  writer.decimal(response.status);
  writer.octet(SP);
  writer.copy(bytes, response.reasonStart, response.reasonEnd);
  writer.lineEnd();
  copyFields(writer, response, bytes, plan);
  const way = passageOf(response, request);
  const length = response.firstOf(nameId['content-length']);
  if (length >= 0 && response.drop[length] === 0) {
    writer.name(text.contentLength);
    writer.decimal(response.length);
    writer.lineEnd();
  }
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
): void {
  const edited = !plan.edits.empty && !head.interim;
  let run = -1;
  for (let i = 0; i < head.count; i += 1) {
    const goes =
      head.drop[i] !== 0 ||
      head.ids[i] === nameId['content-length'] ||
      (edited && plan.edits.removes(head, bytes, i));
    if (goes) {
      if (run >= 0) writer.copy(bytes, run, head.nameStart[i] ?? 0);
      run = -1;
    } else if (run < 0) run = head.nameStart[i] ?? 0;
  }
  if (run >= 0) writer.copy(bytes, run, head.fieldsEnd);
}
