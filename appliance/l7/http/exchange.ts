/**
 * One request and its answer: where it goes, how often that was tried, how far it is. The client's side
 * (client-connection.ts) and the member's (member-connection.ts) move the bytes; this decides. A protocol
 * with several exchanges on a connection needs another client side and the same exchanges.
 *
 * Invariants:
 * - A request is sent again only when its client has seen nothing of an answer, all of it can be
 *   produced again, and either nothing of it had been sent or its method is idempotent (RFC 9110 §9.2.2).
 * - An answer that breaks off is never made to look whole: the client's connection is reset.
 * - Every member that was picked hears `end()` once.
 */
import { isIdempotent } from '../http1/connection.js';
import { faults, type Fault } from '../http1/faults.js';
import { bodyKind } from '../http1/framing.js';
import { method } from '../http1/methods.js';
import { octets } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { ResponseHead } from '../http1/response-head.js';
import { forwardsUpgrade, writeRequest } from '../http1/rewrite-request.js';
import { upgradeKind, type UpgradeKind } from '../http1/connection.js';
import { answer, answers, type Answer } from './answers.js';
import type { ClientConnection } from './client-connection.js';
import type { Core } from './core.js';
import type { Downstream } from './downstream.js';
import { nobody } from './ends.js';
import { proxyPreamble } from '../proxy-preamble.js';
import type { MemberConnection } from './member-connection.js';
import type { EndReason } from './observer.js';
import { MirrorClient } from './mirror.js';
import { Retained } from './retained.js';
import type { Waiter, WaitingList } from './waiting.js';
import type { HttpMember, HttpPool, HttpRoute, HttpService } from './runtime.js';

/** Allow for a request that was to end here (RFC 9110 §7.6.2). */
const options = answer(200, 'OK', '', ['Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS']);
const traceEnds = answer(405, 'Method Not Allowed', 'TRACE is not answered here.', [
  'Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS',
]);

const earlyData = octets('Early-Data: 1\r\n');

export class Exchange implements Waiter {
  client: Downstream | null = null;
  service: HttpService | null = null;
  route: HttpRoute | null = null;
  pool: HttpPool | null = null;
  member: HttpMember | null = null;
  upstream: MemberConnection | null = null;

  // What the answer depends on, in the words of RequestHead.
  method: number = method.other;
  minor = 1;
  upgrade: UpgradeKind = upgradeKind.none;
  /** Whether the client lets its connection go on. */
  persistent = true;
  /** The client said that it is the last. */
  clientCloses = false;
  /** Codings that the client accepts, as CompressionPlan says it. */
  accepts = 0;

  /** The request in `core.retained.bytes`, or -1: its head, and its body if that was there at once. */
  kept = -1;
  keptEnd = 0;
  /** Where the body begins there. */
  keptBody = 0;

  attempts = 0;
  /** The member that failed last. */
  tried: HttpMember | null = null;
  /** A field line for the answer that tells the client its member, or null. */
  setCookie: Uint8Array | null = null;
  /** Only a new connection will do: one that waited had been closed by the member. */
  fresh = false;
  /** Bytes of the body were sent that are not kept. */
  bodyGone = false;
  /** The client got a head of a final answer. */
  answered = false;
  status = 0;
  /** Milliseconds with fractions: when the head was read, when it went to the member. */
  startedAt = 0.1;
  sentAt = 0.1;
  /** To the head of the answer, whole microseconds; below 0 while there is none. */
  micros = -1;

  // In the queue of its pool (waiting.ts).
  before: Waiter | null = null;
  behind: Waiter | null = null;
  list: WaitingList | null = null;

  constructor(private readonly core: Core) {}

