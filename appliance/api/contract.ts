/**
 * What the control API answers: the shapes of every response under `/v1`, and of
 * the stream. `weir … --json` prints exactly these, so this file is the stable
 * interface of the unit for people's scripts.
 *
 * Conventions. Times are milliseconds since 1970-01-01 UTC; durations are
 * milliseconds and say so in their name. Counters only grow while the tables of the
 * fast path live; they are doubles, exact up to 2^53. A value that is not known is
 * `null`, never absent; a key marked `?` is absent when it has no meaning there.
 *
 * Invariant: within `/v1` a key never changes its meaning or type and never goes
 * away. New keys may appear, and readers must ignore those that they don't know.
 */
import type { Change } from '../config/changes.js';
import type { ConfigError } from '../config/errors.js';
import type { Document } from '../config/schema.js';
import type { Severity } from '../config/severities.js';
import type { ProxyTraffic, RouteRow } from './proxy-contract.js';

export type { Change, ConfigError, Document, Severity };
export type * from './alert-contract.js';
export type * from './certificate-contract.js';
export type * from './history-contract.js';
export type * from './live-contract.js';
export type * from './network-contract.js';
export type * from './pair-contract.js';
export type * from './upgrade-contract.js';
export type * from './proxy-contract.js';
export type * from './router-contract.js';
export type * from './trial-contract.js';
export type * from './user-contract.js';
export type * from './system-contract.js';

/** Names the interface in every path. */
export const API_VERSION = 'v1';

/** Largest request body: a document of some 100,000 members. */
export const BODY_LIMIT_BYTES = 16 * 1024 * 1024;

/** Largest file of a backup. */
export const BACKUP_LIMIT_BYTES = 256 * 1024 * 1024;

/** Where the daemon listens unless told otherwise. */
export const DEFAULT_SOCKET = '/run/weir/weir.sock';

/** Client to member, and back where replies pass through the unit (nat). */
export interface CounterSet {
  /** Flows begun. */
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly replyPackets: number;
  readonly replyBytes: number;
  /** Handshakes that were answered, where replies pass through the unit, … */
  readonly answers: number;
  /** … and how long that took, all together, in nanoseconds. */
  readonly answerNs: number;
  /** Connections that the member reset, where replies pass through the unit. */
  readonly resets: number;
}

/** What is counted of a member. */
export interface MemberCounterSet extends CounterSet {
  /** Flows that are active now: those that the flow table holds, which are all or only exceptions. */
  readonly active: number;
}

/** Over the last full second; both directions together. */
export interface Rates {
  readonly flowsPerSecond: number;
  readonly packetsPerSecond: number;
  readonly bitsPerSecond: number;
}

/** The administrator's word on a member, as in the document. */
export type MemberSetting = 'enabled' | 'draining' | 'disabled';

/** What a member is now. DISABLED is the administrator's doing, DOWN is not. */
export type MemberState = 'UP' | 'DRAINING' | 'DOWN' | 'DISABLED';

/** UP: every member is well. DEGRADED: some take flows, or those of another pool. DOWN: none. */
export type ServiceState = 'UP' | 'DEGRADED' | 'DOWN';

export interface ServiceRow {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** As in the document: `tcp`, `udp`, `https` … */
  readonly protocol: string;
  readonly state: ServiceState;
  /** The tier that serves it, in the words of the language: `xdp`, `proxy`; `none` while no tier does. */
  readonly tier: string;
  readonly tierReason: string;
  /** Null for a service that no layer 4 forwarding carries. */
  readonly forwarding: string | null;
  /** The pool that serves; with routes all of them, as in `web, api`; empty when none answers. */
  readonly pool: string;
  /** The pools that take its new flows now: `pool`, or those that stand in for them, in the same order. */
  readonly servedBy: string;
  /** Of those pools. */
  readonly membersServing: number;
  readonly membersTotal: number;
  readonly rates: Rates;
  readonly totals: CounterSet;
  /** Null where SYNs are never answered by cookies. */
  readonly synCookies: SynCookieCounters | null;
  /** Since when the totals count. */
  readonly since: number;
  /** What the proxy does for it; null when another tier serves it. `rates` and `totals` are 0 then. */
  readonly proxy: ProxyTraffic | null;
}

