/**
 * The monitors of all members: probes, states, and who is told.
 *
 * Members with one address, port and settings share one probe, in however many pools they stand.
 *
 * Invariants:
 * - reconcile() is by difference: a target that did not change keeps its state, its schedule and
 *   even its probe in flight; one whose settings changed keeps its state and is probed at once.
 * - onChange is called when something changed that tables depend on (the state, what an agent says,
 *   why nobody knows), after view() shows it, and never for a target that is no longer wanted.
 */
import { createHash } from 'node:crypto';
import type { BaseLogger } from 'pino';
import type { MonitorTarget } from '../control/tables.js';
import { Cancellation } from './cancellation.js';
import { ownVerdict, PeerView, withPeer, type Seen, type Verdict } from './peer-view.js';
import type { Probe } from './probe.js';
import { HealthRecord, type Finding } from './record.js';
import {
  ProbeSchedule,
  systemClock,
  type Clock,
  type OnStart,
  type ScheduleStats,
} from './schedule.js';
import {
  afterProbe,
  carriedStatus,
  initialStatus,
  seededStatus,
  type HealthState,
  type HealthStatus,
} from './state-machine.js';

export type { Probe } from './probe.js';
export type { Finding } from './record.js';
export type { HealthState, HealthStatus, ProbeResult } from './state-machine.js';

export interface MonitorsOptions {
  readonly onChange: (id: string, status: HealthStatus, previous: HealthStatus) => void;
  readonly log: Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>;
  readonly probe: Probe;
  /** What the probes of this unit say has changed; null: nothing any more. For the other unit. */
  readonly onVerdict?: (key: string, verdict: Verdict | null) => void;
  /** Epoch milliseconds. */
  readonly now?: () => number;
  /** Probes that may be under way at once; 8,192 unless told. */
  readonly concurrency?: number;
  /** For tests. */
  readonly clock?: Clock;
  /** For benchmarks. */
  readonly onStart?: OnStart;
}

/** One probe and everybody who wants its result. */
interface Watched {
  readonly key: string;
  /** What both units of a pair call it. */
  readonly digest: string;
  /** One of the members; what is probed is the same for all. */
  target: MonitorTarget;
  readonly members: Set<string>;
  status: HealthStatus;
  readonly record: HealthRecord;
  /** What was told of it last. */
  told: Verdict | null;
  /** Cancels the probe in flight. */
  inFlight: Cancellation | null;
}

/** What one member's monitor found out. */
export interface MemberRecord {
  /** Changes and failures, the newest first. */
  readonly findings: readonly Finding[];
  /** Milliseconds, the newest first. */
  readonly latencies: readonly number[];
  /** Other members, as `POOL/MEMBERKEY`, that the same probe speaks for. */
  readonly sharedWith: readonly string[];
}

/** What the probes of each unit say of a member; undefined: nothing. */
export interface BothViews {
  readonly own: Seen | undefined;
  readonly peer: Seen | undefined;
}

/**
 * When a switch fails, each of 10,000 members has a probe under way for its whole timeout: a lower
 * limit would make the others late just then. Each takes a descriptor, of which a daemon has more.
 */
const CONCURRENCY = 8192;

export class Monitors {
  readonly #onChange: MonitorsOptions['onChange'];
  readonly #log: MonitorsOptions['log'];
  readonly #now: () => number;
  readonly #clock: Clock;
  readonly #probe: Probe;
  readonly #schedule: ProbeSchedule;
  readonly #watched = new Map<string, Watched>();
  readonly #byDigest = new Map<string, Watched>();
  readonly #onVerdict: NonNullable<MonitorsOptions['onVerdict']>;
  readonly #peer = new PeerView();
  /** By `POOL/MEMBERKEY`. */
  readonly #members = new Map<
    string,
    { readonly target: MonitorTarget; readonly watched: Watched }
  >();
  readonly #seeds = new Map<string, HealthState>();
  #underWay = 0;
  #whenIdle: (() => void) | null = null;

