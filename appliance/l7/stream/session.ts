/**
 * One client's connection and the one to its member, from accept to end. Only state: what is done with
 * it is in opening.ts, reaching.ts and engine.ts, in this order.
 *
 * Invariant: used again after it is over; whoever needs something of it takes it before.
 */
import { Endpoint } from '../endpoint.js';
import type { HelloReader, StreamMember, StreamPool } from './runtime.js';
import type { StreamService } from './service.js';
import { Shelf } from './shelf.js';
import type { StreamEnd } from './observer.js';

export const State = {
  over: 0,
  /** Until the PROXY header is whole, and the ClientHello, or the handshake of TLS that ends here. */
  proxy: 1,
  hello: 2,
  /** Until a member has room, and is connected. */
  waiting: 3,
  connecting: 4,
  relay: 5,
  /** An alert is on its way. */
  ending: 6,
} as const;

/** Halves of the two connections that are over. */
export const Half = {
  clientEnded: 1,
  clientFinished: 2,
  memberEnded: 4,
  memberFinished: 8,
} as const;
export const ALL_HALVES = 15;

export class StreamSession {
  state: number = State.over;
  service: StreamService | null = null;
  /** Number of the route; -1: none yet. */
  route = -1;
  pool: StreamPool | null = null;
  member: StreamMember | null = null;
  /** Who failed last. */
  tried: StreamMember | null = null;
  /** Members that were tried, with the one that serves. */
  attempts = 0;
  /** Slots; -1: none. */
  client = -1;
  peer = -1;
  halves = 0;
  /** Why it ends, while it is ending. */
  reason: StreamEnd = 'complete';
  /** Who the client is, and where it connected to. */
  readonly source = new Endpoint();
  readonly destination = new Endpoint();
  /** The name that it asked for; empty: none. */
  name = '';
  hello: HelloReader | null = null;
  /** What was received before a member was there, if not in buffers. */
  readonly shelf = new Shelf();
  /** Bytes of what is in buffers that the reader has seen. */
  fed = 0;
  /** Whether it counts in the limits. */
  entered = false;
  /** Bytes that were thrown away while it is ending. */
  thrown = 0;
  /** Microseconds until the member was connected; -1: it was not. */
  connectMicros = -1;
  /** When the last attempt began, by the loop's clock: in an array, or each would be a heap object. */
  readonly beganAt = new Float64Array(1);
  /** Milliseconds of the loop's clock, a word: when it was accepted. */
  acceptedAt = 0;

  begin(client: number, service: StreamService, now: number): void {
    this.service = service;
    this.route = -1;
    this.pool = null;
    this.member = null;
    this.tried = null;
    this.attempts = 0;
    this.client = client;
    this.peer = -1;
    this.halves = 0;
    this.reason = 'complete';
    this.name = '';
    this.fed = 0;
    this.entered = false;
    this.thrown = 0;
    this.connectMicros = -1;
    this.acceptedAt = now;
    this.destination.copy(service.destination);
  }

  /** Nothing of a snapshot is kept alive by it. */
  forget(): void {
    this.shelf.clear();
    this.state = State.over;
    this.service = null;
    this.pool = null;
    this.member = null;
    this.tried = null;
    this.client = -1;
    this.peer = -1;
  }
}
