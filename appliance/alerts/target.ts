/**
 * One target: takes what it is to be told, and delivers it, one delivery at a time.
 *
 * Invariant: after a failure nothing is tried before its time; what cannot succeed is given up at
 * once and counted. Nothing here waits for the other side but the delivery itself.
 */
import type { Alarm, AlertTargetRow } from '../api/contract.js';
import type { Alert as TargetSettings } from '../config/alerts.js';
import type { Clock } from '../tls/keeper.js';
import { toSend, type Alert, type Occurrence, type Waiting } from './alert.js';
import { rank } from '../config/severities.js';
import { backOff } from './back-off.js';
import { AlertQueue } from './queue.js';
import { ToldAlarms, type ToldStore, type Told } from './told.js';
import type { Outcome, Transport } from './transport.js';
import { destination } from './transports.js';
import type { WaitingStore } from './queue.js';

/** One failure may be chance, and is over with the next try. */
const FAILING_FROM = 2;

export interface TargetParts {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly store: WaitingStore & ToldStore;
  readonly makeTransport: (settings: TargetSettings) => Transport;
  readonly warn: (sentence: string) => void;
}

export class Target {
  readonly name: string;
  readonly #parts: TargetParts;
  readonly #queue: AlertQueue;
  readonly #told: ToldAlarms;
  #settings: TargetSettings;
  #transport: Transport;
  #stopTimer: (() => void) | null = null;
  #delivery: Promise<void> | null = null;
  #closed = false;
  readonly #abort = new AbortController();
  #failures = 0;
  #failingSince: number | null = null;
  #notBefore: number | null = null;
  #trouble: string | null = null;
  #delivered = 0;
  #dropped = 0;
  #lastDelivery: number | null = null;
  #lastError: { readonly time: number; readonly message: string } | null = null;

  constructor(
    name: string,
    settings: TargetSettings,
    parts: TargetParts,
    kept: { readonly waiting: readonly Waiting[]; readonly told: readonly Told[] },
  ) {
    this.name = name;
    this.#parts = parts;
    this.#settings = settings;
    this.#transport = parts.makeTransport(settings);
    this.#queue = new AlertQueue(name, parts.store, kept.waiting);
    this.#told = new ToldAlarms(name, parts.store, kept.told);
  }

