/**
 * What the HTTP engine tells (http/observer.ts), counted and logged: the rows of each service, route
 * and member, and a line for each request that is in the sample.
 *
 * Invariants:
 * - Nothing is allocated for a request.
 * - Copies of requests (mirrors) count for the member that got them and for nobody else.
 */
import type { Core } from '../http/core.js';
import type { Downstream } from '../http/downstream.js';
import type { Exchange } from '../http/exchange.js';
import { MirrorClient } from '../http/mirror.js';
import type { EndReason, HttpObserver } from '../http/observer.js';
import type { HttpMember, HttpRoute, HttpService } from '../http/runtime.js';
import { upgradeKind } from '../http1/connection.js';
import { faults, progress, type Fault } from '../http1/faults.js';
import { RequestHead } from '../http1/request-head.js';
import { AccessLine } from './access-line.js';
import { AccessRecord, type Ending } from './access-record.js';
import { counter, type Counter } from './counter-layout.js';
import { LiveTap } from './live-tap.js';
import type { LogRing } from './log-ring.js';
import { noRow, rowName } from './row-registry.js';
import { Sampler } from './sampler.js';
import { wholeMicros, type WorkerCounters } from './worker-counters.js';

interface RouteView {
  readonly row: number;
  readonly name: Uint8Array;
}

interface LogView {
  readonly target: number;
  readonly sampler: Sampler;
  readonly line: AccessLine;
}

interface ServiceView {
  readonly row: number;
  readonly name: Uint8Array;
  readonly routes: ReadonlyMap<HttpRoute, RouteView>;
  readonly log: LogView | null;
  /** Reads kept requests again; null until that is needed. */
  head: RequestHead | null;
}

interface MemberView {
  readonly row: number;
  readonly key: Uint8Array;
}

const text = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value));

/** Between two looks at the time of day: milliseconds. */
const clockEvery = 1000;

export class HttpTelemetry implements HttpObserver {
  private readonly counters: WorkerCounters;
  private readonly ring: LogRing | null;
  private readonly seed: number;
  private readonly services = new WeakMap<HttpService, ServiceView>();
  private readonly members = new WeakMap<HttpMember, MemberView>();
  private readonly lines = { json: new AccessLine('json'), combined: new AccessLine('combined') };
  private readonly record = new AccessRecord();
  private readonly tap: LiveTap;
  private core: Core | null = null;
  /** What to add to the loop's clock to get the time of day, and when that was looked up. */
  private readonly offset = Float64Array.of(0, Number.NEGATIVE_INFINITY);

  /** Without a ring nothing is logged. `seed` makes samples of workers different. */
  constructor(counters: WorkerCounters, ring: LogRing | null, seed: number) {
    this.counters = counters;
    this.ring = ring;
    this.seed = seed;
    this.tap = new LiveTap(ring, seed);
  }

  /** Before the first connection: where clocks and kept requests are. */
  attach(core: Core): void {
    this.core = core;
  }

  /** A service of a new snapshot. `target` is the number of its access log; 0: none. */
  adopt(service: HttpService, rows: ReadonlyMap<string, number>, target: number): void {
    const { name, accessLog } = service.service;
    const log =
      accessLog === null || target === 0
        ? null
        : {
            target,
            sampler: new Sampler(accessLog.sample, this.seed),
            line: this.lines[accessLog.format],
          };
    const routes = new Map<HttpRoute, RouteView>();
    for (const route of service.routes) {
      const row = rows.get(rowName.route(name, route.route.name)) ?? noRow;
      routes.set(route, { row, name: text(route.route.name) });
    }
    const row = rows.get(rowName.service(name)) ?? noRow;
    this.services.set(service, { row, name: text(name), routes, log, head: null });
  }

  adoptMember(member: HttpMember, rows: ReadonlyMap<string, number>): void {
    const row = rows.get(rowName.member(member.id)) ?? noRow;
    this.members.set(member, { row, key: text(member.key) });
  }

  accepted(service: HttpService): void {
    this.counters.opened(this.rowOf(service));
  }

  closed(service: HttpService): void {
    this.counters.closed(this.rowOf(service));
  }

  refused(service: HttpService, fault: Fault): void {
    const row = this.rowOf(service);
    const slow = fault === faults.timeout;
    this.counters.add(row, slow ? counter.refusedTooSlow : counter.refusedBadRequest, 1);
    this.counters.answered(row, fault.status);
  }

  connected(member: HttpMember, errno: number): void {
    const row = this.rowOfMember(member);
    this.counters.add(row, errno === 0 ? counter.connectsOk : counter.connectsFailed, 1);
    if (errno === 0) this.counters.add(row, counter.opened, 1);
  }

  reused(member: HttpMember): void {
    this.counters.add(this.rowOfMember(member), counter.reused, 1);
  }

  retried(member: HttpMember): void {
    const row = this.rowOfMember(member);
    this.counters.add(row, counter.retries, 1);
    this.counters.add(row, counter.memberFailures, 1);
  }

