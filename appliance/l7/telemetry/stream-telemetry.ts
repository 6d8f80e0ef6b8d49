/**
 * What the stream engine tells (stream/observer.ts), counted and logged. A connection is what a request
 * is in HTTP: a line of the log, and one of `requests`; the durations are those until a member was
 * connected, since how long a connection lasts says nothing of anybody.
 *
 * Invariant: nothing is allocated for a connection, unless it is logged.
 */
import { addressText } from '../http1/peer.js';
import { octets } from '../http1/octets.js';
import type { StreamEngine } from '../stream/engine.js';
import type { StreamEnd, StreamObserver } from '../stream/observer.js';
import type { StreamMember } from '../stream/runtime.js';
import type { StreamService } from '../stream/service.js';
import type { StreamSession } from '../stream/session.js';
import { AccessLine } from './access-line.js';
import { AccessRecord } from './access-record.js';
import { counter, type Counter } from './counter-layout.js';
import { LiveTap } from './live-tap.js';
import type { LogRing } from './log-ring.js';
import { noRow, rowName } from './row-registry.js';
import { Sampler } from './sampler.js';
import type { WorkerCounters } from './worker-counters.js';

interface ServiceView {
  readonly row: number;
  readonly name: Uint8Array;
  readonly routes: readonly { readonly row: number; readonly name: Uint8Array }[];
  readonly target: number;
  readonly sampler: Sampler | null;
  readonly format: 'json' | 'combined';
}

interface MemberView {
  readonly row: number;
  readonly key: Uint8Array;
}

const text = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value));
const mostMicros = 2_147_483_647;

/** What is counted besides for the service and the route of a connection that ended so. */
const counterOf: Readonly<Partial<Record<StreamEnd, Counter>>> = {
  'bad-proxy-header': counter.refusedBadRequest,
  'bad-hello': counter.refusedBadRequest,
  'too-slow': counter.refusedTooSlow,
  limit: counter.refusedConnections,
  'no-member': counter.refusedNoMember,
  busy: counter.refusedQueueFull,
  'connect-failed': counter.memberFailures,
  'client-gone': counter.clientAborts,
  'client-reset': counter.clientAborts,
  'member-reset': counter.memberFailures,
};

export class StreamTelemetry implements StreamObserver {
  private readonly services = new WeakMap<StreamService, ServiceView>();
  private readonly members = new WeakMap<StreamMember, MemberView>();
  private readonly lines = { json: new AccessLine('json'), combined: new AccessLine('combined') };
  private readonly record = new AccessRecord();
  private readonly tap: LiveTap;
  private engine: Pick<StreamEngine, 'fromClient' | 'toClient'> | null = null;

  /** As HttpTelemetry. `now`: the loop's clock, the word that sessions were accepted by. */
  constructor(
    private readonly counters: WorkerCounters,
    private readonly ring: LogRing | null,
    private readonly seed: number,
    private readonly now: () => number,
  ) {
    this.tap = new LiveTap(ring, seed);
  }

  /** Before the first connection: who knows the bytes of a session. */
  attach(engine: Pick<StreamEngine, 'fromClient' | 'toClient'>): void {
    this.engine = engine;
  }

  /** A service of a new snapshot. `target` is the number of its access log; 0: none. */
  adopt(service: StreamService, rows: ReadonlyMap<string, number>, target: number): void {
    const { name, accessLog, routes } = service.service;
    this.services.set(service, {
      row: rows.get(rowName.service(name)) ?? noRow,
      name: text(name),
      routes: routes.map((route) => ({
        row: rows.get(rowName.route(name, route.name)) ?? noRow,
        name: text(route.name),
      })),
      target,
      sampler: accessLog === null || target === 0 ? null : new Sampler(accessLog.sample, this.seed),
      format: accessLog?.format ?? 'json',
    });
  }

  adoptMember(member: StreamMember, rows: ReadonlyMap<string, number>): void {
    const row = rows.get(rowName.member(member.id)) ?? noRow;
    this.members.set(member, { row, key: text(member.key) });
  }

  accepted(service: StreamService): void {
    const row = this.services.get(service)?.row ?? noRow;
    this.counters.opened(row);
    this.counters.begun(row);
  }

