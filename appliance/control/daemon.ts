/**
 * The daemon behind the API: ties the store, the loop, the tiers and the network
 * together and answers questions about them. Decisions live in the parts; here is
 * only who talks to whom.
 *
 * Invariant: closing the daemon leaves the fast path, its tables and the service
 * addresses in the kernel, so traffic does not notice.
 */
import type { BaseLogger } from 'pino';
import type {
  AccessTestRow,
  AccessView,
  ApplyResult,
  ConfigView,
  ConfirmResult,
  Counters,
  DiffResult,
  DropRow,
  EventRow,
  FailoverResult,
  FlowRow,
  HardwareReport,
  MemberDetail,
  MemberRow,
  MemberSetup,
  MemberTest,
  PoolDetail,
  PoolRow,
  PreferResult,
  RevisionDetail,
  RevisionRow,
  RouterRow,
  RouteRow,
  ServiceDetail,
  ServiceRow,
  Status,
  TemporaryAccessRow,
  TierRow,
  Trial,
  TrialRow,
  WorkerRestart,
  WorkerRow,
} from '../api/contract.js';
import {
  type ApplyRequest,
  type DaemonPort,
  type DocumentSource,
  type Observation,
  type RollbackRequest,
  type SetMemberRequest,
  type TemporaryAccessRequest,
  type TestMemberRequest,
} from '../api/port.js';
import type { SystemPort } from '../api/system-port.js';
import { version } from '../api/version.js';
import { checkDocument } from '../config/document.js';
import { formatConfigError } from '../config/errors.js';
import type { Intent } from '../config/schema.js';
import type { ConfigStore, Revision } from '../config/store.js';
import type { Monitors } from '../health/monitors.js';
import type { Probe } from '../health/probe.js';
import type { L4Event, L4Tier } from '../l4/tier.js';
import type { Network } from '../net/network.js';
import { ownMacs } from '../net/own-macs.js';
import type { ChosenSizes, Profiles } from '../offload/profiles.js';
import type { MetricsServer } from '../metrics/server.js';
import type { MetricsSource, Timings } from '../metrics/snapshot.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { Situation } from '../alerts/alerts.js';
import type { Access } from './access.js';
import type { Alerting } from './alerting.js';
import type { Certificates } from './certificates.js';
import { Changes } from './changes.js';
import { flowEvent } from './flow-events.js';
import type { Host } from './host.js';
import { Influences } from './influences.js';
import { MemberHistory } from './member-history.js';
import type { CookieSecret } from './cookie-secret.js';
import type { Pairing } from './pairing.js';
import type { Upgrades } from './upgrades.js';
import type { InspectInterface, TuneInterfaces } from './ports.js';
import type { WorkerTier } from '../l7/supervisor/worker-tier.js';
import { NO_PAIR } from './compile-pair.js';
import { fitness } from './fitness.js';
import { prefer, type PreferRequest } from './preference.js';
import { standingEvents } from './pool-view.js';
import { Reconciler, type RunReport } from './reconciler.js';
import type { Standing } from './pair-standing.js';
import type { PeerHealth } from './peer-health.js';
import type { PeerWays } from './peer-ways.js';
import type { Roles } from './roles.js';
import { Show } from './show.js';
import { hardwareReport } from './hardware.js';
import { CookieWatch } from './syn-cookies.js';
import { sharedRevision, type Replication } from './replication.js';
import { WorkerRestarts } from './worker-restarts.js';
import { row, tried } from './trial.js';
import type { UnitNetwork } from './unit-network.js';
import { unreachable } from './unreachable.js';
import type { Users } from './users.js';
import type { LiveTraffic } from './live.js';
import type { Traffic } from './traffic-port.js';
import type { Watches } from './watch/watches.js';