  finished(exchange: Exchange, reason: EndReason): void {
    const { service, client } = exchange;
    const { core } = this;
    if (service === null || client === null || core === null) return;
    this.countMember(exchange, client, reason);
    if (client instanceof MirrorClient) return;
    const view = this.services.get(service);
    if (view === undefined) return;
    const now = core.timers.clock[0] ?? 0;
    const micros = wholeMicros(now - exchange.startedAt);
    const why = endingOf(exchange, reason, micros);
    this.countService(view.row, exchange, client, why, micros);
    const route = exchange.route === null ? undefined : view.routes.get(exchange.route);
    if (route !== undefined) this.countService(route.row, exchange, client, why, micros);
    const { log } = view;
    const logged = log !== null && log.sampler.next();
    const weight = this.tap.weight(now | 0);
    if (!logged && weight === 0) return;
    view.head ??= new RequestHead(service.heads.limits);
    this.fill(view, view.head, route, exchange, client, why, core);
    if (logged) this.ring?.write(log.target, log.line.bytes, 0, log.line.write(this.record));
    if (weight > 0) this.tap.write(this.record, this.lines.json, weight);
  }

  private rowOf(service: HttpService): number {
    return this.services.get(service)?.row ?? noRow;
  }

  private rowOfMember(member: HttpMember): number {
    return this.members.get(member)?.row ?? noRow;
  }

  private countMember(exchange: Exchange, client: Downstream, reason: EndReason): void {
    const member = exchange.member;
    if (member === null) return;
    const row = this.rowOfMember(member);
    const heard = exchange.micros >= 0;
    const status = heard ? exchange.status : 0;
    this.counters.exchange(
      row,
      status,
      client.requestBytes,
      contentOut(exchange, client),
      exchange.micros,
    );
    if (counterOf[reason] === counter.memberFailures) {
      this.counters.add(row, counter.memberFailures, 1);
    }
  }

  private countService(
    row: number,
    exchange: Exchange,
    client: Downstream,
    why: Ending,
    micros: number,
  ): void {
    const { counters } = this;
    const tunnel = exchange.upgrade !== upgradeKind.none && exchange.status < 300;
    const measured = why === 'complete' && !tunnel ? micros : -1;
    // refused() has counted that status already.
    const status = why === 'bad-request' ? 0 : exchange.status;
    counters.exchange(row, status, client.requestBytes, contentOut(exchange, client), measured);
    if (tunnel && exchange.status > 0) counters.add(row, counter.upgrades, 1);
    if (exchange.attempts > 1) counters.add(row, counter.retries, exchange.attempts - 1);
    const which = counterOf[why];
    if (which !== undefined) counters.add(row, which, 1);
  }

  private fill(
    view: ServiceView,
    head: RequestHead,
    route: RouteView | undefined,
    exchange: Exchange,
    client: Downstream,
    why: Ending,
    core: Core,
  ): void {
    const { record, offset } = this;
    record.reset();
    if (exchange.kept >= 0) {
      const { bytes } = core.retained;
      head.reset(exchange.kept);
      if (head.parse(bytes, exchange.keptEnd) === progress.done) {
        record.takeHead(head, bytes);
      }
    }
    const now = core.timers.clock[0] ?? 0;
    if (now - (offset[1] ?? 0) > clockEvery) {
      offset[0] = Date.now() - now;
      offset[1] = now;
    }
    record.time = exchange.startedAt + (offset[0] ?? 0);
    record.service = view.name;
    if (route !== undefined) record.route = route.name;
    const member = exchange.member === null ? undefined : this.members.get(exchange.member);
    if (member !== undefined) {
      record.member = member.key;
      record.queueMicros = wholeMicros(exchange.sentAt - exchange.startedAt);
      if (exchange.micros >= 0) record.headMicros = record.queueMicros + exchange.micros;
    }
    record.client = client.peer.address;
    record.status = exchange.status;
    record.retries = exchange.attempts > 1 ? exchange.attempts - 1 : 0;
    record.bytesIn = client.requestBytes;
    record.bytesOut = contentOut(exchange, client);
    record.totalMicros = wholeMicros(now - exchange.startedAt);
    record.ended = why;
  }
}

/** Of a member's answer; those of Weir's own are not counted, and do not pass the writer. */
function contentOut(exchange: Exchange, client: Downstream): number {
  return exchange.micros >= 0 ? client.writer.total : 0;
}

/** The engine answers some refusals like any request; here they get their own words. */
function endingOf(exchange: Exchange, reason: EndReason, micros: number): Ending {
  if (reason !== 'complete' || exchange.member !== null) return reason;
  const { pool, route, status } = exchange;
  if (route === null || route.route.action.kind !== 'pools') return reason;
  if (pool === null) return status === 429 ? 'rate-limit' : reason;
  if (status !== 503) return reason;
  if (!pool.full) return 'no-member';
  // The clock stands still in a turn of the loop: who waited is answered in a later one.
  return micros > 0 ? 'queue-timeout' : 'queue-full';
}

/** What is counted besides for the service and the route of a request that ended so. */
const counterOf: Readonly<Partial<Record<Ending, Counter>>> = {
  'client-gone': counter.clientAborts,
  'client-too-slow': counter.refusedTooSlow,
  'member-failed': counter.memberFailures,
  'member-cut': counter.memberFailures,
  'member-timeout': counter.memberFailures,
  'bad-response': counter.memberFailures,
  'no-member': counter.refusedNoMember,
  'queue-full': counter.refusedQueueFull,
  'queue-timeout': counter.refusedQueueTimeout,
  'rate-limit': counter.refusedRate,
};