/** One service in detail. */
export interface ServiceDetail extends ServiceRow {
  /** Of the proxy, in the order of the document; none for other tiers. */
  readonly routes: readonly RouteRow[];
}

export interface SynCookieCounters {
  /** SYNs are answered by cookies now. */
  readonly on: boolean;
  /** SYN-ACKs with a cookie. */
  readonly sent: number;
  /** ACKs that brought one back, each the begin of a flow. */
  readonly accepted: number;
  /** ACKs of no flow and with no cookie of ours, while SYNs were answered by cookies. */
  readonly rejected: number;
}

export interface PoolRow {
  readonly name: string;
  readonly algorithm: string;
  /** Type of its monitor, null without one. */
  readonly monitor: string | null;
  /** Names of the services that use it. */
  readonly services: readonly string[];
  readonly membersUp: number;
  readonly membersDraining: number;
  readonly membersDown: number;
  readonly membersDisabled: number;
  readonly membersTotal: number;
  readonly rates: Rates;
  readonly totals: CounterSet;
  readonly since: number;
  /** Of its members together by the proxy; null when no proxied service can come to use it. */
  readonly proxy: ProxyTraffic | null;
}

/**
 * How a pool is off. `enough`: as many members serve as are needed, without backups. `backups`:
 * with them. `all`: too few serve, so those that are down are used as well. `few`: fewer serve
 * than are needed. `none`: nobody takes new flows.
 */
export type PoolMuster = 'enough' | 'backups' | 'all' | 'few' | 'none';

/** One pool in detail. */
export interface PoolDetail extends PoolRow {
  readonly muster: PoolMuster;
  /** How many members must serve. */
  readonly membersNeeded: number;
  /** How many can serve, backups among them. */
  readonly membersAble: number;
  /** The pool that takes its new flows now: itself, or one that stands in for it. */
  readonly servedBy: string;
  /** One sentence: what happens to new flows when too few serve. */
  readonly whenDown: string;
  /** One sentence: how it is now, and why. */
  readonly now: string;
  readonly members: readonly MemberRow[];
}

export interface NextHopView {
  readonly interface: string;
  /** Identifiers of the VLAN tags that its frames carry, the outermost first. */
  readonly vlan: readonly number[];
  /** `02:00:5e:10:00:01`. */
  readonly mac: string;
}

export interface HealthView {
  /** Type of the monitor: `tcp`, `http` … */
  readonly monitor: string;
  readonly state: 'unknown' | 'up' | 'down';
  readonly reason: string;
  /** When the last probe ended; null before the first. */
  readonly lastProbe: number | null;
  readonly latencyMs: number | null;
  /** Decaying average of the answered probes, in microseconds. */
  readonly responseTimeUs: number | null;
  /** What an agent on the member said; null when it has not spoken. */
  readonly agent: AgentView | null;
}

/** Percentages and numbers that the agent never spoke of are null. */
export interface AgentView {
  readonly state: 'up' | 'drain' | 'maint' | 'down';
  /** Of the configured weight. */
  readonly weightPercent: number | null;
  readonly cpuPercent: number | null;
  readonly maxConnections: number | null;
}

export interface MemberRow {
  readonly pool: string;
  /** `ADDRESS:PORT`, `[ADDRESS]:PORT`, or the address alone: its name in every command. */
  readonly member: string;
  readonly address: string;
  /** 0: the service's own port. */
  readonly port: number;
  /** In the document. */
  readonly weight: number;
  /**
   * What the algorithm uses now, in the unit of `weight`: changed by slow start, agent or observation;
   * 0 while the member takes no new flows.
   */
  readonly effectiveWeight: number;
  readonly backup: boolean;
  readonly state: MemberState;
  readonly reason: string;
  /** When it came to this state. */
  readonly since: number;
  readonly nextHop: NextHopView | null;
  /** Why there is no next hop; null when there is one. */
  readonly nextHopProblem: string | null;
  /** Null without a monitor. */
  readonly health: HealthView | null;
  readonly rates: Rates;
  readonly totals: CounterSet;
  /** By the proxy; null when no proxied service can come to use its pool. */
  readonly proxy: ProxyTraffic | null;
}

