/** Heads as a worker that compresses sees and writes them, for tests of what becomes of them. */
import { CompressionPlan } from '../../appliance/l7/compress/plan.js';
import { contentCoding, type ContentCoding } from '../../appliance/l7/http1/coding.js';
import type { FieldEdit } from '../../appliance/l7/http1/edits.js';
import { Edits } from '../../appliance/l7/http1/edits.js';
import { progress } from '../../appliance/l7/http1/faults.js';
import type { FieldSection } from '../../appliance/l7/http1/fields.js';
import { RequestHead } from '../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../appliance/l7/http1/response-head.js';
import { ResponsePlan, writeResponse } from '../../appliance/l7/http1/rewrite-response.js';
import { Writer } from '../../appliance/l7/http1/writer.js';
import type { L7Compression } from '../../appliance/l7/tables.js';

export const usualRules: L7Compression = {
  codings: ['zstd', 'br', 'gzip'],
  minimumSize: 1000,
  types: ['text/*', 'application/json', 'application/*+json', 'image/svg+xml'],
};

const all: readonly ContentCoding[] = [contentCoding.gzip, contentCoding.br, contentCoding.zstd];

function read(head: FieldSection, bytes: Uint8Array, text: string): void {
  if (head.parse(bytes, Buffer.from(bytes.buffer).write(text, 'latin1')) !== progress.done) {
    throw new Error(`not accepted: ${head.fault?.code ?? 'unfinished'}: ${JSON.stringify(text)}`);
  }
}

export interface CodedCase {
  /** Lines of the request after the first; `Host` is added. */
  readonly request?: readonly string[];
  readonly requestLine?: string;
  readonly status?: string;
  /** Lines of the response after the first. */
  readonly response?: readonly string[];
  readonly rules?: Partial<L7Compression>;
  readonly edits?: readonly FieldEdit[];
  readonly codedLength?: number;
  /** Codings of the runtime; all when left out. */
  readonly available?: readonly ContentCoding[];
}

export interface CodedResult {
  readonly accepted: number;
  readonly treated: number;
  /** Lines of the head that the client gets, after the first. */
  readonly lines: readonly string[];
}

/** What a client gets whose request and whose response are given as text. */
export function coded(of: CodedCase): CodedResult {
  const plan = new CompressionPlan({ ...usualRules, ...of.rules }, of.available ?? all);
  const requestBytes = new Uint8Array(8192);
  const request = new RequestHead();
  request.reset(0);
  const line = of.requestLine ?? 'GET / HTTP/1.1';
  read(request, requestBytes, [line, 'Host: a', ...(of.request ?? []), '', ''].join('\r\n'));
  const accepted = plan.accepted(request, requestBytes);

  const bytes = new Uint8Array(8192);
  const response = new ResponseHead();
  response.reset(0, request.method, request.upgrade);
  const fields = of.response ?? ['Content-Type: text/html', 'Content-Length: 5000'];
  read(response, bytes, [`HTTP/1.1 ${of.status ?? '200 OK'}`, ...fields, '', ''].join('\r\n'));
  const back = new ResponsePlan({ via: null, edits: new Edits(of.edits ?? []) });
  const treated = plan.treat(accepted, response, bytes, back);
  const writer = new Writer();
  writer.reset(bytes, 4096, bytes.length);
  writeResponse(writer, response, bytes, request, back, true, treated, of.codedLength);
  const head = Buffer.from(bytes.subarray(4096, writer.end)).toString('latin1');
  return { accepted, treated, lines: head.slice(0, -4).split('\r\n').slice(1) };
}

/** The name of the coding that a client gets which sends this Accept-Encoding (null: none at all). */
export function chosen(
  accept: string | readonly string[] | null,
  rules: Partial<L7Compression> = {},
  available: readonly ContentCoding[] = all,
): string {
  const values = accept === null ? [] : typeof accept === 'string' ? [accept] : accept;
  const request = values.map((value) => `Accept-Encoding: ${value}`);
  const { lines } = coded({ request, rules, available });
  const line = lines.find((one) => one.startsWith('Content-Encoding: '));
  return line === undefined ? 'identity' : line.slice('Content-Encoding: '.length);
}
