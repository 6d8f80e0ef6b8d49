/**
 * What the workers of the proxy counted, looked at once a second together with the counters of the
 * fast path: for rows that people see, for alarms and for the weighing of members.
 *
 * Invariant: rates are of the last full second; durations and shares of routes, of which a second may
 * have too few, are of the last ten to twenty.
 */
import type { ProxyTraffic, WorkerRow } from '../api/contract.js';
import type { MemberLoad, TierHealth, WorkerTier } from '../l7/supervisor/worker-tier.js';
import { counter } from '../l7/telemetry/counter-layout.js';
import type { Timings } from '../metrics/snapshot.js';
import { timingsOf } from './timings.js';
import { difference, type CounterSample } from '../l7/telemetry/counter-reader.js';
import { rowName } from '../l7/telemetry/row-registry.js';
import type { ProxyRefusals } from './watch/refusals.js';
import { trafficOf } from '../l7/telemetry/views.js';

export type ProxyTier = Pick<
  WorkerTier,
  'counters' | 'workers' | 'health' | 'problems' | 'loadOf' | 'waitingFor' | 'restart'
>;

/** A tier without workers. */
export const NO_PROXY: ProxyTier = {
  counters: () => ({ time: 0, rows: new Map() }),
  workers: [],
  health: { unable: null, notListening: [], failing: 0, places: 0, logs: [] },
  problems: [],
  loadOf: () => null,
  waitingFor: () => 0,
  restart: () => Promise.resolve(0),
};

/** What is seen of a member: as `Observed` of balance/reweigh.ts. */
export interface MemberSeen extends MemberLoad {
  readonly bytesPerSecond: number;
}

/** What a service gained within the last second, and what is open now. */
export interface ProxySecond {
  readonly connections: number;
  readonly requests: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Answers of class 5xx. */
  readonly errors: number;
  /** By a limit, for a full queue, for want of a member, or because it made no sense. */
  readonly refused: number;
  readonly active: number;
}

/** An access log that dropped lines lately. */
export interface DroppingLog {
  readonly to: string;
  readonly dropped: number;
  /** When it was seen to drop last; milliseconds since 1970. */
  readonly last: number;
}

const REFUSED = [
  counter.refusedRate,
  counter.refusedConnections,
  counter.refusedQueueFull,
  counter.refusedQueueTimeout,
  counter.refusedNoMember,
  counter.refusedBadRequest,
  counter.refusedTooSlow,
];
const MARK_MS = 10_000;
/** As long is a log said to drop after it did. */
const DROPPED_MS = 120_000;

interface WorkerMark {
  readonly pid: number;
  readonly requests: number;
}

export class ProxyWatch {
  readonly #tier: ProxyTier;
  readonly #now: () => number;
  #before: CounterSample | null = null;
  #last: CounterSample | null = null;
  /** Samples of ten to twenty seconds ago, and of less than ten. */
  #oldMark: CounterSample | null = null;
  #mark: CounterSample | null = null;
  #workersAt = 0;
  #workers = new Map<number, WorkerMark>();
  #workerRates = new Map<number, number>();
  #dropped = new Map<string, { count: number; last: number | null }>();

  constructor(tier: ProxyTier, now: () => number = Date.now) {
    this.#tier = tier;
    this.#now = now;
  }

  /** Once a second. */
  step(): void {
    this.#stepSample(this.#tier.counters());
    this.#stepWorkers();
    this.#stepLogs();
  }

  get health(): TierHealth {
    return this.#tier.health;
  }

  get droppingLogs(): DroppingLog[] {
    const since = this.#now() - DROPPED_MS;
    return [...this.#dropped].flatMap(([to, { count, last }]) =>
      last !== null && last >= since ? [{ to, dropped: count, last }] : [],
    );
  }

  workers(): WorkerRow[] {
    return this.#tier.workers
      .map(({ worker, pid, cpu, state, clients, since, restarts }) => ({
        ...{ worker, pid, cpu, state, clients },
        requestsPerSecond: this.#workerRates.get(worker) ?? 0,
        ...{ since, restarts },
      }))
      .sort((a, b) => a.worker - b.worker);
  }

  trouble(service: string): string | null {
    const problem = this.#tier.problems.find((one) => one.service === service);
    if (problem !== undefined) return problem.message;
    const { failing, places } = this.#tier.health;
    const none = failing > 0 && failing === places;
    return none ? 'no worker of the proxy serves: all end soon after each start' : null;
  }

  service(name: string): ProxyTraffic {
    const traffic = this.#traffic([rowName.service(name)]);
    return { ...traffic, underWay: null, queued: null };
  }

