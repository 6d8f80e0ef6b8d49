/**
 * A daemon made of values: it answers what it was given, remembers what it was
 * asked, and publishes what a test tells it to. No kernel, no store.
 *
 * Invariant: every row here has each of its keys set to something that a mix-up of
 * two keys would change, so that a test sees it.
 */
import { NO_COUNTERS } from '../../../appliance/telemetry/rates.js';
import type {
  AccessTestRow,
  AccessView,
  ApplyResult,
  Change,
  ConfigView,
  ConfirmResult,
  CounterDeltas,
  Counters,
  CounterSet,
  DiffResult,
  Document,
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
} from '../../../appliance/api/contract.js';
import { isAtLeast } from '../../../appliance/config/severities.js';
import {
  type ApplyRequest,
  type DaemonPort,
  type MemberName,
  type DocumentSource,
  type Observation,
  PortError,
  type RollbackRequest,
  type SetMemberRequest,
  type TemporaryAccessRequest,
  type TestMemberRequest,
} from '../../../appliance/api/port.js';

import { FakeAlerts } from './fake-alerts.js';
import { FakeCertificates } from './fake-certificates.js';
import { FakePair } from './fake-pair.js';
import { SceneUsers } from '../../support/user-scene.js';
import { FakeTraffic } from './fake-traffic.js';
import { FakeSystem } from './fake-system.js';
import { FakeNetwork } from './fake-network.js';
import { FakeUpgrades } from './fake-upgrades.js';
import { ROUTERS } from './router-rows.js';
import { RESTART, ROUTES, SERVICE, WORKERS } from './proxy-rows.js';

/** 2026-03-01 14:05:09 UTC. */
export const THEN = Date.UTC(2026, 2, 1, 14, 5, 9);

export const DOCUMENT: Document = {
  version: 1,
  unit: { name: 'weir-a' },
  pools: { web: { algorithm: 'maglev', members: [{ address: '10.0.1.11', port: 8080 }] } },
};

export const CHANGES: readonly Change[] = [
  {
    path: 'pools.web.members[10.0.1.12:8080]',
    kind: 'added',
    after: { address: '10.0.1.12', port: 8080 },
  },
  { path: 'pools.web.members[10.0.1.11:8080].weight', kind: 'changed', before: 1, after: 3 },
  { path: 'services.old', kind: 'removed', before: { pool: 'web' } },
];

const TOTALS: CounterSet = {
  flows: 1200,
  packets: 34_000,
  bytes: 5_600_000,
  replyPackets: 30_000,
  replyBytes: 78_000_000,
  answers: 1190,
  answerNs: 595_000_000,
  resets: 3,
};
const RATES = { flowsPerSecond: 12, packetsPerSecond: 3400, bitsPerSecond: 45_600_000 };

export const STATUS: Status = {
  unit: 'weir-a',
  version: '9.8.7',
  revision: 7,
  startedAt: THEN - 7_500_000,
  uptimeMs: 7_500_000,
  pendingConfirm: { revision: 7, previous: 6, deadline: THEN + 43_000, secondsLeft: 43 },
  role: 'standalone',
  routers: { master: 0, backup: 0, down: 0 },
  replication: null,
  services: 2,
  membersServing: 2,
  membersTotal: 4,
  alarms: [
    {
      code: 'member-down',
      severity: 'error',
      message: 'web: 10.0.1.12:8080 is down: connection refused',
      since: THEN - 60_000,
    },
  ],
  metrics: {
    ...{ listening: ['http://127.0.0.1:9477/metrics'], token: true },
    problems: ['Metrics are not served at 192.0.2.1:9477: listen EADDRNOTAVAIL.'],
  },
  kernel: '6.1.0-13-amd64',
};

