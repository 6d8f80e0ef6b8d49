/** Forwards messages given as text, as a worker does, for tests of what goes on. */
import { progress } from '../../appliance/l7/http1/faults.js';
import { peerOf } from '../../appliance/l7/http1/peer.js';
import { RequestHead } from '../../appliance/l7/http1/request-head.js';
import { RequestIds } from '../../appliance/l7/http1/request-id.js';
import { ResponseHead } from '../../appliance/l7/http1/response-head.js';
import {
  defaultRequestRules,
  RequestPlan,
  writeRequest,
  type RequestRules,
} from '../../appliance/l7/http1/rewrite-request.js';
import {
  ResponsePlan,
  writeResponse,
  type ResponseRules,
} from '../../appliance/l7/http1/rewrite-response.js';
import { Writer } from '../../appliance/l7/http1/writer.js';
import { defaultLimits } from '../../appliance/l7/http1/limits.js';

export const quietRules: RequestRules = {
  ...defaultRequestRules,
  forwardedFor: 'keep',
  forwardedOthers: 'keep',
  forwarded: 'keep',
};

/** The arena of a worker in small: the head lies in the middle, the output goes behind it. */
const arena = new Uint8Array(128 * 1024);
const headAt = 1000;
const outAt = 64 * 1024;

function place(text: string): number {
  arena.fill(0x58);
  return headAt + Buffer.from(text, 'latin1').copy(arena, headAt);
}

const writtenBy = (writer: Writer): string =>
  writer.end < 0
    ? 'does not fit'
    : Buffer.from(arena.subarray(outAt, writer.end)).toString('latin1');

export function parsed(text: string): RequestHead {
  const head = new RequestHead({ ...defaultLimits, connect: 'forward' });
  head.reset(headAt);
  if (head.parse(arena, place(text)) !== progress.done) {
    throw new Error(`not accepted: ${head.fault?.code ?? 'unfinished'}: ${JSON.stringify(text)}`);
  }
  return head;
}

/** A request's head as it goes on; `room` bytes are there for it. */
export function forwarded(
  text: string,
  rules: Partial<RequestRules> = {},
  client = '192.0.2.1',
  room = 60_000,
): string {
  const head = parsed(text);
  const plan = new RequestPlan({ ...quietRules, ...rules });
  const writer = new Writer();
  writer.reset(arena, outAt, outAt + room);
  const ids = new RequestIds('{unit}-{worker}-{counter}', Uint32Array.of(1, 2, 3, 4), {
    unit: 'weir-a',
    worker: 3,
  });
  writeRequest(writer, head, arena, plan, peerOf(client, 'https', 443), ids);
  return writtenBy(writer);
}

/** A response's head as it goes back to the client of a request. */
export function returned(
  text: string,
  requestText = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  rules?: ResponseRules,
  persistent = true,
): string {
  const request = parsed(requestText);
  const head = new ResponseHead();
  head.reset(headAt, request.method, request.upgrade);
  if (head.parse(arena, place(text)) !== progress.done) {
    throw new Error(`not accepted: ${head.fault?.code ?? 'unfinished'}: ${JSON.stringify(text)}`);
  }
  const writer = new Writer();
  writer.reset(arena, outAt, arena.length);
  writeResponse(writer, head, arena, request, new ResponsePlan(rules), persistent);
  return writtenBy(writer);
}