  second(service: string): ProxySecond {
    const name = rowName.service(service);
    const now = this.#last?.rows.get(name);
    const known = now !== undefined && this.#before !== null;
    const gained = known ? difference(this.#before?.rows.get(name), now) : null;
    const sum = (...columns: number[]): number =>
      columns.reduce((all, column) => all + (gained?.[column] ?? 0), 0);
    return {
      connections: sum(counter.opened),
      requests: sum(counter.requests),
      bytesIn: sum(counter.bytesIn),
      bytesOut: sum(counter.bytesOut),
      errors: sum(counter.status5xx),
      refused: sum(...REFUSED),
      active: now?.[counter.active] ?? 0,
    };
  }

  route(service: string, route: string): ProxyTraffic {
    const traffic = this.#traffic([rowName.route(service, route)]);
    return { ...traffic, active: null, underWay: null, queued: null };
  }

  /** What was refused of a service for a limit, since the workers count. */
  refusals(service: string): ProxyRefusals {
    const row = this.#last?.rows.get(rowName.service(service));
    return {
      rate: row?.[counter.refusedRate] ?? 0,
      connections: row?.[counter.refusedConnections] ?? 0,
      queueFull: row?.[counter.refusedQueueFull] ?? 0,
      queueTimeout: row?.[counter.refusedQueueTimeout] ?? 0,
    };
  }

  /** Durations of a row of row-registry.ts, since the workers count; null: it has none yet. */
  timings(name: string): Timings | null {
    const row = this.#last?.rows.get(name);
    return row === undefined ? null : timingsOf(row);
  }

  /** Part of a service's requests of the last ten to twenty seconds that each route took. */
  shares(service: string, routes: readonly string[]): (number | null)[] {
    const counts = routes.map((route) => this.#recent(rowName.route(service, route)));
    const all = counts.reduce((sum, count) => sum + count, 0);
    return counts.map((count) => (all === 0 ? null : count / all));
  }

  member(id: string): ProxyTraffic {
    const underWay = this.#tier.loadOf(id)?.underWay ?? 0;
    return { ...this.#traffic([rowName.member(id)]), active: null, underWay, queued: null };
  }

  pool(name: string, ids: readonly string[]): ProxyTraffic {
    const underWay = ids.reduce((sum, id) => sum + (this.#tier.loadOf(id)?.underWay ?? 0), 0);
    const traffic = this.#traffic(ids.map(rowName.member));
    return { ...traffic, active: null, underWay, queued: this.#tier.waitingFor(name) };
  }

  /** For the weighing; null when the workers don't know the member. */
  seen(id: string): MemberSeen | null {
    const load = this.#tier.loadOf(id);
    if (load === null) return null;
    return { ...load, bytesPerSecond: this.#bytesPerSecond(rowName.member(id)) };
  }

  #bytesPerSecond(name: string): number {
    const now = this.#last?.rows.get(name);
    if (this.#last === null || this.#before === null || now === undefined) return 0;
    const gained = difference(this.#before.rows.get(name), now);
    const bytes = (gained[counter.bytesIn] ?? 0) + (gained[counter.bytesOut] ?? 0);
    return (bytes * 1000) / Math.max(1, this.#last.time - this.#before.time);
  }

  #traffic(names: readonly string[]): ReturnType<typeof trafficOf> {
    const now = this.#last ?? this.#tier.counters();
    const { latency } = trafficOf(this.#oldMark, now, names);
    return { ...trafficOf(this.#before, now, names), latency };
  }

  #recent(name: string): number {
    const now = this.#last?.rows.get(name);
    if (now === undefined) return 0;
    return difference(this.#oldMark?.rows.get(name), now)[counter.requests] ?? 0;
  }

  #stepSample(now: CounterSample): void {
    // Before its first tables the tier doesn't know what earlier workers counted: that is no zero.
    if (now.rows.size === 0 && this.#last === null) return;
    this.#before = this.#last;
    this.#last = now;
    if (this.#mark === null || now.time - this.#mark.time >= MARK_MS) {
      this.#oldMark = this.#mark ?? now;
      this.#mark = now;
    }
  }

  #stepWorkers(): void {
    const now = this.#now();
    const seconds = Math.max(1, now - this.#workersAt) / 1000;
    const marks = new Map<number, WorkerMark>();
    const rates = new Map<number, number>();
    for (const { worker, pid, requests } of this.#tier.workers) {
      const before = this.#workers.get(worker);
      // The region goes on with the next process of the same number.
      const gained = before === undefined ? 0 : Math.max(0, requests - before.requests);
      marks.set(worker, { pid, requests });
      rates.set(worker, before?.pid === pid ? gained / seconds : 0);
    }
    this.#workers = marks;
    this.#workerRates = rates;
    this.#workersAt = now;
  }

  #stepLogs(): void {
    const before = this.#dropped;
    this.#dropped = new Map(
      this.#tier.health.logs.map(({ to, dropped }) => {
        const known = before.get(to);
        const more = dropped > (known?.count ?? 0);
        return [to, { count: dropped, last: more ? this.#now() : (known?.last ?? null) }];
      }),
    );
  }
}