/** Something that a member's monitor found. */
export interface FindingRow {
  /** `change`: of the state. `failure`: a probe that failed. `trouble`: the unit's own. */
  readonly kind: 'change' | 'failure' | 'trouble';
  /** The first and the last time of it. */
  readonly time: number;
  readonly last: number;
  readonly count: number;
  readonly text: string;
}

/** One member, with what its monitor remembers. */
export interface MemberDetail extends MemberRow {
  /** The newest first, ten at most. */
  readonly findings: readonly FindingRow[];
  /** Of the last answered probes, in milliseconds; the newest first. */
  readonly latenciesMs: readonly number[];
  /** Other members, as `POOL/MEMBER`, that the same probe speaks for. */
  readonly probeSharedWith: readonly string[];
  /** What the other unit of the pair sees; null: nothing, or it is not heard. */
  readonly peerSees: { readonly state: 'up' | 'down'; readonly since: number } | null;
  /** What names it in connection ids of QUIC; null when no service of its pool uses them. */
  readonly quicServerId: number | null;
}

/** A command for a member, as root in its shell. */
export interface SetupCommand {
  readonly command: string;
  /** What takes it back; null when only its administrator knows what was there before. */
  readonly undo: string | null;
  readonly why: string;
  /** Services that need it. */
  readonly services: readonly string[];
}

/** What a Linux member of a pool needs so that the services of the pool reach it. */
export interface MemberSetup {
  readonly pool: string;
  readonly member: string;
  readonly services: readonly {
    readonly name: string;
    readonly address: string;
    readonly port: number;
    readonly protocol: string;
    readonly forwarding: string;
    /** UDP port of GUE; 0: IP in IP, or no tunnel. */
    readonly guePort: number;
  }[];
  /** In the order to run them; taken back in the opposite one. */
  readonly commands: readonly SetupCommand[];
  /** What no command settles: sentences for whoever looks after member and network. */
  readonly checks: readonly string[];
}

/** What came of one packet through the fast path to a member, and its answer. */
export interface MemberTestRow {
  readonly service: string;
  readonly forwarding: string;
  readonly protocol: string;
  /**
   * `astray`: it answered, but not by the way that answers to clients must take. `silent`: no
   * answer in time. `not-sent`: the text says why.
   */
  readonly result: 'answered' | 'reset' | 'astray' | 'silent' | 'not-sent';
  /** The unit's address that played the client; null when nothing was sent. */
  readonly from: string | null;
  /** Where the frame left to; null when it did not. */
  readonly left: { readonly interface: string; readonly mac: string } | null;
  readonly afterMs: number | null;
  /** The interface that the answer came in by. */
  readonly answeredBy: string | null;
  readonly text: string;
}

export interface MemberTest {
  readonly pool: string;
  readonly member: string;
  /** Whether every service was answered. */
  readonly ok: boolean;
  readonly tests: readonly MemberTestRow[];
}

export interface FlowRow {
  readonly protocol: string;
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly service: string;
  readonly address: string;
  readonly port: number;
  readonly pool: string;
  readonly member: string;
  /** Time since a recent packet, to one second. */
  readonly idleMs: number;
}

/** What happens to single flows: many a second under traffic, so kept apart from the rest. */
export const FLOW_EVENT_KINDS = ['flow-new', 'flow-moved', 'drop'] as const;