  connected(member: StreamMember, errno: number, micros: number): void {
    const row = this.rowOf(member);
    if (errno !== 0) {
      this.counters.add(row, counter.connectsFailed, 1);
      return;
    }
    this.counters.add(row, counter.connectsOk, 1);
    this.counters.opened(row);
    this.counters.begun(row);
    this.counters.record(row, micros);
  }

  retried(member: StreamMember): void {
    const row = this.rowOf(member);
    this.counters.add(row, counter.retries, 1);
    this.counters.add(row, counter.memberFailures, 1);
  }

  moved(session: StreamSession, fromClient: number, toClient: number): void {
    const { service, member, route } = session;
    const view = service === null ? undefined : this.services.get(service);
    if (view === undefined) return;
    this.bytes(view.row, fromClient, toClient);
    const way = view.routes[route];
    if (way !== undefined) this.bytes(way.row, fromClient, toClient);
    if (member !== null) this.bytes(this.rowOf(member), fromClient, toClient);
  }

  finished(session: StreamSession, reason: StreamEnd): void {
    const { service, member, connectMicros, route, attempts } = session;
    const view = service === null ? undefined : this.services.get(service);
    if (view === undefined) return;
    const { counters } = this;
    const which = counterOf[reason];
    const way = view.routes[route];
    if (way !== undefined) {
      // Which route it is was not known when it came.
      counters.add(way.row, counter.opened, 1);
      counters.begun(way.row);
      this.count(way.row, connectMicros, attempts, which);
    }
    counters.closed(view.row);
    this.count(view.row, connectMicros, attempts, which);
    if (member !== null && connectMicros >= 0) {
      const row = this.rowOf(member);
      counters.closed(row);
      counters.finished(row, 0, 0, 0, -1);
      if (reason === 'member-reset') counters.add(row, counter.memberFailures, 1);
    }
    const logged = view.sampler !== null && view.sampler.next();
    const weight = this.tap.weight(this.now());
    if (!logged && weight === 0) return;
    if (!this.fill(view, session, reason)) return;
    const line = this.lines[view.format];
    if (logged) this.ring?.write(view.target, line.bytes, 0, line.write(this.record));
    if (weight > 0) this.tap.write(this.record, this.lines.json, weight);
  }

  private count(row: number, micros: number, attempts: number, which: Counter | undefined): void {
    const { counters } = this;
    // Bytes were told as they moved.
    counters.finished(row, 0, 0, 0, micros);
    if (attempts > 1) counters.add(row, counter.retries, attempts - 1);
    if (which !== undefined) counters.add(row, which, 1);
  }

  private bytes(row: number, fromClient: number, toClient: number): void {
    this.counters.add(row, counter.bytesIn, fromClient);
    this.counters.add(row, counter.bytesOut, toClient);
  }

  private rowOf(member: StreamMember): number {
    return this.members.get(member)?.row ?? noRow;
  }

  /** False: nobody knows the bytes of sessions yet. */
  private fill(view: ServiceView, session: StreamSession, reason: StreamEnd): boolean {
    const { record, engine } = this;
    if (engine === null) return false;
    const { source, member, name } = session;
    const passed = Math.max(0, (this.now() - session.acceptedAt) | 0);
    record.reset();
    record.time = Date.now() - passed;
    record.service = view.name;
    const way = view.routes[session.route];
    if (way !== undefined) record.route = way.name;
    if (member !== null) record.member = this.members.get(member)?.key ?? record.member;
    const { bytes, family } = source;
    record.client = octets(addressText(family === 4 ? bytes.subarray(12) : bytes, family));
    record.clientPort = source.port;
    if (name !== '') {
      record.bytes = text(name);
      record.hostEnd = record.bytes.length;
    }
    record.connectMicros = session.connectMicros;
    record.totalMicros = Math.min(passed * 1000, mostMicros);
    record.retries = Math.max(0, session.attempts - 1);
    record.bytesIn = engine.fromClient(session);
    record.bytesOut = engine.toClient(session);
    record.ended = reason;
    return true;
  }
}
