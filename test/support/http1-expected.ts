/**
 * What must come out on the other side for bytes that go in on one, told by the codec alone: the heads
 * as they are rewritten, bodies without their framing, and how the stream ends. The engine is compared
 * with it byte by byte; the codec's own verdicts are those of the corpus (corpus.test.ts).
 */
import { ChunkDecoder, chunkStep } from '../../appliance/l7/http1/chunked.js';
import type { UpgradeKind } from '../../appliance/l7/http1/connection.js';
import { progress, type Fault } from '../../appliance/l7/http1/faults.js';
import type { FieldSection } from '../../appliance/l7/http1/fields.js';
import { bodyKind } from '../../appliance/l7/http1/framing.js';
import type { Limits } from '../../appliance/l7/http1/limits.js';
import type { Peer } from '../../appliance/l7/http1/peer.js';
import { RequestHead } from '../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../appliance/l7/http1/response-head.js';
import {
  forwardsUpgrade,
  writeRequest,
  type RequestPlan,
} from '../../appliance/l7/http1/rewrite-request.js';
import { writeResponse, type ResponsePlan } from '../../appliance/l7/http1/rewrite-response.js';
import { Writer } from '../../appliance/l7/http1/writer.js';

export interface Message {
  readonly head: string;
  readonly body: string;
  /** Lines of trailers that go on. */
  readonly trailers: string;
}

export interface ExpectedRequest extends Message {
  readonly method: number;
  readonly minor: number;
  readonly upgrade: UpgradeKind;
  /** Whether the client lets its connection go on. */
  readonly persistent: boolean;
}

/** How a stream ends: everything was whole, it breaks off, or something is refused. */
export type Ending = 'whole' | 'in-head' | 'in-body' | { readonly fault: Fault; readonly in: Part };
type Part = 'head' | 'body';

const latin = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes.subarray(start, end)).toString('latin1');

const out = new Uint8Array(64 * 1024);

function written(write: (writer: Writer) => void): string {
  const writer = new Writer();
  writer.reset(out, 0, out.length);
  write(writer);
  if (writer.end < 0) throw new Error('the head does not fit');
  return latin(out, 0, writer.end);
}

function trailerLines(section: FieldSection, bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < section.count; i += 1) {
    if (section.drop[i] === 0) text += latin(bytes, section.nameStart[i] ?? 0, section.lineEnd(i));
  }
  return text;
}

interface Body {
  readonly body: string;
  readonly trailers: string;
  readonly end: number;
  readonly ending: 'whole' | 'more' | Fault;
}

function readBody(
  bytes: Uint8Array,
  at: number,
  head: RequestHead | ResponseHead,
  limits: Limits,
): Body {
  switch (head.body) {
    case bodyKind.length: {
      const end = Math.min(bytes.length, at + head.length);
      const ending = end - at < head.length ? 'more' : 'whole';
      return { body: latin(bytes, at, end), trailers: '', end, ending };
    }
    case bodyKind.chunked: {
      const decoder = new ChunkDecoder(limits);
      decoder.reset(at);
      let body = '';
      for (;;) {
        const step = decoder.next(bytes, bytes.length);
        if (step === chunkStep.data) {
          body += latin(bytes, decoder.dataStart, decoder.dataEnd);
          continue;
        }
        const { at: end } = decoder;
        if (step === chunkStep.more) return { body, trailers: '', end, ending: 'more' };
        if (step === chunkStep.done) {
          return { body, trailers: trailerLines(decoder.trailers, bytes), end, ending: 'whole' };
        }
        if (decoder.fault === null) throw new Error('refused without a fault');
        return { body, trailers: '', end, ending: decoder.fault };
      }
    }
    case bodyKind.untilClose:
    case bodyKind.tunnel:
      return {
        body: latin(bytes, at, bytes.length),
        trailers: '',
        end: bytes.length,
        ending: 'whole',
      };
    default:
      return { body: '', trailers: '', end: at, ending: 'whole' };
  }
}

export interface ExpectedRequests {
  /** Those that are whole. */
  readonly requests: readonly ExpectedRequest[];
  readonly ending: Ending;
  /** Whether another request may follow on the connection. */
  readonly goesOn: boolean;
}

/** What of a client's bytes reaches members. */
export function requestsIn(
  bytes: Uint8Array,
  limits: Limits,
  plan: RequestPlan,
  peer: Peer,
): ExpectedRequests {
  const requests: ExpectedRequest[] = [];
  let at = 0;
  while (at < bytes.length) {
    const head = new RequestHead(limits);
    head.reset(at);
    const step = head.parse(bytes, bytes.length);
    if (step === progress.more) return { requests, ending: 'in-head', goesOn: false };
    if (step === progress.refused) {
      if (head.fault === null) throw new Error('refused without a fault');
      return { requests, ending: { fault: head.fault, in: 'head' }, goesOn: false };
    }
    const { body, trailers, end, ending } = readBody(bytes, head.end, head, limits);
    if (ending === 'more') return { requests, ending: 'in-body', goesOn: false };
    if (ending !== 'whole') {
      return { requests, ending: { fault: ending, in: 'body' }, goesOn: false };
    }
    requests.push({
      head: written((writer) => {
        writeRequest(writer, head, bytes, plan, peer, null);
      }),
      body,
      trailers,
      method: head.method,
      minor: head.minor,
      upgrade: forwardsUpgrade(head, plan) ? head.upgrade : 0,
      persistent: head.persistent,
    });
    at = end;
    if (!head.persistent) return { requests, ending: 'whole', goesOn: false };
  }
  return { requests, ending: 'whole', goesOn: true };
}