export const SERVICES: ServiceRow[] = [
  {
    name: 'shop',
    address: '10.0.0.80',
    port: 80,
    protocol: 'tcp',
    state: 'DEGRADED',
    tier: 'xdp',
    tierReason: 'native mode on eth0',
    forwarding: 'nat',
    pool: 'web',
    servedBy: 'web',
    synCookies: null,
    membersServing: 2,
    membersTotal: 4,
    rates: RATES,
    totals: TOTALS,
    since: THEN - 3_600_000,
    proxy: null,
  },
  {
    name: 'dns',
    address: '2001:db8::53',
    port: 53,
    protocol: 'udp',
    state: 'UP',
    tier: 'none',
    tierReason: 'no interface is attached',
    forwarding: null,
    pool: 'resolvers',
    servedBy: 'resolvers',
    synCookies: null,
    membersServing: 0,
    membersTotal: 0,
    rates: { flowsPerSecond: 0, packetsPerSecond: 0, bitsPerSecond: 0 },
    totals: NO_COUNTERS,
    since: THEN,
    proxy: null,
  },
];

export const POOLS: PoolRow[] = [
  {
    name: 'web',
    algorithm: 'maglev',
    monitor: 'http',
    services: ['shop'],
    membersUp: 1,
    membersDraining: 1,
    membersDown: 1,
    membersDisabled: 1,
    membersTotal: 4,
    rates: RATES,
    totals: TOTALS,
    since: THEN - 3_600_000,
    proxy: null,
  },
  {
    name: 'resolvers',
    algorithm: 'maglev',
    monitor: null,
    services: ['dns'],
    membersUp: 0,
    membersDraining: 0,
    membersDown: 0,
    membersDisabled: 0,
    membersTotal: 0,
    rates: RATES,
    totals: TOTALS,
    since: THEN,
    proxy: null,
  },
];

function member(last: number, state: MemberRow['state'], reason: string): MemberRow {
  return {
    pool: 'web',
    member: `10.0.1.${last}:8080`,
    address: `10.0.1.${last}`,
    port: 8080,
    weight: last - 10,
    effectiveWeight: last === 11 ? 0.3 : last - 10,
    backup: last === 14,
    state,
    reason,
    since: THEN - last * 1000,
    nextHop:
      state === 'DOWN'
        ? null
        : { interface: 'eth1', vlan: last === 13 ? [100, 7] : [], mac: `02:00:00:00:00:${last}` },
    nextHopProblem: state === 'DOWN' ? 'no MAC address known' : null,
    health:
      state === 'DISABLED'
        ? null
        : {
            monitor: 'http',
            state: state === 'DOWN' ? 'down' : 'up',
            reason,
            lastProbe: THEN - 2000,
            latencyMs: 1.25,
            responseTimeUs: 1300,
            agent: null,
          },
    rates: RATES,
    totals: TOTALS,
    proxy: null,
  };
}

export const MEMBERS: MemberRow[] = [
  member(11, 'UP', 'monitor: 200'),
  member(12, 'DOWN', 'monitor: connection refused'),
  member(13, 'DRAINING', 'set by the administrator'),
  {
    ...member(14, 'DISABLED', 'set by the administrator'),
    member: '[2001:db8::14]:8080',
    address: '2001:db8::14',
  },
];

export const MEMBER: MemberDetail = {
  ...member(12, 'DOWN', 'connection refused'),
  findings: [
    {
      kind: 'change',
      time: THEN - 12_000,
      last: THEN - 12_000,
      count: 1,
      text: 'went from up to down: connection refused',
    },
    {
      kind: 'failure',
      time: THEN - 16_000,
      last: THEN - 2000,
      count: 8,
      text: 'connection refused',
    },
  ],
  latenciesMs: [1.25, 12.5],
  probeSharedWith: ['api/10.0.1.12:8080'],
  peerSees: { state: 'up', since: Date.UTC(2026, 0, 1) },
  quicServerId: null,
};

export const SETUP: MemberSetup = {
  pool: 'web',
  member: '10.0.1.12:8080',
  services: [
    {
      ...{ name: 'shop', address: '10.0.0.80', port: 80, protocol: 'tcp' },
      ...{ forwarding: 'tunnel', guePort: 6080 },
    },
  ],
  commands: [
    {
      command: 'ip address replace 10.0.0.80/32 dev lo',
      undo: 'ip address del 10.0.0.80/32 dev lo',
      why: 'Packets arrive with it.',
      services: ['shop'],
    },
    {
      command: 'modprobe fou',
      undo: null,
      why: 'A long reason, which says word by word and at some length what the module is wanted for at all.',
      services: ['shop'],
    },
  ],
  checks: ['Firewalls let it pass.'],
};