  constructor(options: MonitorsOptions) {
    this.#onChange = options.onChange;
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    this.#clock = options.clock ?? systemClock;
    this.#probe = options.probe;
    this.#onVerdict = options.onVerdict ?? (() => undefined);
    this.#schedule = new ProbeSchedule({
      probe: (key) => this.#run(key),
      concurrency: options.concurrency ?? CONCURRENCY,
      clock: this.#clock,
      ...(options.onStart === undefined ? {} : { onStart: options.onStart }),
    });
  }

  /** Takes the complete set of targets. */
  reconcile(targets: ReadonlyMap<string, MonitorTarget>): void {
    for (const id of [...this.#members.keys()]) if (!targets.has(id)) this.#leave(id);
    for (const [id, target] of targets) {
      const known = this.#members.get(id);
      if (known?.target === target) continue;
      const key = probeKey(target);
      if (known === undefined) this.#join(id, target, key, undefined);
      else if (known.watched.key === key) this.#members.set(id, { ...known, target });
      else {
        this.#leave(id);
        this.#join(id, target, key, known.watched);
      }
    }
  }

  /** The status of every target, as of now. */
  view(): ReadonlyMap<string, HealthStatus> {
    return new Map([...this.#members].map(([id, { watched }]) => [id, watched.status]));
  }

  status(id: string): HealthStatus | undefined {
    return this.#members.get(id)?.watched.status;
  }

  /** What is remembered of a target's past; undefined for one that is not watched. */
  record(id: string): MemberRecord | undefined {
    const watched = this.#members.get(id)?.watched;
    if (watched === undefined) return undefined;
    const { findings, latencies } = watched.record;
    return { findings, latencies, sharedWith: [...watched.members].filter((one) => one !== id) };
  }

  /**
   * Tells the state of a target from before this run: its next probes then count by rise and fall.
   * Without effect once a probe has spoken. Tells nobody.
   */
  seed(id: string, state: HealthState): void {
    const watched = this.#members.get(id)?.watched;
    if (watched === undefined) this.#seeds.set(id, state);
    else if (watched.status.lastOutcome === undefined)
      watched.status = seededStatus(state, this.#now());
  }

  /** What the probes of this unit say, by keys that both units have. */
  *verdicts(): IterableIterator<readonly [key: string, verdict: Verdict]> {
    for (const { digest, told } of this.#watched.values()) if (told !== null) yield [digest, told];
  }

  /** What the other unit sees now; null: nothing. */
  hearPeer(changes: Iterable<readonly [key: string, verdict: Verdict | null]>): void {
    const heard = [...changes];
    for (const [key, verdict] of heard) {
      // What is watched later may be known by then.
      this.#peer.set(key, verdict, this.#now());
    }
    for (const [key] of heard) {
      const watched = this.#byDigest.get(key);
      if (watched === undefined) continue;
      const previous = watched.status;
      watched.status = this.#withPeer(watched, previous);
      watched.record.change(previous, watched.status);
      this.#tell(watched, previous);
    }
  }

  /** The other unit is not heard: what it saw may be over. States that came from it stay. */
  forgetPeer(): void {
    this.#peer.clear();
  }

  /** What both units see of a member, each by itself. */
  bothViews(id: string): BothViews | undefined {
    const watched = this.#members.get(id)?.watched;
    if (watched === undefined) return undefined;
    const verdict = ownVerdict(watched.status);
    const own = verdict === null ? undefined : { verdict, since: watched.status.since };
    return { own, peer: this.#peer.get(watched.digest) };
  }

  stats(): ScheduleStats {
    return this.#schedule.stats();
  }

  /** Cancels all probes and waits for their sockets to be gone. */
  async close(): Promise<void> {
    this.#schedule.close();
    for (const { inFlight } of this.#watched.values()) inFlight?.cancel();
    this.#watched.clear();
    this.#members.clear();
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
  }

  #leave(id: string): void {
    const watched = this.#members.get(id)?.watched;
    this.#members.delete(id);
    if (watched === undefined) return;
    watched.members.delete(id);
    if (watched.members.size > 0) return;
    this.#watched.delete(watched.key);
    this.#byDigest.delete(watched.digest);
    if (watched.told !== null) this.#onVerdict(watched.digest, null);
    this.#schedule.delete(watched.key);
    watched.inFlight?.cancel();
  }

  /** `before`: what watched this member until now, by other settings. */
  #join(id: string, target: MonitorTarget, key: string, before: Watched | undefined): void {
    const seed = this.#seeds.get(id);
    this.#seeds.delete(id);
    const now = this.#now();
    const expected =
      before !== undefined
        ? carriedStatus(before.status)
        : seed === undefined
          ? initialStatus(now)
          : seededStatus(seed, now);
    const known = this.#watched.get(key);
    const watched: Watched = known ?? {
      key,
      digest: digestOf(key),
      target,
      members: new Set<string>(),
      status: expected,
      record: before?.record.copy() ?? new HealthRecord(),
      told: null,
      inFlight: null,
    };
    watched.members.add(id);
    this.#members.set(id, { target, watched });
    if (known === undefined) {
      this.#watched.set(key, watched);
      this.#byDigest.set(watched.digest, watched);
      watched.status = this.#withPeer(watched, expected);
      if (matters(expected, watched.status)) this.#onChange(id, watched.status, expected);
      this.#schedule.set(key, target.settings.interval);
    } else if (matters(expected, known.status)) {
      // Others were watching already: what they know holds for this one, too.
      this.#onChange(id, known.status, expected);
    }
  }

  async #run(key: string): Promise<void> {
    const watched = this.#watched.get(key);
    if (watched === undefined) return;
    const cancellation = new Cancellation();
    watched.inFlight = cancellation;
    this.#underWay += 1;
    const result = await this.#probe(watched.target, cancellation);
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#whenIdle?.();
    if (watched.inFlight === cancellation) watched.inFlight = null;
    if (cancellation.cancelled || this.#watched.get(key) !== watched) return;
    const previous = watched.status;
    const moment = { wall: this.#now(), monotonic: this.#clock.now() };
    const probed = afterProbe(previous, result, watched.target.settings, moment);
    const status = this.#withPeer(watched, probed);
    watched.status = status;
    watched.record.add(previous, result, status);
    if (result.outcome === 'inconclusive' && previous.reason !== status.reason) {
      for (const id of watched.members) {
        this.#log.warn({ monitor: id }, `cannot probe ${id}: ${result.reason}`);
      }
    }
    this.#tell(watched, previous);
  }

  #withPeer({ digest }: Watched, status: HealthStatus): HealthStatus {
    return this.#peer.size === 0
      ? status
      : withPeer(status, this.#peer.credible(digest), this.#now());
  }

  /** Its status is another one than `previous`. */
  #tell(watched: Watched, previous: HealthStatus): void {
    const { status } = watched;
    const own = ownVerdict(status);
    if (own !== watched.told) {
      watched.told = own;
      this.#onVerdict(watched.digest, own);
    }
    if (!matters(previous, status)) return;
    const { state, reason } = status;
    for (const id of [...watched.members]) {
      if (state !== previous.state) {
        this.#log.info({ monitor: id, state, reason }, `${id} is ${state}: ${reason}`);
      }
      this.#onChange(id, status, previous);
    }
  }
}

/** Whether somebody who makes tables of it must look again. */
function matters(before: HealthStatus, now: HealthStatus): boolean {
  return (
    before.state !== now.state ||
    before.blind !== now.blind ||
    before.agent?.state !== now.agent?.state ||
    before.agent?.weightPercent !== now.agent?.weightPercent ||
    before.agent?.maxConnections !== now.agent?.maxConnections
  );
}

/** Settings are shared by the members of a pool, so their text is made once. */
const settingsText = new WeakMap<MonitorTarget['settings'], string>();

/** Targets with one key are probed once. */
function probeKey({ address, port, settings }: MonitorTarget): string {
  let text = settingsText.get(settings);
  if (text === undefined) {
    text = JSON.stringify(settings);
    settingsText.set(settings, text);
  }
  return `${address} ${settings.type === 'icmp' ? '' : port} ${text}`;
}

/** Short, since thousands cross the link. */
function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('base64url').slice(0, 16);
}
