/**
 * From what happens to those who are told: looks at the alarms once a second, hears events, and hands
 * both to the targets that the document declares.
 *
 * Invariant: whatever targets do, nobody who appends an event or declares a target waits for them.
 */
import type { Alarm, AlertTargetRow, EventRow } from '../api/contract.js';
import type { Alert as TargetSettings } from '../config/alerts.js';
import { systemClock, type Clock } from '../tls/keeper.js';
import { plain, type Alert, type Occurrence } from './alert.js';
import type { AlertStore, Kept } from './alert-store.js';
import { ofAlarm, ofEvent } from './kinds.js';
import { Target, type TargetParts } from './target.js';
import { makeTransport } from './transports.js';

const LOOK_MS = 1000;
/** Alarms of the first moments are those of a unit that has not looked around yet. */
const SETTLE_MS = 10_000;
/** Events that came before it was known who is told. */
const MOST_EARLY = 1000;
/** How long deliveries under way may take when the daemon ends. */
const PATIENCE_MS = 2000;

/** What the daemon executes now. */
export interface Situation {
  readonly unit: string;
  readonly targets: Readonly<Record<string, TargetSettings>>;
  readonly alarms: () => readonly Alarm[];
}

export interface AlertsParts {
  readonly store: AlertStore;
  /** Null while it is not known. */
  readonly situation: () => Situation | null;
  readonly version: string;
  readonly log: {
    warn(sentence: string): void;
    error(fields: object, sentence: string): void;
  };
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly settleMs?: number;
  readonly makeTransport?: TargetParts['makeTransport'];
}

export class Alerts {
  readonly #parts: AlertsParts;
  readonly #clock: Clock;
  readonly #targets = new Map<string, Target>();
  readonly #settled: number;
  #kept: Map<string, Kept> | null;
  #early: Occurrence[] | null = [];
  #unit = '';
  #stopTimer: (() => void) | null = null;
  #closed = false;

  constructor(parts: AlertsParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
    this.#settled = this.#clock.now() + (parts.settleMs ?? SETTLE_MS);
    this.#kept = parts.store.load();
    this.#again();
  }

  /** Something happened. */
  event(row: EventRow): void {
    const occurrence = ofEvent(row);
    if (occurrence === null || this.#closed) return;
    if (this.#early === null) {
      for (const target of this.#targets.values()) target.event(occurrence, this.#unit);
    } else if (this.#early.length < MOST_EARLY) this.#early.push(occurrence);
  }

  /** Takes up what the document declares now, and looks at the alarms. */
  look(): void {
    const situation = this.#parts.situation();
    if (situation === null || this.#closed) return;
    this.#parts.store.together(() => {
      this.#unit = situation.unit;
      this.#follow(situation.targets);
      if (this.#targets.size === 0) return;
      const now = this.#clock.now();
      if (now >= this.#settled) {
        const alarms = situation.alarms().flatMap((alarm) => ofAlarm(alarm, now) ?? []);
        for (const target of this.#targets.values()) target.look(alarms, this.#unit);
      }
      for (const target of this.#targets.values()) target.tend();
    });
  }

  get names(): string[] {
    return [...this.#targets.keys()].sort();
  }

  view(): AlertTargetRow[] {
    return this.names.flatMap((name) => this.#targets.get(name)?.view() ?? []);
  }

  /** Sends a test; undefined: there is no such target. Never throws. */
  test(
    name: string,
    alert: Alert,
  ): Promise<{ readonly ok: boolean; readonly message: string }> | undefined {
    return this.#targets.get(name)?.test({ ...alert, unit: plain(this.#unit) });
  }

  alarms(): Alarm[] {
    return [...this.#targets.values()].flatMap((target) => target.alarms());
  }

  /** The daemon begins to end: what happens from now on is its own doing, and is not told. */
  rest(): void {
    this.#closed = true;
    this.#stopTimer?.();
  }

  async close(): Promise<void> {
    this.rest();
    await Promise.all([...this.#targets.values()].map((target) => target.close(PATIENCE_MS)));
    this.#parts.store.close();
  }

  #again(): void {
    this.#stopTimer = this.#clock.after(LOOK_MS, () => {
      try {
        this.look();
      } catch (err) {
        this.#parts.log.error({ err }, 'cannot look at the alarms; trying again');
      }
      if (!this.#closed) this.#again();
    });
  }

  #follow(declared: Situation['targets']): void {
    const { store, version, log, random = Math.random } = this.#parts;
    const sender = { version, now: () => this.#clock.now() };
    for (const [name, settings] of Object.entries(declared)) {
      const known = this.#targets.get(name);
      if (known !== undefined) {
        known.follow(settings);
        continue;
      }
      const parts: TargetParts = {
        ...{ clock: this.#clock, random, store },
        makeTransport: this.#parts.makeTransport ?? ((one) => makeTransport(one, sender)),
        warn: (sentence) => log.warn(`alerts: ${sentence}`),
      };
      const kept = this.#kept?.get(name) ?? { waiting: [], told: [] };
      this.#targets.set(name, new Target(name, settings, parts, kept));
    }
    for (const [name, target] of this.#targets) {
      if (Object.hasOwn(declared, name)) continue;
      this.#targets.delete(name);
      store.forget(name);
      target.close(0).catch((err: unknown) => {
        log.error({ err }, `cannot end the deliveries to ${name}`);
      });
    }
    for (const name of this.#kept?.keys() ?? []) {
      if (!this.#targets.has(name)) store.forget(name);
    }
    this.#kept = null;
    const early = this.#early ?? [];
    this.#early = null;
    for (const one of early) {
      for (const target of this.#targets.values()) target.event(one, this.#unit);
    }
  }
}