export const TEST: MemberTest = {
  pool: 'web',
  member: '10.0.1.12:8080',
  ok: true,
  tests: [
    {
      ...{ service: 'shop', forwarding: 'nat', protocol: 'tcp', result: 'answered' },
      ...{ from: '10.0.0.3', left: { interface: 'eth1', mac: '02:00:00:00:00:01' } },
      ...{ afterMs: 0.3, answeredBy: 'eth1' },
      text: 'answered by SYN-ACK after 0.3 ms through nat.',
    },
  ],
};

export const DETAIL: PoolDetail = {
  ...POOLS[0]!,
  muster: 'few',
  membersNeeded: 2,
  membersAble: 1,
  servedBy: 'web',
  whenDown: 'While no member can serve, new flows are dropped.',
  now: '1 of 2 needed members can serve, and no others are left: these take all new flows.',
  members: MEMBERS,
};

export const FLOWS: FlowRow[] = [
  {
    protocol: 'tcp',
    clientAddress: '192.0.2.7',
    clientPort: 40_001,
    service: 'shop',
    address: '10.0.0.80',
    port: 80,
    pool: 'web',
    member: '10.0.1.11:8080',
    idleMs: 3000,
  },
];

export function event(sequence: number, message = `event ${sequence}`): EventRow {
  return {
    sequence,
    time: THEN + sequence * 1000,
    kind: 'member-state',
    severity: sequence % 2 === 0 ? 'error' : 'info',
    message,
    subject: { pool: 'web', member: '10.0.1.12:8080', before: 'UP', after: 'DOWN' },
  };
}

export const TIERS: TierRow[] = [
  {
    tier: 'xdp',
    interface: 'eth0',
    mode: 'generic',
    profile: 'virtio_net',
    why: 'the driver has too few queues for native mode',
    degraded: true,
    attachedSince: THEN - 86_400_000,
    programTag: '0123456789abcdef',
    maps: [
      { name: 'services', entries: 2, limit: 4096 },
      { name: 'flows', entries: null, limit: 1_048_576 },
    ],
  },
];

export const HARDWARE: HardwareReport = {
  machine: {
    cpu: 'AMD EPYC 7763',
    cores: 4,
    memoryBytes: 8 * 2 ** 30,
    kernel: '6.1.0-13-amd64',
    btf: true,
    libbpf: '1.1',
  },
  tables: { flows: 1_048_576, lookupChunks: 524_288, why: 'the profile ixgbe has them' },
  interfaces: [
    {
      name: 'eth0',
      driver: 'ixgbe',
      version: '6.1.0',
      firmware: '0x800006da',
      bus: '0000:01:00.0',
      profile: 'ixgbe',
      title: 'Intel 82599',
      matched: 'the driver says that it is ixgbe',
      up: true,
      running: true,
      mtu: 1500,
      speed: 10_000,
      carrier: null,
      vlan: [],
      bond: null,
      fastPath: true,
      mode: 'native',
      why: 'native mode, the best that the profile ixgbe knows',
      modes: ['native', 'generic'],
      offload: null,
      checks: [
        {
          subject: 'mtu',
          state: 'ok',
          now: '1500',
          wanted: 'at most 3050',
          why: 'One buffer.',
          command: null,
        },
        {
          subject: 'queues',
          state: 'change',
          now: '63 combined of 63',
          wanted: '4 combined',
          why: 'One per CPU.',
          command: 'ethtool -L eth0 combined 4',
        },
        {
          subject: 'large-receive-offload',
          state: 'change',
          now: 'on, fixed',
          wanted: 'off',
          why: 'Merged packets.',
          command: null,
        },
        {
          subject: "peer's tx-checksumming",
          state: 'unknown',
          now: 'not seen from here',
          wanted: 'off',
          why: 'Sums.',
          command: 'ethtool -K PEER tx off',
        },
      ],
      quirks: ['Attaching resets the port.'],
    },
    {
      name: 'bond0.100',
      driver: '802.1Q VLAN Support',
      version: '1.8',
      firmware: 'N/A',
      bus: '',
      profile: 'generic',
      title: 'Any interface',
      matched: 'no profile is for the driver 802.1Q VLAN Support',
      up: true,
      running: false,
      mtu: 9000,
      speed: null,
      carrier: 'bond0',
      vlan: [100],
      bond: { mode: '802.3ad', hashPolicy: 'layer3+4', ports: ['eth1', 'eth2'] },
      fastPath: false,
      mode: null,
      why: 'its frames pass bond0',
      modes: ['generic'],
      offload: 'Some programs.',
      checks: [],
      quirks: [],
    },
  ],
};