export interface ExpectedResponses {
  /** Interim ones first. */
  readonly responses: readonly Message[];
  readonly ending: Ending;
  /** The member's bytes end with the answer, and its connection may be used again. */
  readonly reusable: boolean;
  /** Nothing says where the body ends but the end of the connection. */
  readonly untilClose: boolean;
  readonly tunnel: boolean;
}

/** What of a member's bytes reaches the client of `asked`. */
export function responsesIn(
  bytes: Uint8Array,
  asked: { readonly method: number; readonly minor: number; readonly upgrade: UpgradeKind },
  limits: Limits,
  plan: ResponsePlan,
): ExpectedResponses {
  const responses: Message[] = [];
  let at = 0;
  for (;;) {
    const head = new ResponseHead(limits);
    head.reset(at, asked.method, asked.upgrade);
    const step = head.parse(bytes, bytes.length);
    const none = { responses, reusable: false, untilClose: false, tunnel: false };
    if (step === progress.more) return { ...none, ending: 'in-head' };
    if (step === progress.refused) {
      if (head.fault === null) throw new Error('refused without a fault');
      return { ...none, ending: { fault: head.fault, in: 'head' } };
    }
    const { body, trailers, end, ending } = readBody(bytes, head.end, head, limits);
    const text = written((writer) => {
      writeResponse(writer, head, bytes, asked, plan, true);
    });
    responses.push({ head: text, body, trailers });
    if (head.interim) {
      at = head.end;
      continue;
    }
    const untilClose = head.body === bodyKind.untilClose;
    const tunnel = head.body === bodyKind.tunnel;
    const reusable = head.persistent && end === bytes.length && ending === 'whole';
    const how: Ending =
      ending === 'whole' ? 'whole' : ending === 'more' ? 'in-body' : { fault: ending, in: 'body' };
    return { responses, ending: how, reusable, untilClose, tunnel };
  }
}

/** Reads canonical messages, as the engine writes them: strict, and on its own. */
export class PlainReader {
  #text = '';

  push(piece: string): void {
    this.#text += piece;
  }

  get rest(): string {
    return this.#text;
  }

  /**
   * The next whole message, or null. `bodyless` says of a head that nothing follows it whatever
   * it says; without a framing a body has no end, and only `rest` tells it.
   */
  next(bodyless: (head: string) => boolean): Message | null {
    const end = this.#text.indexOf('\r\n\r\n');
    if (end < 0) return null;
    const head = this.#text.slice(0, end + 4);
    if (/(^|[^\r])\n|\r(?!\n)/.test(head)) throw new Error(`a bare line end: ${head}`);
    const rest = this.#text.slice(end + 4);
    const lengths = [...head.matchAll(/^content-length: *(.*)\r$/gim)].map(([, value]) => value);
    const codings = [...head.matchAll(/^transfer-encoding: *(.*)\r$/gim)];
    if (lengths.length + codings.length > 1) throw new Error(`two framings: ${head}`);
    if (bodyless(head)) return this.#take(rest, { head, body: '', trailers: '' });
    if (codings.length === 1) return this.#chunks(head, rest);
    const length = Number(lengths[0] ?? 0);
    if (rest.length < length) return null;
    const body = rest.slice(0, length);
    return this.#take(rest.slice(length), { head, body, trailers: '' });
  }

  #take(rest: string, message: Message): Message {
    this.#text = rest;
    return message;
  }

  #chunks(head: string, text: string): Message | null {
    let body = '';
    let rest = text;
    for (;;) {
      const line = /^([0-9a-f]+)\r\n/.exec(rest);
      if (line === null) {
        if (rest.includes('\r\n')) throw new Error(`no chunk: ${rest.slice(0, 40)}`);
        return null;
      }
      const size = Number.parseInt(line[1] ?? '', 16);
      rest = rest.slice(line[0].length);
      if (size === 0) break;
      if (rest.length < size + 2) return null;
      if (rest.slice(size, size + 2) !== '\r\n') throw new Error('a chunk ends otherwise');
      body += rest.slice(0, size);
      rest = rest.slice(size + 2);
    }
    const trailers = /^((?:[^\r\n]+\r\n)*)\r\n/.exec(rest);
    if (trailers === null) return null;
    const message = { head, body, trailers: trailers[1] ?? '' };
    return this.#take(rest.slice(trailers[0].length), message);
  }
}
