/**
 * What one scrape says, from the same views that the API answers by. Rows have their labels as text,
 * which many families use.
 */
import { readdir } from 'node:fs/promises';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type {
  AccessView,
  CertificateRow,
  Counters,
  MemberRow,
  PairView,
  PoolRow,
  RouterRow,
  RouteRow,
  ServiceRow,
  Status,
  TierRow,
  WorkerRow,
} from '../api/contract.js';
import type { DaemonPort } from '../api/port.js';
import { labels } from './format.js';
import { Slices } from './slices.js';

/** Durations of requests since the workers count. */
export interface Timings {
  /** How many, and all of them together, in seconds. */
  readonly count: number;
  readonly sum: number;
  /** How many lasted at most as long as each of `DURATION_BOUNDS`. */
  readonly within: readonly number[];
}

export interface MetricsSource extends Pick<
  DaemonPort,
  | 'status'
  | 'services'
  | 'pools'
  | 'routes'
  | 'tiers'
  | 'counters'
  | 'workers'
  | 'routers'
  | 'access'
> {
  readonly certificates: { list(): Promise<CertificateRow[]> };
  readonly pair: { view(): Promise<PairView> };
  /** All of them in pieces, each made when it is asked for. */
  memberBatches(): Iterable<readonly MemberRow[]>;
  /** Null for those that the proxy does not serve. */
  timings(of: { readonly service: string } | { readonly member: string }): Timings | null;
  readonly disks: readonly {
    readonly directory: string;
    readonly free: number;
    readonly size: number;
  }[];
}

export interface Labelled<R> {
  readonly labels: string;
  readonly row: R;
}

export interface ProcessFigures {
  /** Seconds, of all threads of the daemon. */
  readonly cpu: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly openFiles: number;
  /** Since the daemon started, in seconds. */
  readonly loopActive: number;
  readonly loopDelay: readonly (readonly [quantile: string, seconds: number])[];
}

export interface Snapshot {
  readonly status: Status;
  readonly services: readonly (Labelled<ServiceRow> & { readonly timings: Timings | null })[];
  readonly pools: readonly Labelled<PoolRow>[];
  readonly members: readonly (Labelled<MemberRow> & {
    readonly timings: Timings | null;
    /** Null: the fast path does not know it. */
    readonly active: number | null;
  })[];
  readonly routes: readonly Labelled<RouteRow>[];
  readonly tiers: readonly TierRow[];
  readonly counters: Counters;
  readonly workers: readonly Labelled<WorkerRow>[];
  readonly routers: readonly Labelled<RouterRow>[];
  readonly access: AccessView;
  readonly certificates: readonly Labelled<CertificateRow>[];
  readonly pair: PairView;
  readonly disks: MetricsSource['disks'];
  readonly process: ProcessFigures;
}

const LOOP_RESOLUTION_MS = 20;

export class Collector {
  readonly #delay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });

  constructor() {
    this.#delay.enable();
  }

  close(): void {
    this.#delay.disable();
  }

  /** Others have their turn between the parts. Errors: as those of the port. */
  async collect(source: MetricsSource): Promise<Snapshot> {
    const slices = new Slices();
    // Each is made in one piece: others have their turn in between.
    const next = async <T>(answer: Promise<T>): Promise<T> => {
      const value = await answer;
      await slices.rest();
      return value;
    };
    const status = await next(source.status());
    const counters = await next(source.counters());
    const services = await next(source.services());
    const pools = await next(source.pools());
    const members: MemberRow[] = [];
    for (const batch of source.memberBatches()) {
      members.push(...batch);
      if (slices.over) await slices.rest();
    }
    const routes = await next(source.routes({}));
    return {
      status,
      counters,
      services: await slices.map(services, (row) => ({
        ...{ row, labels: labels({ service: row.name }) },
        timings: row.proxy === null ? null : source.timings({ service: row.name }),
      })),
      pools: await slices.map(pools, (row) => ({ row, labels: labels({ pool: row.name }) })),
      members: await slices.map(members, (row) => {
        const id = `${row.pool}/${row.member}`;
        return {
          ...{ row, labels: labels({ pool: row.pool, member: row.member }) },
          timings: row.proxy === null ? null : source.timings({ member: id }),
          active: Object.hasOwn(counters.members, id) ? (counters.members[id]?.active ?? 0) : null,
        };
      }),
      routes: await slices.map(routes, (row) => ({
        ...{ row, labels: labels({ service: row.service, route: row.route }) },
      })),
      tiers: await source.tiers(),
      workers: (await source.workers()).map((row) => ({
        ...{ row, labels: labels({ worker: row.worker }) },
      })),
      routers: (await source.routers()).map((row) => ({
        ...{ row, labels: labels({ router: row.router }) },
      })),
      access: await source.access(),
      certificates: (await source.certificates.list())
        .filter(({ kind }) => kind !== 'request')
        .map((row) => ({ row, labels: labels({ certificate: row.name, kind: row.kind }) })),
      pair: await source.pair.view(),
      disks: source.disks,
      process: await this.#process(),
    };
  }

  async #process(): Promise<ProcessFigures> {
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    const late = (nanoseconds: number): number =>
      Math.max(0, nanoseconds / 1e9 - LOOP_RESOLUTION_MS / 1e3);
    return {
      cpu: (user + system) / 1e6,
      residentBytes: rss,
      heapBytes: heapUsed,
      openFiles: (await readdir('/proc/self/fd')).length,
      loopActive: performance.eventLoopUtilization().active / 1e3,
      loopDelay: [
        ['0.5', late(this.#delay.percentile(50))],
        ['0.99', late(this.#delay.percentile(99))],
        ['1', late(this.#delay.max)],
      ],
    };
  }
}