export interface DaemonParts {
  readonly system: SystemPort;
  readonly store: ConfigStore;
  readonly tier: L4Tier;
  readonly network: Network;
  readonly host: Host;
  readonly unitNetwork: UnitNetwork;
  readonly monitors: Monitors;
  readonly inspect: InspectInterface;
  readonly tune?: TuneInterfaces;
  /** As the monitors use it. */
  readonly probe: Probe;
  readonly profiles: Profiles;
  /** What the tables of the fast path were sized by. */
  readonly tableSizes: ChosenSizes;
  readonly events: EventLog;
  readonly access: Access;
  /** Worker processes of layer 7. */
  readonly proxy: WorkerTier;
  /** Keys of persistence cookies. */
  readonly cookies: CookieSecret;
  readonly certificates: Certificates;
  /** What the other unit of the pair has too. */
  readonly replication: Replication;
  readonly pair: Pairing;
  readonly upgrades: Upgrades;
  readonly standing: Standing;
  readonly peerHealth: PeerHealth;
  readonly peerWays: PeerWays;
  readonly alerts: Alerting;
  readonly users: Users;
  readonly roles: Roles;
  readonly watches: Watches;
  readonly traffic: Traffic;
  readonly live: LiveTraffic;
  readonly metrics: MetricsServer;
  readonly log: Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>;
}

/** How long new members may take to answer for their address before it is a warning. */
const RESOLUTION_MS = 1000;
const RETRY_MS = 1000;

export class Daemon implements DaemonPort, MetricsSource {
  readonly #parts: DaemonParts;
  readonly #reconciler: Reconciler;
  readonly #changes: Changes;
  readonly #history = new MemberHistory();
  readonly #cookies = new CookieWatch();
  readonly #show: Show;
  readonly #restarts: WorkerRestarts;
  readonly #listeners = new Set<(observation: Observation) => void>();
  readonly #stopWatching: () => void;
  /** Called after each run and each change of the network, by those who wait for one. */
  readonly #waiting = new Set<() => void>();
  #lastRun: RunReport | null = null;
  /** Why the current revision cannot be executed at all. */
  #unreadable: Error | null = null;