  /** What waits goes by the new settings, at once. */
  follow(settings: TargetSettings): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    this.#settings = settings;
    this.#transport = this.#parts.makeTransport(settings);
    this.#failures = 0;
    this.#failingSince = null;
    this.#notBefore = null;
    this.#trouble = null;
    this.#go();
  }

  event(occurrence: Occurrence, unit: string): void {
    if (this.#wants(occurrence)) this.#offer(occurrence, unit);
  }

  /** What alarms there are now; called again and again. */
  look(alarms: readonly Occurrence[], unit: string): void {
    const now = this.#parts.clock.now();
    const news = this.#told.look(alarms, (one) => this.#wants(one), this.#settings.repeat, now);
    for (const one of news) this.#offer(one, unit);
  }

  /** Once in a while, whatever the timers do: the clock may have been set. */
  tend(): void {
    const now = this.#parts.clock.now();
    const old = this.#queue.expire(now);
    if (old > 0) this.#drop(old, 'nobody took them within a day');
    if (this.#notBefore !== null && this.#notBefore - now > 3_600_000) this.#notBefore = now;
    this.#go();
  }

  /** Delivers a test past the queue. */
  async test(alert: Alert): Promise<{ readonly ok: boolean; readonly message: string }> {
    const outcome = await this.#transport.send([alert], this.#abort.signal);
    if (outcome.result !== 'delivered') {
      this.#troubled(outcome.said);
      return { ok: false, message: outcome.said };
    }
    this.#well(outcome.trouble);
    this.#go();
    return outcome.trouble === null
      ? { ok: true, message: outcome.said }
      : { ok: false, message: outcome.trouble };
  }

  view(): AlertTargetRow {
    const { type, severity } = this.#settings;
    const failing = this.#trouble !== null || this.#failures > 0;
    const idle = this.#lastDelivery === null && this.#lastError === null;
    return {
      ...{ name: this.name, type, to: destination(this.#settings), severity },
      state: failing ? 'failing' : idle ? 'idle' : 'well',
      ...{ delivered: this.#delivered, lastDelivery: this.#lastDelivery },
      ...{ lastError: this.#lastError, waiting: this.#queue.length },
      ...{ nextTry: this.#notBefore, dropped: this.#dropped },
    };
  }

  alarms(): Alarm[] {
    const trouble =
      this.#failures >= FAILING_FROM ? (this.#lastError?.message ?? null) : this.#trouble;
    if (trouble === null) return [];
    const waiting = this.#queue.length === 0 ? '' : ` Waiting: ${this.#queue.length}.`;
    return [
      {
        ...{ code: 'alert-target-failing', severity: 'warning', object: this.name },
        message: `Alerts do not reach ${this.name}: ${trouble.replace(/\.$/, '')}.${waiting}`,
        since: this.#failingSince,
      },
    ];
  }

  /** Gives a delivery under way so many milliseconds to end; what waits stays in the store. */
  async close(patience: number): Promise<void> {
    this.#closed = true;
    this.#stopTimer?.();
    const stop = this.#parts.clock.after(patience, () => this.#abort.abort());
    await this.#delivery;
    stop();
    this.#abort.abort();
  }

  #wants({ kind, object, severity }: Occurrence): boolean {
    const { severity: least, kinds } = this.#settings;
    // That it does not work cannot be told by itself.
    if (kind === 'alert-target-failing' && object === this.name) return false;
    return rank(severity) >= rank(least) && (kinds === undefined || kinds.includes(kind));
  }

  #offer(occurrence: Occurrence, unit: string): void {
    const { clock } = this.#parts;
    const lost = this.#queue.offer(occurrence, unit, this.#settings.group, clock.now());
    if (lost > 0) this.#drop(lost, 'too many wait');
    this.#go();
  }

  #go(): void {
    if (this.#closed || this.#delivery !== null) return;
    this.#stopTimer?.();
    this.#stopTimer = null;
    const next = this.#queue.nextAt();
    if (next === null) return;
    const { clock } = this.#parts;
    const at = Math.max(next, this.#notBefore ?? next);
    const wait = at - clock.now();
    if (wait > 0) {
      this.#stopTimer = clock.after(wait, () => this.#go());
      return;
    }
    const taken = this.#queue.take(this.#transport.most, this.#settings.group, clock.now());
    if (taken.length === 0) return;
    this.#delivery = this.#deliver(taken).finally(() => {
      this.#delivery = null;
      this.#go();
    });
  }

  async #deliver(taken: readonly Waiting[]): Promise<void> {
    const transport = this.#transport;
    const outcome = await transport.send(taken.map(toSend), this.#abort.signal);
    this.#queue.giveBack(taken);
    if (outcome.result !== 'failed') for (const { id } of taken) this.#queue.remove(id);
    if (outcome.result === 'delivered') {
      this.#delivered += taken.length;
      this.#well(outcome.trouble);
      return;
    }
    if (outcome.result === 'refused') this.#drop(taken.length, outcome.said);
    // Of settings that hold no longer, or given up with the daemon: it says nothing of the target.
    if (transport === this.#transport && !this.#abort.signal.aborted) this.#failed(outcome);
  }

  #well(trouble: string | null): void {
    const now = this.#parts.clock.now();
    this.#lastDelivery = now;
    this.#failures = 0;
    this.#notBefore = null;
    this.#trouble = trouble;
    if (trouble === null) this.#failingSince = null;
    else this.#troubled(trouble);
  }

  /** It is an alarm until a delivery is well. */
  #troubled(message: string): void {
    const now = this.#parts.clock.now();
    this.#trouble = message;
    this.#failingSince ??= now;
    this.#lastError = { time: now, message };
  }

  #failed(outcome: Exclude<Outcome, { result: 'delivered' }>): void {
    if (outcome.result === 'refused') {
      this.#troubled(outcome.said);
      return;
    }
    const now = this.#parts.clock.now();
    this.#lastError = { time: now, message: outcome.said };
    this.#failingSince ??= now;
    this.#failures += 1;
    this.#notBefore = now + backOff(this.#failures, outcome.after, this.#parts.random());
    if (this.#failures === 1) this.#parts.warn(`${this.name} cannot be told: ${outcome.said}`);
  }

  #drop(count: number, why: string): void {
    this.#dropped += count;
    this.#parts.warn(`${count} not told to ${this.name}: ${why}`);
  }
}
