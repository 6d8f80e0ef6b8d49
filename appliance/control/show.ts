/**
 * Answers to what people ask: rows of services, pools, members, flows and tiers, and the
 * unit's status. Reads only.
 */
import { release } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  AccessTestRow,
  AccessView,
  Alarm,
  Counters,
  DropRow,
  FlowRow,
  MemberDetail,
  MemberRow,
  MemberSetup,
  MemberTest,
  MemberTestRow,
  MetricsView,
  PendingConfirm,
  PoolDetail,
  PoolRow,
  RouteRow,
  ServiceDetail,
  ServiceRow,
  Status,
  SynCookieCounters,
  TierRow,
  WorkerRow,
} from '../api/contract.js';
import { PortError, type MemberName as NamedMember, type TestMemberRequest } from '../api/port.js';
import { version } from '../api/version.js';
import { memberKey, parseEndpoint } from '../config/addresses.js';
import { monitorSchema } from '../config/monitor.js';
import type { ConfigStore } from '../config/store.js';
import type { Replication } from './replication.js';
import type { Monitors } from '../health/monitors.js';
import type { L4Flow, L4Tier, MemberName } from '../l4/tier.js';
import { rowName } from '../l7/telemetry/row-registry.js';
import type { MetricsSource, Timings } from '../metrics/snapshot.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { Access } from './access.js';
import { alarms } from './alarms.js';
import { DropLog } from './drop-log.js';
import type { MemberHistory } from './member-history.js';
import { memberSetup, servicesOf } from './member-setup.js';
import { planTest, testRow, type TestSurroundings } from './member-test.js';
import type { Reconciler, RunReport } from './reconciler.js';
import type { Roles } from './roles.js';
import { Sampler, type SamplerOptions } from './sampler.js';
import type { CookieState } from './syn-cookies.js';
import { NO_UNIT, type L4Service, type MonitorTarget, type Tables } from './tables.js';
import { NO_L7 } from './compile-l7.js';
import { NO_PAIR } from './compile-pair.js';
import { type ProxyTier, ProxyWatch } from './proxy-watch.js';
import { routeRows } from './route-view.js';
import { poolDetail } from './pool-view.js';
import { usedPools } from './used-pools.js';
import { memberDetail, memberRows, poolRows, serviceRows, type ViewInput } from './views.js';

export interface ShowParts {
  readonly store: ConfigStore;
  readonly replication: Pick<Replication, 'view'>;
  readonly tier: L4Tier;
  readonly proxy: ProxyTier;
  readonly monitors: Monitors;
  readonly reconciler: Reconciler;
  readonly history: MemberHistory;
  readonly lastRun: () => RunReport | null;
  readonly failure: () => Error | null;
  /** What is wrong with the expressions of pools, by pool. */
  readonly weightProblems: () => ReadonlyMap<string, string>;
  readonly access: Access;
  readonly certificates: { alarms(): Alarm[] };
  readonly pair: { alarms(): Alarm[] };
  readonly events: EventLog;
  readonly alertAlarms: () => Alarm[];
  readonly watches: { alarms(): Alarm[] };
  readonly metrics: { alarms(): Alarm[]; view(): MetricsView | null };
  /** Virtual routers. */
  readonly roles: Pick<Roles, 'summary' | 'alarms'>;
}

const EMPTY: Tables = {
  pools: new Map(),
  standings: new Map(),
  l4: { unit: NO_UNIT, services: new Map(), pools: new Map() },
  l7: NO_L7,
  net: { serviceAddresses: [], memberAddresses: [], interfaces: [] },
  pair: NO_PAIR,
  monitors: new Map(),
  placements: [],
};

function total({ master, backup, down }: Status['routers']): number {
  return master + backup + down;
}

export class Show {
  readonly #parts: ShowParts;
  readonly #sampler: Sampler;
  readonly #startedAt = Date.now();
  readonly #drops: DropLog;
  readonly #proxy: ProxyWatch;