export const EVENT_KINDS = [
  ...FLOW_EVENT_KINDS,
  'member-state',
  /** A member changes its state again and again, or no longer does. */
  'member-flapping',
  /** A pool came to have enough members, too few or none, or another one stands in for it. */
  'pool-state',
  /** A pool's expression gives no weights, or gives them again. */
  'weights',
  'next-hop',
  'revision',
  'confirm-pending',
  'confirmed',
  'rolled-back',
  'tier',
  'link',
  'repair',
  /** A worker of the proxy ended, was replaced, or has a trouble. */
  'worker',
  'daemon',
  'access',
  /** A service's SYNs came to be answered by cookies, or no longer are. */
  'syn-cookies',
  /** Traffic came to be refused for a limit or a full table, or no longer is: with how much was. */
  'limit',
  /** A certificate was imported, made, replaced, removed, or its key exported. */
  'certificate',
  /** 30, 14, 7, 3 days and a day before its end, and at its end; each once. */
  'certificate-expiring',
  'certificate-expired',
  /** The other unit of the pair: pairing, and links to it. */
  'pair',
  /** It is heard by no link, or is heard (again). */
  'peer-lost',
  'peer-back',
  /** A virtual router came to be master, backup or down. */
  'role-changed',
  /** The configuration of a pair: taken over, superseded, refused. */
  'replication',
  /** A file system that the unit writes to is nearly full, or no longer is. */
  'disk-space',
  /** The clock is not synchronised any more, or differs from the other unit's; or all is well again. */
  'clock',
  /** Somebody logged in or out, or failed to; logins that are not tried for a while. */
  'login',
  /** A user or token was added, changed or removed. */
  'user',
  /** The unit is upgraded, a slot is tried, found good, or left for the one from before. */
  'upgrade',
] as const;

export type EventKind = (typeof EVENT_KINDS)[number];

const flowKinds: ReadonlySet<EventKind> = new Set<EventKind>(FLOW_EVENT_KINDS);

/** All but those of single flows. */
export const USUAL_EVENT_KINDS = EVENT_KINDS.filter((kind) => !flowKinds.has(kind));

/** What an event is about; only the keys that have a meaning for it. */
export interface EventSubject {
  readonly service?: string;
  readonly pool?: string;
  readonly member?: string;
  /** flow-moved: the member that the flow left. */
  readonly previousMember?: string;
  /** member-state, pool-state, role-changed: from and to; pair: what a link, or all of them, came to be. */
  readonly before?: string;
  readonly after?: string;
  /** `ADDRESS:PORT` of the client. */
  readonly client?: string;
  /** drop, limit: the reason's name. */
  readonly reason?: string;
  readonly revision?: number;
  readonly author?: string;
  readonly interface?: string;
  readonly certificate?: string;
  /** Name of the other unit of the pair. */
  readonly peer?: string;
  /** Name of the virtual router. */
  readonly router?: string;
  /** disk-space: a directory on the file system. */
  readonly directory?: string;
}

export interface EventRow {
  /** Grows by one with each event of this run of the daemon. */
  readonly sequence: number;
  readonly time: number;
  readonly kind: EventKind;
  readonly severity: Severity;
  /** One sentence for people. */
  readonly message: string;
  readonly subject: EventSubject;
}

export interface MapUsage {
  readonly name: string;
  /** Null where counting would cost too much. */
  readonly entries: number | null;
  readonly limit: number;
}

/** One tier on one interface. */
export interface TierRow {
  readonly tier: string;
  readonly interface: string;
  /** XDP's mode; null when not attached. */
  readonly mode: 'native' | 'generic' | null;
  /** Name of the firmware profile that matched. */
  readonly profile: string;
  /** Why this mode. */
  readonly why: string;
  /** True when a better mode was wanted than the one that could be had. */
  readonly degraded: boolean;
  readonly attachedSince: number | null;
  /** The kernel's tag of the program (sixteen hexadecimal digits). */
  readonly programTag: string | null;
  readonly maps: readonly MapUsage[];
}

/** One thing of an interface, as it is and as its profile wants it. */
export interface HardwareCheck {
  /** `mtu`, `queues`, `rings`, `rss`, or the name of an offload. */
  readonly subject: string;
  /** `unknown`: it cannot be seen from here. */
  readonly state: 'ok' | 'change' | 'unknown';
  readonly now: string;
  readonly wanted: string;
  readonly why: string;
  /** What to run; null when there is nothing to run. */
  readonly command: string | null;
}

export interface BondView {
  /** `802.3ad`, `active-backup` … */
  readonly mode: string;
  readonly hashPolicy: string;
  readonly ports: readonly string[];
}