  /** The head was read from `client`, whose next bytes are the body's. */
  begin(
    client: ClientConnection,
    service: HttpService,
    head: RequestHead,
    bytes: Uint8Array,
  ): void {
    this.#reset(client, service, head);
    // Whatever becomes of it is logged.
    const logged = service.service.accessLog !== null;
    if (logged) this.#keep(client, head, bytes);
    const { core } = this;
    const proof = core.challenges.empty ? null : core.challenges.find(head, bytes);
    if (proof !== null) {
      this.answer(proof);
      return;
    }
    const index = service.find(head, bytes, client.address);
    const endsHere = head.maxForwards === 0;
    if (index < 0) {
      if (endsHere) this.#endHere();
      else if (index === -2) client.refuse(service.fault ?? faults.badTarget);
      else this.answer(answers.noRoute);
      return;
    }
    const route = service.routes[index] as HttpRoute;
    this.route = route;
    this.accepts = service.compression === null ? 0 : service.compression.accepted(head, bytes);
    const wait = service.limit(index, head, bytes, client.address, core.timers.now);
    if (wait > 0) {
      client.answerTooMany(wait);
      return;
    }
    if (endsHere) {
      this.#endHere();
      return;
    }
    if (forwardsUpgrade(head, route.request)) this.upgrade = head.upgrade;
    const pool = route.poolFor(client.hash);
    if (pool === null) {
      client.answerRoute(route, head, bytes);
      return;
    }
    this.pool = pool;
    if (!logged) this.#keep(client, head, bytes);
    const copyTo = core.copies < core.mostCopies ? route.mirrorFor(client.hash) : null;
    this.#dispatch(head, bytes);
    // After the original was sent, which still has its kept copy, unless it is over already.
    if (copyTo !== null && this.client === client && client.requestDone) {
      const copy = core.takeExchange();
      const unheard = new MirrorClient(
        core,
        client.address,
        client.hash,
        client.peer,
        copyTo.pool.proxyProtocol === 'off' ? nobody : client.ends,
        client.early,
      );
      if (!copy.beginCopy(this, copyTo, unheard)) core.giveExchange(copy);
    }
  }

