/**
 * What the API asks of the daemon. The API knows HTTP, the daemon knows the unit;
 * this interface is all that they share, so that the API is tested against a fake
 * and the daemon without a socket.
 *
 * Invariant: a method either answers or throws `PortError`. Anything else that is
 * thrown is a defect: it is logged in full and answered as `internal`, without detail.
 */
import type {
  AccessTestRow,
  AccessVerdict,
  AccessView,
  ApplyResult,
  ConfigError,
  ConfigView,
  ConfirmResult,
  CounterDeltas,
  Counters,
  DiffResult,
  Document,
  DropRow,
  ErrorCode,
  EventKind,
  EventRow,
  FailoverResult,
  FlowRow,
  HardwareReport,
  MemberDetail,
  MemberRow,
  MemberSetup,
  MemberTest,
  MemberSetting,
  PoolDetail,
  PoolRow,
  PreferResult,
  RevisionDetail,
  RevisionRow,
  RouterRow,
  RouteRow,
  ServiceDetail,
  ServiceRow,
  Severity,
  Status,
  TemporaryAccessRow,
  TierRow,
  Trial,
  TrialRow,
  WorkerRestart,
  WorkerRow,
} from './contract.js';

import type { PastRevision } from '../config/store.js';
import type { AlertPort } from './alert-port.js';
import type { NetworkPort } from './network-port.js';
import type { TrafficPort } from './traffic-port.js';
import type { CertificatesPort } from './certificate-port.js';
import type { PairPort } from './pair-port.js';
import type { UsersPort } from './user-port.js';
import type { SystemPort } from './system-port.js';
import type { UpgradePort } from './upgrade-port.js';

/** A refusal that the administrator can act on; `code` decides the HTTP status. */
export class PortError extends Error {
  override readonly name = 'PortError';
  readonly code: ErrorCode;
  readonly details: readonly ConfigError[];
  /** After which trying again makes sense; null: that is not known. */
  readonly retryAfterMs: number | null;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: readonly ConfigError[]; cause?: unknown; retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? [];
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** A document as it came: text (YAML, of which JSON is a part) keeps its lines for errors. */
export type DocumentSource = { readonly text: string } | { readonly document: Document };

/** Who changes something, why, and on top of what. */
export interface ChangeRequest {
  /** `anna (console)`, `token ci`, or the peer's name on the system. */
  readonly author: string;
  /** Empty when none was given. */
  readonly comment: string;
  /** Roll back by itself unless confirmed within so many milliseconds. */
  readonly confirm?: number;
  /** The revision that must be current, else `revision-mismatch`; 0 says "none yet". */
  readonly ifMatch?: number;
}

export interface ApplyRequest extends ChangeRequest {
  readonly source: DocumentSource;
  readonly dryRun: boolean;
  /** Of the unit that a backup is of, for a unit that has none. */
  readonly history?: readonly PastRevision[];
}

export interface RollbackRequest extends ChangeRequest {
  /** The revision whose document comes back, as a new revision. */
  readonly to: number;
}

export interface MemberName {
  readonly pool: string;
  /** `ADDRESS:PORT`, `[ADDRESS]:PORT`, or the address alone. */
  readonly member: string;
}

export interface TestMemberRequest extends MemberName {
  readonly service?: string;
}

export interface SetMemberRequest extends ChangeRequest, MemberName {
  /** At least one of the two is given. */
  readonly state?: MemberSetting;
  readonly weight?: number;
}

export interface TemporaryAccessRequest {
  /** `ADDRESS/LENGTH`, or an address alone. */
  readonly prefix: string;
  readonly verdict: AccessVerdict;
  /** Null: for every service. */
  readonly service: string | null;
  readonly forMs: number;
  readonly author: string;
  readonly comment: string;
}

/** What a subscriber hears: each event, and once a second what the counters gained. */
export type Observation =
  | { readonly type: 'event'; readonly event: EventRow }
  | { readonly type: 'counters'; readonly counters: CounterDeltas };

export interface DaemonPort {
  status(): Promise<Status>;
  config(): Promise<ConfigView>;

  /** Errors: syntax, invalid, unsupported (with details), revision-mismatch, conflict, unavailable. */
  apply(request: ApplyRequest): Promise<ApplyResult>;
  /** Errors: conflict when nothing awaits confirmation. */
  confirm(request: { readonly author: string }): Promise<ConfirmResult>;
  /** Errors: as `apply`. */
  diff(source: DocumentSource): Promise<DiffResult>;
  /** Asks each member of a document once by its monitor, and changes nothing. Errors as of `diff`. */
  trial(source: DocumentSource): Promise<Trial>;
  /** Newest first; `before` leaves out that revision and all newer ones. */
  history(query: { readonly limit: number; readonly before?: number }): Promise<RevisionRow[]>;
  /** Errors: not-found. */
  revision(number: number): Promise<RevisionDetail>;
  /** Errors: not-found, unsupported, revision-mismatch. */
  rollback(request: RollbackRequest): Promise<ApplyResult>;
  /** Errors: not-found (pool or member), invalid, revision-mismatch. */
  setMember(request: SetMemberRequest): Promise<ApplyResult>;