export const COUNTERS: Counters = {
  time: THEN,
  since: THEN - 3_600_000,
  totals: { passed: 17, echoReplies: 5, eventsLost: 1, errorsSent: 2 },
  drops: { malformed: 3, 'no-member': 0 },
  services: { shop: TOTALS },
  members: { 'web/10.0.1.11:8080': { ...TOTALS, active: 12 } },
};

export const DELTAS: CounterDeltas = {
  time: THEN,
  intervalMs: 1000,
  totals: { passed: 1, echoReplies: 0, eventsLost: 0, errorsSent: 0 },
  drops: { malformed: 2 },
  services: {
    shop: {
      ...NO_COUNTERS,
      flows: 2,
      packets: 20,
      bytes: 2000,
      replyPackets: 10,
      replyBytes: 8000,
    },
  },
  members: {},
};

export const DROPS: DropRow[] = [
  { reason: 'malformed', total: 3, perSecond: 0, shown: 1, notShown: 2, samples: [] },
  { reason: 'denied', total: 12_000, perSecond: 450, shown: 7, notShown: 11_993, samples: [] },
];

export const ACCESS: AccessView = {
  lists: [
    {
      name: 'feed',
      prefixes: 100_000,
      file: '/etc/weir/feed.txt',
      loaded: THEN - 60_000,
      problem: '/etc/weir/feed.txt, line 7: "x" is no IP address',
      expires: null,
      allowedBy: [],
      deniedBy: ['shop'],
    },
  ],
  temporary: [
    {
      prefix: '192.0.2.0/24',
      verdict: 'deny',
      service: null,
      created: THEN - 60_000,
      expires: THEN + 3_600_000,
      author: 'root',
      comment: 'abuse',
    },
  ],
  entries: 100_003,
  limit: 1_048_576,
};

export const ACCESS_TEST: AccessTestRow[] = [
  { service: 'shop', verdict: 'deny', prefix: '192.0.2.0/24', because: 'a temporary entry' },
];

export const REVISIONS: RevisionRow[] = [
  {
    revision: 7,
    author: 'root',
    time: THEN,
    comment: 'two more members',
    digest: 'sha256:77',
    changes: CHANGES,
    shared: null,
  },
  {
    revision: 6,
    author: 'uid 1234',
    time: THEN - 60_000,
    comment: '',
    digest: 'sha256:66',
    changes: [],
    shared: null,
  },
];

/** One call of the port: the method and its argument. */
export interface Asked {
  readonly method: keyof DaemonPort;
  readonly argument: unknown;
}

/** One member answers, one refuses. */
export const TRIAL: Trial = {
  rows: [
    {
      ...{ pool: 'web', member: '10.0.1.11:8080', monitor: 'http' },
      ...{ outcome: 'pass', reason: 'status 200', latencyMs: 1.25 },
    },
    {
      ...{ pool: 'web', member: '10.0.1.12:8080', monitor: 'http' },
      ...{ outcome: 'fail', reason: 'connection refused', latencyMs: null },
    },
  ],
  warnings: [],
};