  /** TRACE or OPTIONS was for whoever is so many hops away, which is Weir (RFC 9110 §7.6.2). */
  #endHere(): void {
    this.answer(this.method === method.options ? options : traceEnds);
  }

  /**
   * A copy of another exchange's request, all of which is kept, for `pool`. Whether there was memory
   * for it.
   */
  beginCopy(of: Exchange, pool: HttpPool, client: MirrorClient): boolean {
    const { core } = this;
    const { service, route } = of;
    if (service === null || route === null || of.kept < 0) return false;
    const kept = core.retained.keep(core.retained.bytes, of.kept, of.keptEnd);
    if (kept < 0) return false;
    const head = service.heads.request;
    head.reset(kept);
    const end = kept + (of.keptEnd - of.kept);
    head.parse(core.retained.bytes, end);
    this.#reset(client, service, head);
    client.attach(this);
    this.route = route;
    this.pool = pool;
    this.kept = kept;
    this.keptBody = kept + (of.keptBody - of.kept);
    this.keptEnd = end;
    this.#dispatch(head, core.retained.bytes);
    return true;
  }

  #reset(client: Downstream, service: HttpService, head: RequestHead): void {
    this.client = client;
    this.service = service;
    this.route = null;
    this.pool = null;
    this.member = null;
    this.upstream = null;
    this.method = head.method;
    this.minor = head.minor;
    this.upgrade = upgradeKind.none;
    this.clientCloses = !head.persistent;
    this.persistent = head.persistent && !this.core.draining;
    this.kept = -1;
    this.attempts = 0;
    this.tried = null;
    this.setCookie = null;
    this.fresh = false;
    this.bodyGone = false;
    this.answered = false;
    this.status = 0;
    this.startedAt = this.core.timers.clock[0] as number;
    this.sentAt = this.startedAt;
    this.micros = -1;
  }

  /** Copies what another try would need. A small body that is there at once belongs to it. */
  #keep(client: ClientConnection, head: RequestHead, bytes: Uint8Array): void {
    const { inbound, reader } = client;
    const headLength = head.end - head.start;
    let end = head.end;
    if (
      head.body === bodyKind.length &&
      head.length <= inbound.end - inbound.at &&
      headLength + head.length <= Retained.most
    ) {
      end = head.end + head.length;
      inbound.at = end;
      reader.done = true;
      reader.total = head.length;
    }
    const { retained } = this.core;
    const kept = retained.keep(bytes, head.start, end);
    this.kept = kept;
    this.keptBody = kept + headLength;
    this.keptEnd = kept + (end - head.start);
  }

  /** Tries members until one takes the request; `head` lies in `bytes`, which may be the kept copy. */
  #dispatch(head: RequestHead, bytes: Uint8Array): void {
    const { core, client, pool, route, service } = this;
    if (client === null || pool === null || route === null || service === null) return;
    if (this.kept < 0) {
      this.answer(answers.overloaded);
      return;
    }
    // Nobody gets ahead of those that wait already.
    const newcomer = this.list === null && this.attempts === 0;
    if (newcomer && pool.waiting.length > 0 && this.#wait(pool)) return;
    for (;;) {
      this.attempts += 1;
      const { now } = core.timers;
      const { tried } = this;
      const member = pool.choose(head, bytes, client.address, client.hash, now, tried);
      if (member === null) {
        this.attempts -= 1;
        if (!pool.full || !this.#wait(pool)) {
          const busy = pool.full ? answers.busy : answers.noMember;
          this.answer(this.tried === null ? busy : answers.badGateway);
        }
        return;
      }
      if (this.list !== null) {
        this.list.remove(this);
        client.leftQueue();
      }
      // One that the member takes for another client's is of no use.
      const own = this.fresh || pool.pool.proxyProtocol !== 'off';
      let slot = own ? -1 : core.idle.pop(member);
      const reused = slot >= 0;
      if (!reused) {
        slot = core.connections.connect(member.address, null);
        const tls = slot < 0 ? null : pool.tlsTo(member);
        if (tls !== null) tls.ends.connect(slot, tls, proxyPreamble(pool.pool, client.ends));
      }
      if (slot < 0) {
        // No slot, descriptor or address is left here, which says nothing of the member.
        core.observer.connected(member, -slot);
        member.end(core.timers.now, -1, 0, false);
        this.answer(answers.overloaded);
        return;
      }
      const upstream = core.member(slot);
      if (reused) core.observer.reused(member);
      this.member = member;
      this.setCookie = pool.setCookie;
      upstream.begin(this, member, pool.pool, reused);
      upstream.writer.begin(slot, head.body === bodyKind.chunked);
      this.upstream = upstream;
      this.sentAt = core.timers.clock[0] as number;
      this.#send(slot, head, bytes, client, route, service);
      return;
    }
  }

  /** Queues for a member with room. Whether there was a place. */
  #wait(pool: HttpPool): boolean {
    if (this.list !== null) return true;
    if (this.client instanceof MirrorClient || !pool.waiting.push(this)) return false;
    this.core.waits(pool);
    this.client?.queued();
    return true;
  }

  /** A member may have room now. Whether the exchange no longer waits. */
  retryWaiting(): boolean {
    this.#again();
    return this.list === null;
  }

  #send(
    slot: number,
    head: RequestHead,
    bytes: Uint8Array,
    client: Downstream,
    route: HttpRoute,
    service: HttpService,
  ): void {
    const { core } = this;
    const id = core.beginHead();
    if (id < 0) {
      this.answer(answers.overloaded);
      return;
    }
    this.pool?.hide(head, bytes);
    const change = route.rewrite === null ? null : core.change;
    if (change !== null) route.rewrite?.fill(change, head, bytes);
    const pool = this.pool?.pool;
    if (pool !== undefined && pool.tls === null && pool.proxyProtocol !== 'off') {
      core.writer.all(proxyPreamble(pool, client.ends));
    }
    writeRequest(core.writer, head, bytes, route.request, client.peer, service.ids, change);
    if (client.early) {
      // RFC 8470 §5.1. One of the client's own stays; two mean what one does.
      core.writer.reopen();
      core.writer.all(earlyData);
      core.writer.lineEnd();
    }
    if (!core.endHead(slot, id)) {
      client.refuse(faults.headTooLarge);
      return;
    }
    const { bytes: kept } = core.retained;
    const length = this.keptEnd - this.keptBody;
    if (length > 0) {
      if (core.connections.writeBytes(slot, kept, this.keptBody, length) < length) {
        this.answer(answers.overloaded);
      }
    }
  }

  /**
   * The member's connection broke before the answer was whole.
   *
   * @param how `unsent`: nothing of the request went out. `stale`: the connection had waited, and the
   * member had closed it already, which says nothing of the member.
   */
  failed(reason: EndReason, how: 'unsent' | 'stale' | 'sent', instead: Answer): void {
    const { core, client, pool, member } = this;
    this.#leaveMember(true, how !== 'stale' && reason !== 'no-memory');
    if (client === null || member === null || pool === null) return;
    if (this.answered) {
      client.abort(reason);
      return;
    }
    if (how === 'stale') {
      this.fresh = true;
      this.attempts -= 1;
    } else this.tried = member;
    const safe =
      how === 'unsent' || (isIdempotent(this.method) && this.upgrade === upgradeKind.none);
    if (safe && !this.bodyGone && this.attempts <= pool.pool.retries) {
      core.observer.retried(member);
      this.#again();
      return;
    }
    this.answer(instead, reason);
  }

  /** Goes to another member with what was kept. */
  #again(): void {
    const { core, service, client } = this;
    if (service === null || client === null) return;
    const head = service.heads.request;
    head.reset(this.kept);
    head.parse(core.retained.bytes, this.keptEnd);
    this.#dispatch(head, core.retained.bytes);
    client.pump();
  }

  /** An answer of Weir's own. */
  answer(one: Answer, reason: EndReason = 'complete'): void {
    this.#leaveMember(true, false);
    this.client?.answerWith(one, reason);
  }

  /** The head of a final answer came. */
  heard(head: ResponseHead, bytes: Uint8Array): void {
    const { core, pool, member } = this;
    if (pool !== null && member !== null) pool.answered(head, bytes, core.timers.now, member);
    this.answered = true;
    this.status = head.status;
    this.micros = (((core.timers.clock[0] as number) - this.sentAt) * 1000) | 0;
  }

  /** The member's answer is whole; what the client gets may take longer. */
  complete(): void {
    this.#leaveMember(false, false);
    const { client } = this;
    if (client?.bodyEnded() === true) client.exchangeEnded('complete');
  }

  /** Both ends of a tunnel have ended; what is on its way to the member still goes out. */
  tunnelOver(): void {
    const { upstream, member, core } = this;
    this.upstream = null;
    if (upstream === null || member === null) return;
    member.end(core.timers.now, this.micros, upstream.untold, false);
    upstream.flush();
  }

  /** The client is gone, or gave up. */
  cancel(): void {
    this.#leaveMember(true, false);
  }

  /** The object is free again; what was kept is forgotten. */
  release(reason: EndReason): void {
    const { core } = this;
    core.observer.finished(this, reason);
    if (this.kept >= 0) core.retained.release(this.kept);
    this.kept = -1;
    this.client = null;
    this.service = null;
    this.route = null;
    this.pool = null;
    this.member = null;
    this.tried = null;
    core.giveExchange(this);
  }

  /** Parts from the member's connection, which is closed or waits for the next request. */
  #leaveMember(close: boolean, failed: boolean): void {
    const { upstream, member, core } = this;
    this.list?.remove(this);
    if (upstream === null || member === null) return;
    this.upstream = null;
    const bytes = upstream.untold;
    member.end(core.timers.now, this.micros, bytes, failed || this.status >= 500);
    // A request that was not sent whole ends the connection, too.
    if (close || this.client?.requestDone !== true) upstream.close();
    else upstream.rest();
    if (this.pool !== null && this.pool.waiting.length > 0) core.waits(this.pool);
  }

  /** For refusals: the fault that the client hears of. */
  refusedBy(fault: Fault): void {
    this.status = fault.status;
  }
}
