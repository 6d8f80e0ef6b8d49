/**
 * What Weir itself writes to a client of HTTP/1: whole answers of its own, and what it adds to and
 * makes of those of members.
 *
 * Invariant: whether the connection goes on is settled in `exchange.persistent` before a head is
 * written, and the head says the same.
 */
import { asItIs, withoutCoding } from '../http1/coding.js';
import type { Fault } from '../http1/faults.js';
import { method } from '../http1/methods.js';
import { octets } from '../http1/octets.js';
import { refusalOf } from '../http1/refusal.js';
import type { RequestHead } from '../http1/request-head.js';
import type { ResponseHead } from '../http1/response-head.js';
import { writeTooMany } from '../limits/answers.js';
import { writeServerTiming } from '../telemetry/server-timing.js';
import type { Answer } from './answers.js';
import type { Core } from './core.js';
import type { Exchange } from './exchange.js';
import type { HttpRoute } from './runtime.js';

const serverTiming = octets('Server-Timing');

/** Sends a copy. Whether there was memory for all of it. */
function send(core: Core, slot: number, bytes: Uint8Array): boolean {
  return core.connections.writeBytes(slot, bytes, 0, bytes.length) === bytes.length;
}

/** The exchange is answered here; whether its connection may go on after it. */
function begin(exchange: Exchange, status: number, goesOn: boolean): void {
  exchange.status = status;
  exchange.answered = true;
  exchange.persistent = exchange.persistent && goesOn;
}

/** One of answers.ts. Whether there was memory for it. */
export function sendOwn(
  core: Core,
  slot: number,
  exchange: Exchange,
  answer: Answer,
  goesOn: boolean,
): boolean {
  // The ready-made heads say nothing of keep-alive, which HTTP/1.0 would have to hear.
  begin(exchange, answer.status, goesOn && exchange.minor === 1);
  const head = exchange.persistent ? answer.keep : answer.close;
  if (!send(core, slot, head)) return false;
  return exchange.method === method.head || send(core, slot, answer.body);
}

/** 429. Whether there was memory for it. */
export function sendTooMany(
  core: Core,
  slot: number,
  exchange: Exchange,
  wait: number,
  goesOn: boolean,
): boolean {
  begin(exchange, 429, goesOn);
  const id = core.beginHead();
  if (id < 0) return false;
  const isHead = exchange.method === method.head;
  writeTooMany(core.writer, wait, exchange, isHead, exchange.persistent);
  return core.endHead(slot, id);
}

/** A redirect or a fixed answer of a route. */
export function sendOfRoute(
  core: Core,
  slot: number,
  exchange: Exchange,
  route: HttpRoute,
  head: RequestHead,
  bytes: Uint8Array,
  goesOn: boolean,
): 'sent' | 'too-long' | 'no-memory' {
  begin(exchange, route.status, goesOn);
  const id = core.beginHead();
  if (id < 0) return 'no-memory';
  route.writeAnswer(core.writer, head, bytes, exchange.persistent);
  // A redirect may be longer than any head.
  if (!core.endHead(slot, id)) return 'too-long';
  return send(core, slot, route.bodyFor(head)) ? 'sent' : 'no-memory';
}

/** To what is no request. Where memory lacks, the end of the connection has to say it. */
export function sendRefusal(core: Core, slot: number, fault: Fault, withBody: boolean): void {
  const refusal = refusalOf(fault);
  if (send(core, slot, refusal.head) && withBody) send(core, slot, refusal.body);
}

/** What becomes of a member's answer (http1/coding.ts): coded for this client, or not. */
export function treatmentOf(core: Core, exchange: Exchange, head: ResponseHead): number {
  const compression = exchange.service?.compression;
  const plan = exchange.route?.response;
  if (compression === null || compression === undefined || plan === undefined) return asItIs;
  const treated = compression.treat(exchange.accepts, head, core.pool.bytes, plan);
  return core.compressors.available ? treated : withoutCoding(treated);
}

/** Adds the fields of this exchange alone to the head that was just written. */
export function addFields(core: Core, exchange: Exchange): void {
  const { writer, timers } = core;
  const timing = exchange.service?.service.serverTiming === true;
  if (exchange.setCookie === null && !timing) return;
  writer.reopen();
  if (exchange.setCookie !== null) writer.all(exchange.setCookie);
  if (timing) {
    const now = timers.clock[0] as number;
    const all = ((now - exchange.startedAt) * 1000) | 0;
    const member = ((now - exchange.sentAt) * 1000) | 0;
    writer.name(serverTiming);
    writeServerTiming(writer, all - member, member);
    writer.lineEnd();
  }
  writer.lineEnd();
}