/** An interface that could carry traffic of services. */
export interface HardwareInterface {
  readonly name: string;
  /** Empty when the device has none that says its name. */
  readonly driver: string;
  readonly version: string;
  readonly firmware: string;
  readonly bus: string;
  readonly profile: string;
  readonly title: string;
  /** Why this profile. */
  readonly matched: string;
  readonly up: boolean;
  /** Can carry frames now: up, with carrier. */
  readonly running: boolean;
  readonly mtu: number;
  /** Mbit/s; null without a link, or when the driver does not say. */
  readonly speed: number | null;
  /** The interface that carries its frames, when it is another one: a bond, or below a VLAN. */
  readonly carrier: string | null;
  /** Tags that its frames carry there, the outermost first. */
  readonly vlan: readonly number[];
  readonly bond: BondView | null;
  /** Whether it is one of the fast path's. */
  readonly fastPath: boolean;
  /** XDP's mode now; null when not attached. */
  readonly mode: 'native' | 'generic' | null;
  /** Why this mode, or none. */
  readonly why: string;
  /** What the profile knows of XDP here, the best first. */
  readonly modes: readonly ('native' | 'generic')[];
  /** What the card could run by itself; null for nothing. */
  readonly offload: string | null;
  readonly checks: readonly HardwareCheck[];
  readonly quirks: readonly string[];
}

export interface HardwareReport {
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly kernel: string;
    /** Whether the kernel describes its types, which the XDP programs may need. */
    readonly btf: boolean;
    readonly libbpf: string;
  };
  readonly tables: {
    readonly flows: number;
    readonly lookupChunks: number;
    /** Where the sizes are from. */
    readonly why: string;
  };
  readonly interfaces: readonly HardwareInterface[];
}

/** What the fast path did outside of any service. */
export interface DatapathTotals {
  /** Handed to the kernel untouched. */
  readonly passed: number;
  readonly echoReplies: number;
  readonly eventsLost: number;
  /** ICMP errors and TCP resets that the fast path sent by itself. */
  readonly errorsSent: number;
}

export interface Counters {
  /** When they were read. */
  readonly time: number;
  readonly since: number;
  readonly totals: DatapathTotals;
  /** By reason: `malformed`, `no-member` … Every reason is there, also at 0. */
  readonly drops: Readonly<Record<string, number>>;
  /** By name of the service. */
  readonly services: Readonly<Record<string, CounterSet>>;
  /** By `POOL/MEMBER`. */
  readonly members: Readonly<Record<string, MemberCounterSet>>;
}

/** What was added to the counters since the previous sample; rows without change are left out. */
export interface CounterDeltas {
  readonly time: number;
  /** What the differences span. */
  readonly intervalMs: number;
  readonly totals: DatapathTotals;
  readonly drops: Readonly<Record<string, number>>;
  readonly services: Readonly<Record<string, CounterSet>>;
  readonly members: Readonly<Record<string, CounterSet>>;
}

export type AlarmCode =
  | 'member-down'
  | 'next-hop-unresolved'
  | 'pool-down'
  /** Fewer members of a pool serve than it needs, or another pool stands in for it. */
  | 'pool-short'
  /** The expression of a pool gives no weights. */
  | 'weights-failed'
  | 'tier-degraded'
  | 'confirm-pending'
  | 'apply-failed'
  | 'access-list'
  /** A service of the proxy has no socket. */
  | 'not-listening'
  /** Workers of the proxy die soon after they start. */
  | 'worker-failing'
  /** The kernel does not let workers use io_uring. */
  | 'proxy-unavailable'
  /** Lines of an access log were dropped within the last minutes. */
  | 'access-log'
  /** Of those that a service uses or the document declares. */
  | 'certificate-expiring'
  | 'certificate-expired'
  /** It is not there, or its private key cannot be used. */
  | 'certificate-unusable'
  /** A table of the fast path is nearly full. */
  | 'table-full'
  /** The other unit is heard by no link, or the stored pair cannot be used. */
  | 'peer-lost'
  /** A link to the other unit is down, and another is up. */
  | 'pair-link-down'
  /** The VRRP speaker ended, or cannot do what it should. */
  | 'virtual-router'
  /** Alerts do not reach somebody who is to be told. */
  | 'alert-target-failing'

  /** A member changes its state again and again. */
  | 'member-flapping'
  /** Traffic is being refused for a limit. */
  | 'limit-hit'
  | 'disk-space'
  /** It was synchronised in this run of the daemon, and is not any more. */
  | 'clock-unsynchronised'
  /** The clocks of the two units of a pair differ by more than a second. */
  | 'clock-difference'
  /** An address where metrics should be served cannot be had, or their token cannot be read. */
  | 'metrics';