  constructor(parts: ShowParts, sampling: Pick<SamplerOptions, 'onSample' | 'onError'>) {
    this.#parts = parts;
    this.#drops = new DropLog(parts.tier.counters().drops);
    this.#proxy = new ProxyWatch(parts.proxy);
    this.#sampler = new Sampler({
      read: () => {
        this.#proxy.step();
        return this.counters();
      },
      ...sampling,
    });
  }

  close(): void {
    this.#sampler.close();
  }

  /** What the workers see, of the last second. */
  get proxy(): ProxyWatch {
    return this.#proxy;
  }

  /** The tables that the fast path executes; empty before the first run. */
  get tables(): Tables {
    return this.#parts.reconciler.tables ?? EMPTY;
  }

  status(): Status {
    const tables = this.tables;
    const members = [...usedPools(tables).values()].flatMap((pool) => pool.members);
    const head = this.#parts.store.head();
    const routers = this.#parts.roles.summary;
    return {
      unit: this.#parts.reconciler.intent?.unit.name ?? '',
      version: version(),
      revision: head?.number ?? null,
      startedAt: this.#startedAt,
      uptimeMs: Date.now() - this.#startedAt,
      pendingConfirm: this.#pending(),
      role: routers.master > 0 ? 'master' : total(routers) > 0 ? 'backup' : 'standalone',
      routers,
      replication: this.#parts.replication.view(),
      services: tables.placements.length,
      membersServing: members.filter((member) => member.state === 'serving').length,
      membersTotal: members.length,
      alarms: this.alarms(),
      metrics: this.#parts.metrics.view(),
      kernel: release(),
    };
  }

  alarms(): Alarm[] {
    const run = this.#parts.lastRun();
    return alarms({
      tables: this.#parts.reconciler.tables,
      outcomes: run?.outcomes ?? [],
      netProblems: run?.netProblems ?? [],
      pending: this.#pending(),
      failure: this.#parts.failure(),
      memberSince: this.#parts.history.since,
      weightProblems: this.#parts.weightProblems(),
      usage: this.#parts.tier.usage(),
      access: this.#parts.access.alarms(this.#parts.reconciler.intent),
      certificates: this.#parts.certificates.alarms(),
      pair: this.#parts.pair.alarms(),
      roles: this.#parts.roles.alarms(),
      alerts: this.#parts.alertAlarms(),
      watches: [...this.#parts.watches.alarms(), ...this.#parts.metrics.alarms()],
      proxy: { ...this.#proxy.health, dropping: this.#proxy.droppingLogs },
    });
  }

  services(): ServiceRow[] {
    const view = this.#view();
    return view === null ? [] : serviceRows(view);
  }

  service(name: string): ServiceDetail {
    const row = this.services().find((one) => one.name === name);
    if (row === undefined) throw noSuchService(name);
    const proxied = this.tables.l7.services.get(name);
    return { ...row, routes: proxied === undefined ? [] : routeRows(proxied, this.#proxy) };
  }

  routes({ service }: { readonly service?: string }): RouteRow[] {
    const { services } = this.tables.l7;
    if (service === undefined) {
      return [...services.values()].flatMap((one) => routeRows(one, this.#proxy));
    }
    const proxied = services.get(service);
    if (proxied !== undefined) return routeRows(proxied, this.#proxy);
    const { tier } = this.service(service);
    throw new PortError(
      'conflict',
      `Service ${service} has no routes: the tier ${tier} serves it, and only the proxy has routes.`,
    );
  }

  workers(): WorkerRow[] {
    return this.#proxy.workers();
  }

  pools(): PoolRow[] {
    const view = this.#view();
    return view === null ? [] : poolRows(view);
  }

  pool(name: string): PoolDetail {
    const view = this.#view();
    const detail = view === null ? null : poolDetail(view, name);
    if (detail === null) throw noSuchPool(name);
    return detail;
  }

  members({ pool }: { readonly pool?: string }): MemberRow[] {
    const view = this.#view();
    if (pool !== undefined && (view === null || !view.tables.pools.has(pool))) {
      throw noSuchPool(pool);
    }
    return view === null ? [] : memberRows(view, pool);
  }

  /** All members, pool by pool, by one look at the counters. */
  *memberBatches(): Generator<MemberRow[], void, void> {
    const view = this.#view();
    if (view === null) return;
    for (const pool of view.tables.pools.keys()) yield memberRows(view, pool);
  }

  member(name: NamedMember): MemberDetail {
    const view = this.#view();
    const detail = view === null ? null : memberDetail(view, canonical(name), this.#parts.monitors);
    if (detail === null) throw noSuchMember(name);
    return detail;
  }

  /** How a member is asked: as its monitor asks, or by a connection where it has none. */
  targetOf(name: NamedMember): MonitorTarget {
    const { intent } = this.#parts.reconciler;
    const { pool, member: key } = canonical(name);
    const { tables } = this;
    const member = tables.pools.get(pool)?.members.find((one) => one.key === key);
    if (intent === null || member === undefined) throw noSuchMember(name);
    const settings = intent.pools[pool]?.monitor ?? monitorSchema.parse({ type: 'tcp' });
    const [service] = servicesOf({ intent, tables }, pool);
    const own = 'port' in settings ? settings.port : undefined;
    const port = own ?? (member.port || intent.services[service?.name ?? '']?.listen.port);
    if (port === undefined) {
      throw new PortError(
        'conflict',
        `Member ${key} has no port, and no service leads to the pool ${pool}: write its port into the document.`,
      );
    }
    return { id: member.id, pool, member: key, address: member.address, port, settings };
  }

  /** What a Linux member needs; `own` are the addresses of this unit. */
  memberSetup(name: NamedMember, own: Parameters<typeof memberSetup>[0]['own']): MemberSetup {
    const { intent } = this.#parts.reconciler;
    const wanted = canonical(name);
    const setup =
      intent === null ? null : memberSetup({ intent, tables: this.tables, own }, wanted);
    if (setup === null) throw noSuchMember(name);
    return setup;
  }

  /** One service after the other: tests are few, and the fast path does one at a time. */
  async testMember(
    request: TestMemberRequest,
    network: Pick<TestSurroundings, 'links' | 'addresses'>,
  ): Promise<MemberTest> {
    const { reconciler, tier } = this.#parts;
    const { intent } = reconciler;
    const { tables } = this;
    const name = canonical(request);
    const member = tables.pools.get(name.pool)?.members.find(({ key }) => key === name.member);
    if (intent === null || member === undefined) throw noSuchMember(request);
    const all = servicesOf({ intent, tables }, name.pool);
    const services = all.filter((one) => [undefined, one.name].includes(request.service));
    if (services.length === 0) throw noServiceOf(name.pool, request.service);
    const around = { unit: tables.l4.unit, intent, outcomes: tier.outcomes, ...network };
    const nameOf = (index: number): string =>
      network.links.find((link) => link.index === index)?.name ?? `interface ${index}`;
    const tests: MemberTestRow[] = [];
    for (const service of services) {
      const subject = { service, pool: name.pool, member };
      const plan = planTest(subject, around);
      const outcome = 'impossible' in plan ? null : await tier.probe(plan).catch(cannotProbe);
      tests.push(testRow(subject, plan, outcome, nameOf));
    }
    return { ...name, ok: tests.every(({ result }) => result === 'answered'), tests };
  }

  /** Looks through the whole flow table if it must, without keeping anybody else waiting. */
  async flows(query: {
    readonly limit: number;
    readonly service?: string;
    readonly member?: string;
  }): Promise<FlowRow[]> {
    const { services, pools } = this.tables.l4;
    const service = query.service === undefined ? undefined : services.get(query.service);
    if (query.service !== undefined && service === undefined) {
      throw new PortError(
        'not-found',
        `The fast path has no service ${query.service}: see "weir show services".`,
      );
    }
    const members =
      query.member === undefined
        ? undefined
        : [...pools.values()].flatMap((pool) =>
            pool.members
              .filter(({ key }) => key === query.member)
              .map(({ key }) => ({ pool: pool.name, member: key })),
          );
    if (members?.length === 0) {
      throw new PortError(
        'not-found',
        `The fast path has no member ${query.member}: see "weir show members".`,
      );
    }
    const wanted = {
      ...(service === undefined ? {} : { service }),
      ...(members === undefined ? {} : { members }),
    };
    const rows: FlowRow[] = [];
    const now = process.hrtime.bigint();
    for (const batch of this.#parts.tier.flows(wanted)) {
      for (const flow of batch) {
        if (flow.service === undefined || flow.member === undefined) continue;
        if (rows.length >= query.limit) return rows;
        rows.push(flowRow(flow, flow.service, flow.member, now));
      }
      await nextTurn();
    }
    return rows;
  }

  tiers(): TierRow[] {
    const { tier } = this.#parts;
    const maps = tier.usage();
    return tier.outcomes.map((outcome) => ({
      tier: 'xdp',
      interface: outcome.interface.name,
      mode: outcome.attachment?.mode ?? null,
      profile: outcome.interface.profile,
      why: outcome.why,
      degraded: outcome.degraded,
      attachedSince: outcome.attachment?.since ?? null,
      programTag: outcome.attachment === null ? null : tier.datapath.programTag,
      maps,
    }));
  }

  counters(): Counters {
    const { totals, drops, services, members } = this.#parts.tier.counters();
    return {
      time: Date.now(),
      since: this.#parts.tier.countingSince,
      totals,
      drops,
      services: Object.fromEntries(services),
      members: Object.fromEntries(members),
    };
  }

  timings(of: Parameters<MetricsSource['timings']>[0]): Timings | null {
    const name = 'service' in of ? rowName.service(of.service) : rowName.member(of.member);
    return this.#proxy.timings(name);
  }

  /** A dropped packet was told. */
  dropTold(reason: string): void {
    this.#drops.told(reason);
  }

  drops({ samples }: { readonly samples: number }): DropRow[] {
    const events = this.#parts.events.latest(Number.MAX_SAFE_INTEGER, ['drop']);
    return this.#drops.rows(this.counters(), this.#sampler.deltas, events, samples);
  }

  access(): AccessView {
    const [used, limit] = this.#parts.tier.accessUsage();
    return this.#parts.access.show(this.#parts.reconciler.intent, used, limit);
  }

  testAccess(address: string, service?: string): AccessTestRow[] {
    return this.#parts.access.test(this.#parts.reconciler.intent, this.tables, address, service);
  }

  #pending(): PendingConfirm | null {
    const pending = this.#parts.store.pendingConfirm();
    if (pending === null) return null;
    const secondsLeft = Math.max(0, Math.ceil((pending.deadline - Date.now()) / 1000));
    return { ...pending, secondsLeft };
  }

  #view(): ViewInput | null {
    const intent = this.#parts.reconciler.intent;
    if (intent === null) return null;
    const { monitors, reconciler } = this.#parts;
    return {
      intent,
      tables: this.tables,
      health: (id) => monitors.status(id),
      nextHop: (address) => reconciler.nextHop(address),
      counters: this.counters(),
      proxy: this.#proxy,
      cookies: cookieCounters(this.#parts.tier.cookies()),
      deltas: this.#sampler.deltas,
      memberSince: this.#parts.history.since,
    };
  }
}

/** The member by its canonical name; as it came when that is no address and port. */
function canonical({ pool, member }: NamedMember): NamedMember {
  const endpoint = parseEndpoint(member);
  return { pool, member: endpoint.ok ? memberKey(endpoint.value) : member };
}

function noSuchMember({ pool, member }: NamedMember): PortError {
  return new PortError(
    'not-found',
    `There is no member ${member} in a pool ${pool}: see "weir show members".`,
  );
}

function noServiceOf(pool: string, service: string | undefined): PortError {
  return service === undefined
    ? new PortError('conflict', `No service of the fast path uses pool ${pool}: nothing to test.`)
    : new PortError(
        'not-found',
        `The fast path has no service ${service} that uses pool ${pool}: see "weir show services".`,
      );
}

function cannotProbe(cause: unknown): never {
  const why = cause instanceof Error ? cause.message : String(cause);
  throw new PortError('unavailable', `The member cannot be tested now: ${why}`, { cause });
}

function noSuchService(name: string): PortError {
  return new PortError('not-found', `There is no service ${name}: see "weir show services".`);
}

function noSuchPool(name: string): PortError {
  return new PortError('not-found', `There is no pool ${name}: see "weir show pools".`);
}

function cookieCounters(
  states: ReadonlyMap<string, CookieState>,
): ReadonlyMap<string, SynCookieCounters> {
  return new Map(
    [...states].map(([name, { on, sent, accepted, rejected }]) => [
      name,
      { on, sent, accepted, rejected },
    ]),
  );
}

function flowRow(flow: L4Flow, service: L4Service, member: MemberName, nowNs: bigint): FlowRow {
  return {
    protocol: flow.protocol,
    clientAddress: flow.clientAddress,
    clientPort: flow.clientPort,
    service: service.name,
    address: flow.address,
    port: flow.port,
    pool: member.pool,
    member: member.member,
    idleMs: Math.max(0, Number((nowNs - flow.seenNs) / 1_000_000n)),
  };
}
