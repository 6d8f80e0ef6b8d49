/**
 * What the parts of the HTTP engine share: the worker's connections, memory, deadlines, and the
 * objects of each slot, which are made once and used again by whoever has the slot next.
 */
import { Compressors } from '../compress/compressor.js';
import { Writer } from '../http1/writer.js';
import { RouteChange } from '../routing/rewrite.js';
import { type BufferPool, Owner } from '../ring/buffer-pool.js';
import { Chains } from '../ring/chains.js';
import type { Connections } from '../ring/connections.js';
import { ChallengeAnswers } from './challenge-answers.js';
import { ClientConnection } from './client-connection.js';
import { Deadlines, type DeadlineTimers } from './deadlines.js';
import { Exchange } from './exchange.js';
import { IdleConnections } from './idle.js';
import { Inbound } from './inbound.js';
import { MemberConnection } from './member-connection.js';
import { PeerCache } from './peer-cache.js';
import { Retained } from './retained.js';
import { noObserver, type HttpObserver } from './observer.js';
import type { HttpMember, HttpPool } from './runtime.js';

/** Who has a slot. */
export const Role = { none: 0, client: 1, member: 2 } as const;

/** Buffers that one connection may fill before its peer takes them. */
export const WINDOW = 16;

/** Answers that are compressed at a time; those beyond it go as they are. */
const MOST_COMPRESSORS = 512;

/** Milliseconds between two looks at exchanges that wait for a member. */
const QUEUE_TICK = 2;

export class Core {
  readonly connections: Connections;
  readonly pool: BufferPool;
  readonly timers: DeadlineTimers;
  readonly deadlines: Deadlines;
  readonly idle: IdleConnections;
  readonly retained: Retained;
  readonly writer = new Writer();
  /** Room for what a route makes of a target. */
  readonly change = new RouteChange();
  readonly peers = new PeerCache();
  readonly challenges = new ChallengeAnswers();
  readonly compressors = new Compressors(MOST_COMPRESSORS);
  /** The owner of buffers that heads are written into. */
  readonly headOwner: number;
  readonly observer: HttpObserver;
  readonly role: Uint8Array;
  /** No connection is used for another request. */
  draining = false;
  /** Clients that are connected. */
  clients = 0;
  /** Exchanges under way. */
  exchanges = 0;
  /** Copies of requests among them. */
  copies = 0;
  /** So many copies at a time: a mirror that hangs takes no slots from clients. */
  readonly mostCopies: number;

  readonly #queue: Chains;
  readonly #clients: (ClientConnection | undefined)[] = [];
  readonly #members: (MemberConnection | undefined)[] = [];
  readonly #inbounds: (Inbound | undefined)[] = [];
  readonly #spare: Exchange[] = [];
  #waiting: HttpPool[] = [];
  readonly #queueTimer: number;

  /** `queueTimer`: a timer of its own, or -1 where no pool has a queue. */
  constructor(
    connections: Connections,
    timers: DeadlineTimers,
    queueTimer: number,
    observer?: HttpObserver,
  ) {
    const slots = connections.slots.count;
    this.mostCopies = Math.max(1, slots >> 3);
    this.connections = connections;
    this.pool = connections.pool;
    this.timers = timers;
    this.deadlines = new Deadlines(timers, slots);
    this.idle = new IdleConnections(slots);
    this.retained = new Retained(slots);
    this.headOwner = this.pool.owner('http head');
    this.#queue = new Chains(this.pool, slots, this.pool.owner('http input'));
    this.role = new Uint8Array(slots);
    this.observer = observer ?? noObserver;
    this.#queueTimer = queueTimer;
  }

  /** The client of a slot, whoever that is now. */
  client(slot: number): ClientConnection {
    return (this.#clients[slot] ??= new ClientConnection(this, slot, this.inbound(slot)));
  }

  member(slot: number): MemberConnection {
    return (this.#members[slot] ??= new MemberConnection(this, slot, this.inbound(slot)));
  }

  inbound(slot: number): Inbound {
    return (this.#inbounds[slot] ??= new Inbound(slot, this.pool, this.#queue));
  }

  /** Exchanges wait for a member of this pool: they are looked at when the turn's events are over. */
  waits(pool: HttpPool): void {
    if (!this.#waiting.includes(pool)) this.#waiting.push(pool);
    if (this.#queueTimer >= 0) this.timers.setTimer(this.#queueTimer, QUEUE_TICK);
  }

  /** Time to see who may go on: members may have got room by what other workers finished. */
  lookAtQueues(): void {
    const pools = this.#waiting;
    this.#waiting = [];
    for (const pool of pools) {
      while (pool.waiting.first instanceof Exchange && pool.waiting.first.retryWaiting());
      if (pool.waiting.length > 0) this.waits(pool);
    }
  }

  takeExchange(): Exchange {
    this.exchanges += 1;
    return this.#spare.pop() ?? new Exchange(this);
  }

  giveExchange(exchange: Exchange): void {
    this.exchanges -= 1;
    this.#spare.push(exchange);
  }

  /** A buffer that the writer writes into, or -1. */
  beginHead(): number {
    const id = this.pool.take(this.headOwner);
    if (id < 0) return -1;
    const { size, bytes } = this.pool;
    this.writer.reset(bytes, id * size, (id + 1) * size);
    return id;
  }

  /** Sends what was written into that buffer. Whether it fitted; if not, nothing is sent. */
  endHead(slot: number, id: number): boolean {
    const { end } = this.writer;
    if (end < 0) {
      this.pool.release(id, this.headOwner);
      return false;
    }
    this.pool.length[id] = end - id * this.pool.size;
    this.connections.write(slot, id, this.headOwner);
    return true;
  }

  /** Closes the connections to a member that wait for a request. */
  closeIdle(member: HttpMember): void {
    for (;;) {
      const slot = this.idle.pop(member);
      if (slot < 0) return;
      this.member(slot).close();
    }
  }

  /** A receive buffer that nobody wants. */
  drop(id: number): void {
    this.pool.release(id, Owner.handler);
  }

  close(): void {
    this.retained.close();
  }
}