export class FakeDaemon implements DaemonPort {
  readonly asked: Asked[] = [];
  readonly certificates = new FakeCertificates();
  readonly alerts = new FakeAlerts();
  readonly pair = new FakePair();
  readonly users = new SceneUsers();
  readonly traffic = new FakeTraffic();
  readonly system = new FakeSystem();
  readonly upgrades = new FakeUpgrades();
  readonly network = new FakeNetwork();
  readonly listeners = new Set<(observation: Observation) => void>();
  /** Thrown by the next call of that method instead of an answer. */
  readonly failures = new Map<keyof DaemonPort, Error>();
  /** What the next answers of these are. */
  view: ConfigView = { revision: 7, document: DOCUMENT };
  current: Status = STATUS;
  applied: ApplyResult = { revision: 8, changes: CHANGES, dryRun: false, warnings: [] };
  test: MemberTest = TEST;
  trialed: Trial = TRIAL;
  detail: MemberDetail = MEMBER;
  rows = { services: SERVICES, pools: POOLS, members: MEMBERS };
  log: EventRow[] = [event(1), event(2)];
  /** When set, calls wait for it: a slow daemon. */
  gate: Promise<void> | null = null;

  publish(observation: Observation): void {
    for (const listener of [...this.listeners]) listener(observation);
  }

  /** The only argument of the last call of a method. */
  last(method: keyof DaemonPort): unknown {
    return this.asked.filter((one) => one.method === method).at(-1)?.argument;
  }

