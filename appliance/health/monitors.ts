/**
 * The monitors of all members: probes, states, and who is told.
 *
 * Invariants:
 * - reconcile() is by difference: a target that did not change keeps its state, its schedule and
 *   even its probe in flight; one whose settings changed keeps its state and is probed at once.
 * - onChange is called for changes of state only, after view() shows them, and never for a target
 *   that is no longer wanted.
 */
import type { BaseLogger } from 'pino';
import { isDeepStrictEqual } from 'node:util';
import type { MonitorTarget } from '../control/tables.js';
import { probeHttp } from './http.js';
import { ProbeSchedule, type Clock, type ScheduleStats } from './schedule.js';
import {
  afterProbe,
  initialStatus,
  seededStatus,
  type HealthState,
  type HealthStatus,
  type ProbeResult,
} from './state-machine.js';
import { probeTcp } from './tcp.js';

export type { HealthState, HealthStatus, ProbeResult } from './state-machine.js';

/** Runs one probe. Never rejects; `cancelled` makes it end early. */
export type Probe = (target: MonitorTarget, cancelled: AbortSignal) => Promise<ProbeResult>;

export interface MonitorsOptions {
  readonly onChange: (id: string, status: HealthStatus, previous: HealthStatus) => void;
  readonly log: Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>;
  /** Epoch milliseconds. */
  readonly now?: () => number;
  /** Probes that may be under way at once; 1,024 unless told. */
  readonly concurrency?: number;
  /** For tests. */
  readonly probe?: Probe;
  readonly clock?: Clock;
}

interface Monitored {
  target: MonitorTarget;
  status: HealthStatus;
  /** Cancels the probe in flight. */
  inFlight: AbortController | null;
}

const CONCURRENCY = 1024;

export class Monitors {
  readonly #onChange: MonitorsOptions['onChange'];
  readonly #log: MonitorsOptions['log'];
  readonly #now: () => number;
  readonly #probe: Probe;
  readonly #schedule: ProbeSchedule;
  readonly #monitored = new Map<string, Monitored>();
  readonly #seeds = new Map<string, HealthState>();
  readonly #probes = new Set<Promise<void>>();

  constructor(options: MonitorsOptions) {
    this.#onChange = options.onChange;
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    this.#probe = options.probe ?? probeByType;
    this.#schedule = new ProbeSchedule({
      probe: (id) => this.#run(id),
      concurrency: options.concurrency ?? CONCURRENCY,
      ...(options.clock === undefined ? {} : { clock: options.clock }),
    });
  }

  /** Takes the complete set of targets. */
  reconcile(targets: ReadonlyMap<string, MonitorTarget>): void {
    for (const [id, monitored] of this.#monitored) {
      if (targets.has(id)) continue;
      this.#monitored.delete(id);
      this.#schedule.delete(id);
      monitored.inFlight?.abort();
    }
    for (const [id, target] of targets) {
      const known = this.#monitored.get(id);
      if (known === undefined) {
        this.#monitored.set(id, { target, status: this.#firstStatus(id), inFlight: null });
      } else {
        const same = known.target === target || isDeepStrictEqual(known.target, target);
        known.target = target;
        if (same) continue;
        known.inFlight?.abort();
      }
      this.#schedule.set(id, target.settings.interval);
    }
  }

  /** The status of every target, as of now. */
  view(): ReadonlyMap<string, HealthStatus> {
    return new Map([...this.#monitored].map(([id, { status }]) => [id, status]));
  }

  status(id: string): HealthStatus | undefined {
    return this.#monitored.get(id)?.status;
  }

  /**
   * Tells the state of a target from before this run: its next probes then count by rise and fall.
   * Without effect once a probe has spoken. Tells nobody.
   */
  seed(id: string, state: HealthState): void {
    const known = this.#monitored.get(id);
    if (known === undefined) this.#seeds.set(id, state);
    else if (known.status.lastOutcome === undefined)
      known.status = seededStatus(state, this.#now());
  }

  stats(): ScheduleStats {
    return this.#schedule.stats();
  }

  /** Cancels all probes and waits for their sockets to be gone. */
  async close(): Promise<void> {
    this.#schedule.close();
    for (const { inFlight } of this.#monitored.values()) inFlight?.abort();
    this.#monitored.clear();
    await Promise.all(this.#probes);
  }

  #firstStatus(id: string): HealthStatus {
    const seed = this.#seeds.get(id);
    this.#seeds.delete(id);
    return seed === undefined ? initialStatus(this.#now()) : seededStatus(seed, this.#now());
  }

  #run(id: string): Promise<void> {
    const running = this.#runOne(id);
    this.#probes.add(running);
    return running.finally(() => this.#probes.delete(running));
  }

  async #runOne(id: string): Promise<void> {
    const monitored = this.#monitored.get(id);
    if (monitored === undefined) return;
    const { target } = monitored;
    const controller = new AbortController();
    monitored.inFlight = controller;
    const result = await this.#probe(target, controller.signal);
    // A later probe, of changed settings, may have begun already.
    if (monitored.inFlight === controller) monitored.inFlight = null;
    if (controller.signal.aborted || this.#monitored.get(id) !== monitored) return;
    const previous = monitored.status;
    monitored.status = afterProbe(previous, result, target.settings, this.#now());
    const { state, reason } = monitored.status;
    if (result.outcome === 'inconclusive' && previous.reason !== reason) {
      this.#log.warn({ monitor: id }, `cannot probe ${id}: ${result.reason}`);
    }
    if (state === previous.state) return;
    this.#log.info({ monitor: id, state, reason }, `${id} is ${state}: ${reason}`);
    this.#onChange(id, monitored.status, previous);
  }
}

/** A type that no probe exists for never decides anything, and says so. */
function probeByType(target: MonitorTarget, cancelled: AbortSignal): Promise<ProbeResult> {
  const { settings } = target;
  switch (settings.type) {
    case 'tcp':
      return probeTcp(target, settings, cancelled);
    case 'http':
      return probeHttp(target, settings, cancelled);
    default:
      return Promise.resolve({
        outcome: 'inconclusive',
        reason: `this build has no monitor of type ${settings.type}`,
      });
  }
}
