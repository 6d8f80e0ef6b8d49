/**
 * The way to a member: persistence, choice, queue, connection, and the next member when that fails.
 *
 * Invariant: nothing goes to a member before it is connected, so trying another one is always safe.
 */
import { ToldEndpoints } from '../endpoint.js';
import { proxyPreamble } from '../proxy-preamble.js';
import type { StreamMember, StreamPool } from './runtime.js';
import { Half, State, type StreamSession } from './session.js';
import type { Streams } from './streams.js';

/** Milliseconds between two looks at those who wait for a member: other workers make room, too. */
const QUEUE_TICK = 2;

export class Reaching {
  readonly #streams: Streams;
  readonly #told = new ToldEndpoints();
  #waiting: StreamPool[] = [];

  constructor(streams: Streams) {
    this.#streams = streams;
  }

  /** The member could not be reached. */
  failed(session: StreamSession, code: number): void {
    const streams = this.#streams;
    const { member, pool } = session;
    if (member === null || pool === null) return;
    const micros = this.#micros(session);
    streams.leavePeer(session);
    session.member = null;
    session.tried = member;
    member.end(streams.timers.now, -1, 0, true);
    streams.observer.connected(member, code, micros);
    if (session.attempts > pool.pool.retries) {
      streams.over(session, 'connect-failed', true);
      return;
    }
    streams.observer.retried(member);
    this.choose(session, pool);
  }

  /** The member is there: it gets what waits for it. */
  connected(session: StreamSession): void {
    const streams = this.#streams;
    const { connections, input } = streams;
    const { client, peer, member, pool, service } = session;
    if (member === null || pool === null || service === null) return;
    session.connectMicros = this.#micros(session);
    streams.observer.connected(member, 0, session.connectMicros);
    service.sticky?.learn(session.source, pool, member, streams.timers.now);
    session.state = State.relay;
    const { shelf } = session;
    if (
      !this.#tellProxy(session, pool) ||
      connections.writeBytes(peer, shelf.bytes, 0, shelf.length) < shelf.length
    ) {
      streams.over(session, 'no-memory', true);
      return;
    }
    shelf.clear();
    connections.writeChain(peer, input, client);
    if ((session.halves & Half.clientEnded) !== 0) connections.finish(peer);
    streams.deadlines.set(client, service.service.timeouts.tunnel);
    connections.touch(client);
  }

  /** Those who wait and for whom there is room now go on, in their order. */
  lookAtQueues(): void {
    const pools = this.#waiting;
    this.#waiting = [];
    for (const pool of pools) {
      while (this.#serveFirst(pool));
      if (pool.waiting.length > 0) this.#watch(pool);
    }
  }

  #member(session: StreamSession, pool: StreamPool): StreamMember | null {
    const { now } = this.#streams.timers;
    const sticky = session.service?.sticky ?? null;
    const known =
      sticky === null || session.attempts > 0 ? null : sticky.find(session.source, pool, now);
    return known ?? pool.pick(session.source.hash(), now, session.tried);
  }

  choose(session: StreamSession, pool: StreamPool): void {
    const streams = this.#streams;
    const { client, service } = session;
    // Who waits already goes first.
    const member = pool.waiting.length > 0 ? null : this.#member(session, pool);
    if (member !== null) {
      this.#connect(session, member);
      return;
    }
    const full = pool.waiting.length > 0 || pool.full;
    if (full && service !== null && pool.waiting.push(client)) {
      session.state = State.waiting;
      streams.deadlines.set(client, service.service.timeouts.queue);
      this.#watch(pool);
      return;
    }
    streams.over(session, full ? 'busy' : 'no-member', true);
  }

  #watch(pool: StreamPool): void {
    if (!this.#waiting.includes(pool)) this.#waiting.push(pool);
    this.#streams.timers.setTimer(this.#streams.options.queueTimer, QUEUE_TICK);
  }

  /** Whether somebody left the queue and the next one may be looked at. */
  #serveFirst(pool: StreamPool): boolean {
    const client = pool.waiting.first();
    if (client < 0) return false;
    const session = this.#streams.at(client);
    // Of a pool of HTTP services too, another engine has those it put there.
    if (session === null || session.state !== State.waiting || session.pool !== pool) return false;
    const member = this.#member(session, pool);
    if (member === null) {
      if (pool.full) return false;
      this.#streams.over(session, 'no-member', true);
      return true;
    }
    pool.waiting.remove(client);
    this.#connect(session, member);
    return true;
  }

  #connect(session: StreamSession, member: StreamMember): void {
    const streams = this.#streams;
    const { connections, options, deadlines, timers } = streams;
    const { client, service } = session;
    const peer = connections.connect(member.address, null);
    if (peer < 0 || service === null) {
      // No slot, no descriptor, no port: nothing that the member could help.
      member.end(timers.now, -1, 0, false);
      session.state = State.connecting;
      streams.over(session, 'no-memory', true);
      return;
    }
    const { pool } = session;
    const tls = pool?.tlsTo(member) ?? null;
    if (pool !== null && tls !== null) tls.ends.connect(peer, tls, this.#preamble(session, pool));
    options.claim(peer);
    streams.join(session, peer);
    session.peer = peer;
    session.member = member;
    session.attempts += 1;
    session.state = State.connecting;
    session.beganAt[0] = timers.clock[0] as number;
    deadlines.set(client, service.service.timeouts.connect);
    connections.touch(client);
  }

  #micros(session: StreamSession): number {
    const { clock } = this.#streams.timers;
    return Math.round(((clock[0] as number) - (session.beganAt[0] as number)) * 1000);
  }

  /** Whether the member's PROXY header, if it wants one, found room. */
  #tellProxy(session: StreamSession, pool: StreamPool): boolean {
    // Before TLS it went out already.
    if (pool.pool.tls !== null) return true;
    const first = this.#preamble(session, pool);
    const { connections } = this.#streams;
    return connections.writeBytes(session.peer, first, 0, first.length) === first.length;
  }

  #preamble(session: StreamSession, pool: StreamPool): Uint8Array {
    this.#told.set(session.source, session.destination);
    return proxyPreamble(pool.pool, this.#told);
  }
}