  /** Asks one member once as its monitor would, or by a connection where it has none. Errors: not-found. */
  tryMember(name: MemberName): Promise<TrialRow>;

  readonly network: NetworkPort;

  services(): Promise<ServiceRow[]>;
  /** Errors: not-found. */
  service(name: string): Promise<ServiceDetail>;
  /** Of all proxied services, or of one. Errors: not-found, conflict when no proxy serves it. */
  routes(query: { readonly service?: string }): Promise<RouteRow[]>;
  pools(): Promise<PoolRow[]>;
  /** Errors: not-found. */
  pool(name: string): Promise<PoolDetail>;
  /** Errors: not-found for a pool that is not there. */
  members(query: { readonly pool?: string }): Promise<MemberRow[]>;
  /** Errors: not-found (pool or member). */
  member(name: MemberName): Promise<MemberDetail>;
  /** Errors: not-found (pool or member). */
  memberSetup(name: MemberName): Promise<MemberSetup>;
  /** For one service, or all that may use it. Errors: not-found, conflict, unavailable. */
  testMember(request: TestMemberRequest): Promise<MemberTest>;
  /** At most `limit` of them, in no order. Errors: not-found for an unknown service or member. */
  flows(query: {
    readonly limit: number;
    readonly service?: string;
    readonly member?: string;
  }): Promise<FlowRow[]>;
  /** The newest `limit` of these kinds (all, when none is named), oldest first. */
  events(query: {
    readonly limit: number;
    readonly kinds?: readonly EventKind[];
    /** Only these and graver ones. */
    readonly severity?: Severity;
  }): Promise<EventRow[]>;
  tiers(): Promise<TierRow[]>;
  /** Virtual routers. */
  routers(): Promise<RouterRow[]>;
  /**
   * Gives up what a virtual router or group holds (null: all), until `cancel`. Answers when others
   * have taken over, or nobody did in time. Errors: not-found, conflict (there are no virtual
   * routers), unavailable.
   */
  failover(request: {
    readonly router: string | null;
    readonly cancel: boolean;
    readonly author: string;
  }): Promise<FailoverResult>;

  /**
   * Another unit in front: of a share (`even`, `odd`), of a virtual router or group, or of all that
   * moves by itself (null); `unit` null: none. Errors: not-found, and as `apply`.
   */
  prefer(
    request: ChangeRequest & {
      readonly unit: string | null;
      readonly share: string | null;
      readonly dryRun: boolean;
    },
  ): Promise<PreferResult>;

  workers(): Promise<WorkerRow[]>;
  /**
   * Answers when all workers were replaced. Errors: conflict (there are none, or somebody else
   * replaces them already), unavailable (new ones cannot serve; those that did go on).
   */
  restartWorkers(request: { readonly author: string }): Promise<WorkerRestart>;
  hardware(): Promise<HardwareReport>;
  counters(): Promise<Counters>;
  /** By reason, with at most `samples` of the last packets each. */
  drops(query: { readonly samples: number }): Promise<DropRow[]>;

  access(): Promise<AccessView>;
  /** Errors: bad-request, not-found. */
  testAccess(query: {
    readonly address: string;
    readonly service?: string;
  }): Promise<AccessTestRow[]>;
  /** In force when it is answered. Errors: bad-request, not-found, conflict. */
  putAccess(request: TemporaryAccessRequest): Promise<TemporaryAccessRow>;
  /** Errors: bad-request, not-found. */
  removeAccess(request: {
    readonly prefix: string;
    readonly service: string | null;
    readonly author: string;
  }): Promise<void>;
  /** Reads every file of the access lists again. */
  reloadAccess(): Promise<AccessView>;

  readonly traffic: TrafficPort;
  readonly alerts: AlertPort;
  readonly certificates: CertificatesPort;
  readonly pair: PairPort;
  readonly users: UsersPort;
  readonly system: SystemPort;
  readonly upgrades: UpgradePort;

  /** The listener must return at once and must not throw. Returns what ends the subscription. */
  subscribe(listener: (observation: Observation) => void): () => void;
}

/** What the API needs of a log; pino's fits. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