export interface Alarm {
  readonly code: AlarmCode;
  readonly severity: Severity;
  readonly message: string;
  readonly since: number | null;
  /** What it is about, by which it is the same alarm as before: `POOL/MEMBER`, a name; absent: the unit. */
  readonly object?: string;
}

export interface MetricsView {
  /** As `http://192.0.2.1:9477/metrics`. */
  readonly listening: readonly string[];
  /** Whether clients must have a token. */
  readonly token: boolean;
  /** Sentences. */
  readonly problems: readonly string[];
}

/** A revision that goes back by itself unless somebody confirms it. */
export interface PendingConfirm {
  readonly revision: number;
  /** The revision whose document comes back; null when there was none. */
  readonly previous: number | null;
  readonly deadline: number;
  readonly secondsLeft: number;
}

export interface Status {
  readonly unit: string;
  readonly version: string;
  /** Null while nothing was ever applied. */
  readonly revision: number | null;
  readonly startedAt: number;
  readonly uptimeMs: number;
  readonly pendingConfirm: PendingConfirm | null;
  /** master: of one virtual router at least. */
  readonly role: 'standalone' | 'master' | 'backup';
  /** How many virtual routers have which role. */
  readonly routers: { readonly master: number; readonly backup: number; readonly down: number };
  /** Null without a pair. */
  readonly replication: ReplicationView | null;
  readonly services: number;
  readonly membersServing: number;
  readonly membersTotal: number;
  readonly alarms: readonly Alarm[];
  /** Where metrics are served by HTTP; null: nowhere. */
  readonly metrics: MetricsView | null;
  /** Release of the kernel, as `uname -r`. */
  readonly kernel: string;
}

export interface ConfigView {
  /** Null, with an empty document, while nothing was ever applied. */
  readonly revision: number | null;
  readonly document: Document | null;
}

export interface RevisionRow {
  readonly revision: number;
  readonly author: string;
  readonly time: number;
  readonly comment: string;
  readonly digest: string;
  readonly changes: readonly Change[];
  /** Null for what concerns this unit alone. */
  readonly shared: SharedRevision | null;
}

/** A revision as the pair knows it. */
export interface SharedRevision {
  /** The same on both units. */
  readonly id: string;
  /** Where it was made; empty: both units rolled back by themselves. */
  readonly unit: string;
  /**
   * `both`: the other unit has it. `here`: not that this one knew. `superseded`: the pair went on
   * from what the other unit had; its document can be brought back.
   */
  readonly state: 'both' | 'here' | 'superseded';
}

export interface RevisionDetail extends RevisionRow {
  readonly document: Document;
}

export interface ApplyResult {
  /**
   * The revision committed. When nothing differs none is, and this is the current
   * one; in a dry run it is the one that the document was compared with. Null: none yet.
   */
  readonly revision: number | null;
  readonly changes: readonly Change[];
  readonly dryRun: boolean;
  /** When the change goes back by itself unless confirmed. */
  readonly confirmBy?: number;
  /** Whether the other unit of the pair has it; absent without a pair, or when it does not concern it. */
  readonly replication?: Replication;
  /** Sentences: what was committed but cannot be done now (no MAC address known …). */
  readonly warnings: readonly string[];
}

/** What became of a change that concerns both units of a pair. */
export interface Replication {
  /** Whether the other unit had it when this was answered. */
  readonly replicated: boolean;
  /** Name of the other unit. */
  readonly peer: string;
  /** Why not; null when it has it. `away`: no link, `late`: no answer in time, `refused`: it cannot. */
  readonly why: 'away' | 'late' | 'refused' | null;
  /** One sentence. */
  readonly message: string;
}