  async #answer<T>(method: keyof DaemonPort, argument: unknown, value: T): Promise<T> {
    this.asked.push({ method, argument });
    if (this.gate !== null) await this.gate;
    const failure = this.failures.get(method);
    this.failures.delete(method);
    if (failure !== undefined) throw failure;
    return value;
  }

  status(): Promise<Status> {
    return this.#answer('status', undefined, this.current);
  }
  config(): Promise<ConfigView> {
    return this.#answer('config', undefined, this.view);
  }
  apply(request: ApplyRequest): Promise<ApplyResult> {
    this.#match(request.ifMatch);
    const { confirm, dryRun } = request;
    const result: ApplyResult = {
      ...this.applied,
      dryRun,
      ...(dryRun ? { revision: this.view.revision } : {}),
      ...(confirm === undefined ? {} : { confirmBy: Date.now() + confirm }),
    };
    return this.#answer('apply', request, result);
  }
  confirm(request: { readonly author: string }): Promise<ConfirmResult> {
    return this.#answer('confirm', request, { revision: 7 });
  }
  diff(source: DocumentSource): Promise<DiffResult> {
    return this.#answer('diff', source, { revision: 7, changes: CHANGES, warnings: [] });
  }
  trial(source: DocumentSource): Promise<Trial> {
    return this.#answer('trial', source, this.trialed);
  }
  tryMember(name: MemberName): Promise<TrialRow> {
    return this.#answer('tryMember', name, TRIAL.rows[0]!);
  }
  history(query: { readonly limit: number; readonly before?: number }): Promise<RevisionRow[]> {
    return this.#answer('history', query, REVISIONS.slice(0, query.limit));
  }
  revision(number: number): Promise<RevisionDetail> {
    const row = REVISIONS.find(({ revision }) => revision === number);
    if (row === undefined) {
      this.failures.set('revision', new PortError('not-found', `There is no revision ${number}.`));
    }
    return this.#answer('revision', number, { ...(row ?? REVISIONS[0]!), document: DOCUMENT });
  }
  rollback(request: RollbackRequest): Promise<ApplyResult> {
    this.#match(request.ifMatch);
    return this.#answer('rollback', request, this.applied);
  }
  setMember(request: SetMemberRequest): Promise<ApplyResult> {
    this.#match(request.ifMatch);
    return this.#answer('setMember', request, this.applied);
  }
  services(): Promise<ServiceRow[]> {
    return this.#answer('services', undefined, this.rows.services);
  }
  service(name: string): Promise<ServiceDetail> {
    if (name !== SERVICE.name) {
      this.failures.set('service', new PortError('not-found', `There is no service ${name}.`));
    }
    return this.#answer('service', name, SERVICE);
  }
  routes(query: { readonly service?: string }): Promise<RouteRow[]> {
    return this.#answer('routes', query, ROUTES);
  }
  workers(): Promise<WorkerRow[]> {
    return this.#answer('workers', undefined, WORKERS);
  }
  restartWorkers(request: { readonly author: string }): Promise<WorkerRestart> {
    return this.#answer('restartWorkers', request, RESTART);
  }
  routers(): Promise<RouterRow[]> {
    return this.#answer('routers', undefined, ROUTERS);
  }
  failover(request: Parameters<DaemonPort['failover']>[0]): Promise<FailoverResult> {
    const remaining = request.cancel ? [] : ['even/eth0/ipv4'];
    return this.#answer('failover', request, { routers: ROUTERS, remaining });
  }
  prefer(request: Parameters<DaemonPort['prefer']>[0]): Promise<PreferResult> {
    return this.#answer('prefer', request, {
      change: {
        ...{ revision: 12, dryRun: request.dryRun, warnings: [] },
        changes: [{ kind: 'added', path: 'pair.prefer', after: request.unit }],
      },
      moves: [{ address: '10.0.0.81', from: 'weir-a', to: 'weir-b' }],
      ...{ preempt: true, preemptDelay: 5000 },
    });
  }
  pools(): Promise<PoolRow[]> {
    return this.#answer('pools', undefined, this.rows.pools);
  }
  pool(name: string): Promise<PoolDetail> {
    if (name !== DETAIL.name) {
      this.failures.set('pool', new PortError('not-found', `There is no pool ${name}.`));
    }
    return this.#answer('pool', name, DETAIL);
  }
  members(query: { readonly pool?: string }): Promise<MemberRow[]> {
    const rows = this.rows.members.filter(
      ({ pool }) => query.pool === undefined || pool === query.pool,
    );
    return this.#answer('members', query, rows);
  }
  member(name: { readonly pool: string; readonly member: string }): Promise<MemberDetail> {
    return this.#answer('member', name, this.detail);
  }
  memberSetup(name: { readonly pool: string; readonly member: string }): Promise<MemberSetup> {
    return this.#answer('memberSetup', name, SETUP);
  }
  testMember(request: TestMemberRequest): Promise<MemberTest> {
    return this.#answer('testMember', request, this.test);
  }

  flows(query: {
    readonly limit: number;
    readonly service?: string;
    readonly member?: string;
  }): Promise<FlowRow[]> {
    return this.#answer('flows', query, FLOWS.slice(0, query.limit));
  }
  events(query: Parameters<DaemonPort['events']>[0]): Promise<EventRow[]> {
    const { limit, kinds, severity: least = 'info' } = query;
    const rows = this.log.filter(
      ({ kind, severity }) =>
        (kinds === undefined || kinds.includes(kind)) && isAtLeast(severity, least),
    );
    return this.#answer('events', query, rows.slice(-limit));
  }
  tiers(): Promise<TierRow[]> {
    return this.#answer('tiers', undefined, TIERS);
  }
  hardware(): Promise<HardwareReport> {
    return this.#answer('hardware', undefined, HARDWARE);
  }
  counters(): Promise<Counters> {
    return this.#answer('counters', undefined, COUNTERS);
  }
  drops(query: { readonly samples: number }): Promise<DropRow[]> {
    return this.#answer('drops', query, DROPS);
  }
  access(): Promise<AccessView> {
    return this.#answer('access', undefined, ACCESS);
  }
  testAccess(query: Parameters<DaemonPort['testAccess']>[0]): Promise<AccessTestRow[]> {
    return this.#answer('testAccess', query, ACCESS_TEST);
  }
  putAccess(request: TemporaryAccessRequest): Promise<TemporaryAccessRow> {
    const { prefix, verdict, service, forMs, author, comment } = request;
    const row = { prefix, verdict, service, created: THEN, expires: THEN + forMs, author, comment };
    return this.#answer('putAccess', request, row);
  }
  removeAccess(request: Parameters<DaemonPort['removeAccess']>[0]): Promise<void> {
    return this.#answer('removeAccess', request, undefined);
  }
  reloadAccess(): Promise<AccessView> {
    return this.#answer('reloadAccess', undefined, ACCESS);
  }

  subscribe(listener: (observation: Observation) => void): () => void {
    this.asked.push({ method: 'subscribe', argument: undefined });
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  #match(revision: number | undefined): void {
    const current = this.view.revision ?? 0;
    if (revision !== undefined && revision !== current) {
      throw new PortError(
        'revision-mismatch',
        `Revision ${current} is the current one, not ${revision}: look at what changed and try again.`,
      );
    }
  }
}