  constructor(parts: DaemonParts) {
    this.#parts = parts;
    const { network, monitors, tier, events, log } = parts;
    const influences = new Influences({
      history: (page) => parts.store.history({ ...page, valid: true }),
      health: { get: (id) => monitors.status(id) },
      onEvent: (event) => {
        events.append(event);
      },
      onError: (error) => {
        log.error({ err: error }, 'cannot read when draining began; it counts from now on');
      },
    });
    this.#reconciler = new Reconciler(
      {
        network,
        monitors,
        fastPath: tier,
        host: parts.host,
        proxy: parts.proxy,
        roles: parts.roles,
        inspect: parts.inspect,
        ...(parts.tune === undefined ? {} : { tune: parts.tune }),
        influences,
        access: parts.access,
        cookieKey: parts.cookies.keyOf,
      },
      {
        retryMs: RETRY_MS,
        onRun: (report) => {
          this.#ran(report);
        },
        onFailure: (error) => {
          log.error({ err: error }, 'cannot bring the tiers to the configuration; trying again');
        },
      },
    );
    this.#changes = new Changes({
      store: parts.store,
      reconciler: this.#reconciler,
      fastPath: tier,
      certificates: parts.certificates,
      replication: parts.replication,
      host: parts.host.keys,
      events,
      warnings: async () => this.#warnings(),
      onError: (error) => {
        log.error({ err: error }, 'cannot take back an unconfirmed revision');
      },
    });
    this.#show = new Show(
      {
        ...parts,
        reconciler: this.#reconciler,
        history: this.#history,
        lastRun: () => this.#lastRun,
        failure: () => this.#reconciler.failure ?? this.#unreadable,
        weightProblems: () => influences.problems,
        alertAlarms: () => parts.alerts.alarms(),
      },
      {
        onSample: (deltas, counters) => {
          this.#tell({ type: 'counters', counters: deltas });
          parts.live.step(deltas);
          this.#guardAttachments();
          const known = this.#reconciler.tables;
          if (known !== undefined) parts.peerHealth.step(known);
          this.#trackFitness();
          parts.standing.sample();
          for (const event of this.#cookies.look(tier.cookies())) events.append(event);
          const { intent, tables } = this.#reconciler;
          if (intent === null || tables === undefined) return;
          const proxy = this.#show.proxy;
          parts.traffic.sample({ intent, tables, deltas, proxy });
          parts.watches.look({
            ...{ intent, tables, usage: tier.usage(), drops: counters.drops },
            proxied: new Map(
              [...tables.l7.services.keys()].map((name) => [name, proxy.refusals(name)]),
            ),
          });
          if (influences.step({ deltas, counters, proxy }, intent, tables)) {
            this.#reconciler.request();
          }
        },
        onError: (error) => {
          log.error({ err: error }, 'cannot read the counters');
        },
      },
    );
    this.#restarts = new WorkerRestarts({
      tier: parts.proxy,
      events,
      rows: () => this.#show.workers(),
    });
    const stopEvents = events.subscribe((event) => {
      this.#tell({ type: 'event', event });
    });
    tier.setOwnMacs(ownMacs(network.links()));
    const stopNetwork = network.onChange(() => {
      tier.setOwnMacs(ownMacs(network.links()));
      this.#reconciler.networkChanged();
      this.#trackFitness();
      for (const wake of [...this.#waiting]) wake();
    });
    const stopWays = network.onWays(() => this.#trackFitness());
    this.#stopWatching = () => {
      stopWays();
      stopEvents();
      stopNetwork();
    };
  }

  /**
   * Takes up the current revision: learns what the fast path did before this run, lets
   * the network answer for known members, and only then programs, so that a restart
   * moves no flow.
   */
  async start(): Promise<void> {
    const { network, monitors, tier, events } = this.#parts;
    for (const finding of tier.datapath.findings) {
      events.append({ kind: 'repair', severity: 'warning', message: finding });
    }
    const head = this.#changes.restore();
    events.append({
      kind: 'daemon',
      severity: 'info',
      message:
        `version ${version()} started with ${head === null ? 'no configuration' : `revision ${head.number}`}` +
        (tier.datapath.adopted ? ', continuing the tables of the fast path' : ''),
    });
    const intent = head === null ? null : this.#intentOf(head);
    await this.#parts.certificates.follow(intent);
    if (head === null) {
      const left = tier.programmedServices;
      if (left > 0) {
        events.append({
          kind: 'repair',
          severity: 'warning',
          message: `the fast path still carries ${left} services of an earlier configuration, and the store has none: apply one to replace them`,
        });
      }
      return;
    }
    if (intent === null) return;
    const tables = this.#reconciler.preview(intent);
    const known = new Set<string>();
    for (const [pool, { members }] of tables.pools) {
      for (const { id, key, address } of members) {
        const state = tier.adoptedState({ pool, member: key });
        if (state === null) continue;
        if (tables.monitors.has(id)) monitors.seed(id, state === 'down' ? 'down' : 'up');
        if (state !== 'down') known.add(address);
      }
    }
    for (const id of this.#parts.proxy.membersDown) {
      if (tables.monitors.has(id)) monitors.seed(id, 'down');
    }
    // The monitors must know of their members, and so of the seeds, before anything is compiled.
    monitors.reconcile(tables.monitors);
    await this.#reconciler.followHost(intent);
    await network.reconcile(tables.net);
    await this.#resolved([...known]);
    this.#reconciler.setIntent(intent);
    try {
      await this.#reconciler.settle();
    } finally {
      this.#parts.certificates.order();
    }
  }

  /** Access lists hold something else than before. */
  accessChanged(path: string | null): void {
    if (path !== null) this.#tellOfFile(path);
    this.#reconciler.request();
  }

  /** What cannot be done of the host's settings is another thing than before. */
  hostChanged(): void {
    this.#reconciler.request();
  }

  /** A monitor changed its mind. */
  healthChanged(): void {
    this.#reconciler.request();
  }

  /** The fast path has events to tell. */
  eventsReadable(): void {
    const { tier, events, live } = this.#parts;
    tier.drainEvents((event: L4Event) => {
      if (event.kind === 'drop') this.#show.dropTold(event.reason);
      const { time } = events.append(flowEvent(event, process.hrtime.bigint(), Date.now()));
      if (event.kind === 'flow-new') live.flow(event, time);
    });
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.#show.close();
    await this.#changes.close();
    await this.#reconciler.close();
  }

  async status(): Promise<Status> {
    return this.#show.status();
  }

  async config(): Promise<ConfigView> {
    const head = this.#parts.store.head();
    return { revision: head?.number ?? null, document: head?.document ?? null };
  }

  apply(request: ApplyRequest): Promise<ApplyResult> {
    return this.#changes.apply(request);
  }

  confirm({ author }: { readonly author: string }): Promise<ConfirmResult> {
    return this.#changes.confirm(author);
  }

  async diff(source: DocumentSource): Promise<DiffResult> {
    return this.#changes.diff(source);
  }

  async trial(source: DocumentSource): Promise<Trial> {
    const { tables, warnings } = this.#changes.plan(source);
    return tried(this.#parts.probe, [...tables.monitors.values()], warnings);
  }

  tryMember(name: Parameters<DaemonPort['tryMember']>[0]): Promise<TrialRow> {
    return row(this.#parts.probe, this.#show.targetOf(name));
  }

  rollback(request: RollbackRequest): Promise<ApplyResult> {
    return this.#changes.rollback(request);
  }

  setMember(request: SetMemberRequest): Promise<ApplyResult> {
    return this.#changes.setMember(request);
  }

  async history(query: {
    readonly limit: number;
    readonly before?: number;
  }): Promise<RevisionRow[]> {
    return this.#parts.store
      .history(query)
      .map(({ number, ...row }) => ({ revision: number, ...row, ...this.#sharedOf(number) }));
  }

  async revision(number: number): Promise<RevisionDetail> {
    const { number: revision, ...rest } = this.#changes.revision(number);
    return { revision, ...rest, ...this.#sharedOf(revision) };
  }

  async services(): Promise<ServiceRow[]> {
    return this.#show.services();
  }

  async service(name: string): Promise<ServiceDetail> {
    return this.#show.service(name);
  }

  async routes(query: { readonly service?: string }): Promise<RouteRow[]> {
    return this.#show.routes(query);
  }

  async workers(): Promise<WorkerRow[]> {
    return this.#show.workers();
  }

  restartWorkers({ author }: { readonly author: string }): Promise<WorkerRestart> {
    return this.#restarts.restart(author);
  }

  async pools(): Promise<PoolRow[]> {
    return this.#show.pools();
  }

  async pool(name: string): Promise<PoolDetail> {
    return this.#show.pool(name);
  }

  async members(query: { readonly pool?: string }): Promise<MemberRow[]> {
    return this.#show.members(query);
  }

  async member(name: Parameters<DaemonPort['member']>[0]): Promise<MemberDetail> {
    return this.#show.member(name);
  }

  async memberSetup(name: Parameters<DaemonPort['memberSetup']>[0]): Promise<MemberSetup> {
    return this.#show.memberSetup(name, this.#parts.network.addresses());
  }

  testMember(request: TestMemberRequest): Promise<MemberTest> {
    const { network } = this.#parts;
    return this.#show.testMember(request, {
      links: network.links(),
      addresses: network.addresses(),
    });
  }

  flows(query: Parameters<Show['flows']>[0]): Promise<FlowRow[]> {
    return this.#show.flows(query);
  }

  async tiers(): Promise<TierRow[]> {
    return this.#show.tiers();
  }

  async hardware(): Promise<HardwareReport> {
    return hardwareReport(this.#parts);
  }

  async counters(): Promise<Counters> {
    return this.#show.counters();
  }

  async events(query: Parameters<DaemonPort['events']>[0]): Promise<EventRow[]> {
    return this.#parts.events.latest(query.limit, query.kinds, query.severity);
  }

  async drops(query: { readonly samples: number }): Promise<DropRow[]> {
    return this.#show.drops(query);
  }

  async access(): Promise<AccessView> {
    return this.#show.access();
  }

  async testAccess(query: Parameters<DaemonPort['testAccess']>[0]): Promise<AccessTestRow[]> {
    return this.#show.testAccess(query.address, query.service);
  }

  async putAccess(request: TemporaryAccessRequest): Promise<TemporaryAccessRow> {
    const row = this.#parts.access.put(request, this.#reconciler.intent);
    await this.#reconciler.settle();
    this.#parts.events.append({
      kind: 'access',
      severity: 'info',
      message: `${row.author}: ${row.verdict} ${row.prefix} for ${row.service ?? 'every service'} until ${new Date(row.expires).toISOString()}`,
      subject: { author: row.author, ...(row.service === null ? {} : { service: row.service }) },
    });
    return row;
  }

  async removeAccess(request: Parameters<DaemonPort['removeAccess']>[0]): Promise<void> {
    const { prefix, service, author } = request;
    this.#parts.access.remove(prefix, service);
    await this.#reconciler.settle();
    this.#parts.events.append({
      kind: 'access',
      severity: 'info',
      message: `${author}: removed the temporary entry ${prefix} for ${service ?? 'every service'}`,
      subject: { author, ...(service === null ? {} : { service }) },
    });
  }

  async reloadAccess(): Promise<AccessView> {
    await this.#parts.access.reload();
    await this.#reconciler.settle();
    return this.#show.access();
  }

  memberBatches(): Iterable<MemberRow[]> {
    return this.#show.memberBatches();
  }

  timings(of: Parameters<MetricsSource['timings']>[0]): Timings | null {
    return this.#show.timings(of);
  }

  get disks(): MetricsSource['disks'] {
    return this.#parts.watches.disks;
  }

  get certificates(): Certificates {
    return this.#parts.certificates;
  }

  get pair(): Pairing {
    return this.#parts.pair;
  }

  get users(): Users {
    return this.#parts.users;
  }

  get network(): UnitNetwork {
    return this.#parts.unitNetwork;
  }

  get intent(): Intent | null {
    return this.#reconciler.intent;
  }

  get traffic(): Traffic {
    return this.#parts.traffic;
  }

  get system(): SystemPort {
    return this.#parts.system;
  }

  get upgrades(): Upgrades {
    return this.#parts.upgrades;
  }

  get alerts(): Alerting {
    return this.#parts.alerts;
  }

  /** Who is told, and of what alarms; null while nothing is executed. */
  situation(): Situation | null {
    const { intent } = this.#reconciler;
    if (intent === null) return null;
    return {
      ...{ unit: intent.unit.name, targets: intent.alerts },
      alarms: () => this.#show.alarms(),
    };
  }

  /** Who the other unit is, or what is known of it, has changed. */
  pairChanged(): void {
    this.#reconciler.request();
  }

  routers(): Promise<RouterRow[]> {
    return this.#parts.roles.rows();
  }

  failover(request: Parameters<DaemonPort['failover']>[0]): Promise<FailoverResult> {
    return this.#parts.roles.failover(request);
  }

  prefer(request: PreferRequest): Promise<PreferResult> {
    const { store, roles } = this.#parts;
    return prefer({ store, roles, changes: this.#changes }, request);
  }

  subscribe(listener: (observation: Observation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #sharedOf(revision: number): Pick<RevisionRow, 'shared'> {
    return { shared: sharedRevision(this.#parts.store.log.mark(revision)) };
  }

  /** Once for each problem that a file came to have or lost. */
  #tellOfFile(path: string): void {
    const { access, events } = this.#parts;
    const problem = access.problemOf(path);
    events.append({
      kind: 'access',
      severity: problem === null ? 'info' : 'error',
      message:
        problem === null ? `read ${path}` : `${problem}; the last good content of the file counts`,
    });
  }

  #ran(report: RunReport): void {
    const { events, access } = this.#parts;
    const { intent } = this.#reconciler;
    if (intent !== null) access.follow(intent);
    this.#parts.metrics.follow(intent?.unit.metrics ?? null);
    const { before, tables } = report;
    const happened = this.#history.follow(before, tables, Date.now());
    for (const event of [...happened, ...standingEvents(before, tables)]) events.append(event);
    this.#parts.watches.told(happened);
    const told = new Map(this.#lastRun?.outcomes.map((one) => [one.interface.index, one.why]));
    for (const outcome of report.outcomes) {
      if (told.get(outcome.interface.index) === outcome.why) continue;
      events.append({
        kind: 'tier',
        severity: outcome.attachment === null ? 'error' : outcome.degraded ? 'warning' : 'info',
        message: `XDP on ${outcome.interface.name}: ${outcome.why}`,
        subject: { interface: outcome.interface.name },
      });
    }
    this.#lastRun = report;
    this.#trackFitness();
    this.#unreadable = null;
    for (const wake of [...this.#waiting]) wake();
  }

  /** What was just committed and cannot be done now; members may first answer for their address. */
  async #warnings(): Promise<string[]> {
    await this.#resolved(this.#show.tables.net.memberAddresses);
    await this.#reconciler.settle();
    const proxied = this.#parts.proxy.problems.map(({ message }) => message);
    const found = [...(this.#lastRun?.netProblems ?? []), ...proxied];
    const { failure } = this.#reconciler;
    if (failure !== null) {
      found.push(
        `the fast path does not match the configuration yet: ${failure.message}; it is tried again by itself`,
      );
    }
    for (const { message } of this.#parts.access.alarms(this.#reconciler.intent)) {
      found.push(message);
    }
    for (const { message } of this.#parts.certificates.alarms()) found.push(message);
    for (const pool of this.#show.tables.l4.pools.values()) {
      const sentence = unreachable(pool);
      if (sentence !== null) found.push(sentence);
    }
    for (const outcome of this.#lastRun?.outcomes ?? []) {
      if (outcome.attachment === null) found.push(`${outcome.interface.name}: ${outcome.why}`);
    }
    if (this.#lastRun?.outcomes.length === 0 && this.#show.tables.l4.services.size > 0) {
      found.push('no interface reaches a service or member address: name one in unit.interfaces');
    }
    return found;
  }

  /** Resolves when every address has a next hop, or it is clear that one will take longer. */
  async #resolved(addresses: readonly string[]): Promise<void> {
    const { network } = this.#parts;
    const missing = (): boolean =>
      addresses.some((address) => 'unresolved' in network.nextHop(address));
    if (!missing()) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(deadline);
        this.#waiting.delete(look);
        resolve();
      };
      const look = (): void => {
        if (!missing()) done();
      };
      const deadline = setTimeout(done, RESOLUTION_MS);
      this.#waiting.add(look);
    });
  }

  /**
   * What a revision means. It was valid when it was committed; a later version of the language may
   * be stricter. Then the fast path goes on as it is, and the API is there for the remedy.
   */
  #intentOf(revision: Revision): Intent | null {
    const checked = checkDocument(revision.document);
    if (checked.ok) return checked.intent;
    this.#unreadable = new Error(
      `revision ${revision.number} is not valid for this version: ${checked.errors.map(formatConfigError).join('; ')}`,
    );
    this.#parts.events.append({
      kind: 'daemon',
      severity: 'error',
      message: `${this.#unreadable.message}: nothing is changed until a valid document is applied`,
    });
    return null;
  }

  /** What virtual routers track. */
  #trackFitness(): void {
    const { tables } = this.#reconciler;
    if (tables === undefined || tables.pair.groups.length === 0) {
      this.#parts.network.ways.want(NO_PAIR.ways);
      this.#parts.peerWays.judge(new Map());
      return;
    }
    const { roles, network } = this.#parts;
    network.ways.want(tables.pair.ways);
    const well = fitness({
      ...{ tables, outcomes: this.#lastRun?.outcomes ?? [] },
      proxy: this.#show.proxy.health,
      reaches: this.#parts.peerHealth.reaches,
      links: network.links(),
      ways: this.#parts.peerWays.judge(network.ways.well),
    });
    for (const [name, is] of well) roles.track(name, is);
  }

  /** The kernel tells nobody that a program was taken off an interface: look once a second. */
  #guardAttachments(): void {
    const { tier, events } = this.#parts;
    if (tier.intact) return;
    events.append({
      kind: 'repair',
      severity: 'warning',
      message: 'somebody took the fast path off an interface: attaching it again',
    });
    this.#reconciler.request();
  }

  #tell(observation: Observation): void {
    for (const listener of [...this.#listeners]) listener(observation);
  }
}