/** How the configurations of the two units of a pair stand to each other. */
export interface ReplicationView {
  readonly peer: string;
  /** `refused`: the other unit cannot execute the configuration of this one. */
  readonly state: 'in-step' | 'catching-up' | 'away' | 'refused';
  /** When the other unit was lost; null: it is heard, or was not since the daemon started. */
  readonly since: number | null;
  /** Changes that the other unit is not known to have. */
  readonly lacking: number;
  /** One sentence. */
  readonly message: string;
}

export interface DiffResult {
  /** The revision compared with. */
  readonly revision: number | null;
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
}

export interface ConfirmResult {
  readonly revision: number;
  readonly replication?: Replication;
}

/** An access list of the document. */
export interface AccessRow {
  readonly name: string;
  /** Prefixes that it holds now, those of its file included. */
  readonly prefixes: number;
  readonly file: string | null;
  /** When the content of the file was read; null when it never was. */
  readonly loaded: number | null;
  /** What is wrong with the file, naming the line; null when all is well. */
  readonly problem: string | null;
  readonly expires: number | null;
  /** Services that allow and that deny it. */
  readonly allowedBy: readonly string[];
  readonly deniedBy: readonly string[];
}

export type AccessVerdict = 'allow' | 'deny';

/** An entry made at the command line for a while. */
export interface TemporaryAccessRow {
  readonly prefix: string;
  readonly verdict: AccessVerdict;
  /** Null: for every service. */
  readonly service: string | null;
  readonly created: number;
  readonly expires: number;
  readonly author: string;
  readonly comment: string;
}

export interface AccessView {
  readonly lists: readonly AccessRow[];
  readonly temporary: readonly TemporaryAccessRow[];
  /** Entries in the fast path, and how many fit. */
  readonly entries: number;
  readonly limit: number;
}

/** What a service does with a client. */
export interface AccessTestRow {
  readonly service: string;
  readonly verdict: AccessVerdict;
  /** The longest prefix that holds the client, which decided; null when there are no lists. */
  readonly prefix: string | null;
  /** Where that prefix stands, in words. */
  readonly because: string;
}

/** Packets dropped for one reason. */
export interface DropRow {
  readonly reason: string;
  /** Since the tables of the fast path live. */
  readonly total: number;
  /** Over the last full second. */
  readonly perSecond: number;
  /** Of this run of the daemon: told as events, and not. */
  readonly shown: number;
  readonly notShown: number;
  /** The last that were told, oldest first. */
  readonly samples: readonly EventRow[];
}

/** One line of `GET /v1/stream` (NDJSON). */
export type StreamMessage =
  | { readonly type: 'hello'; readonly time: number; readonly version: string }
  | { readonly type: 'event'; readonly event: EventRow }
  | { readonly type: 'counters'; readonly counters: CounterDeltas }
  | { readonly type: 'heartbeat'; readonly time: number };

/**
 * Every error code of the API with its HTTP status (RFC 9110 §15, RFC 6585).
 *
 * `syntax`: the text is no YAML or JSON. `invalid`: it is, but no valid document.
 * `unsupported`: valid, but no tier of this build can execute it. `conflict`: the
 * unit's state forbids it (nothing to confirm …). `revision-mismatch`: If-Match
 * names another revision than the current one. `forbidden`: another role may, this one may not.
 * `unauthenticated`: who is asking is not known. `locked`: logins are not tried for a while.
 */
export const ERROR_STATUS = {
  syntax: 400,
  'bad-request': 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 409,
  'revision-mismatch': 412,
  'too-large': 413,
  'unsupported-media-type': 415,
  invalid: 422,
  unsupported: 422,
  locked: 429,
  internal: 500,
  unavailable: 503,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

export interface ErrorBody {
  readonly error: {
    readonly code: ErrorCode;
    /** One sentence: what is wrong and what to do. */
    readonly message: string;
    /** Where the document is at fault. */
    readonly details?: readonly ConfigError[];
  };
}
