/**
 * Alerts with a clock that a test moves, a store on the disk, and targets that a test answers for.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AlertStore } from '../../appliance/alerts/alert-store.js';
import type { Alert } from '../../appliance/alerts/alert.js';
import { Alerts, type AlertsParts } from '../../appliance/alerts/alerts.js';
import type { Outcome } from '../../appliance/alerts/transport.js';
import type { Alarm, EventRow } from '../../appliance/api/contract.js';
import { alertSchema, type Alert as TargetSettings } from '../../appliance/config/alerts.js';
import { HandClock } from './hand-clock.js';

export const START = Date.UTC(2026, 0, 1);

/** One that tells of a pool, whatever carries it. */
export const ALERT: Alert = {
  ...{ id: 'a-1', unit: 'weir-a', time: START, kind: 'pool-down', severity: 'error' },
  ...{ object: 'web', message: 'Pool web is down.', state: 'raised', count: 2 },
};

/** What somebody wrote, as the daemon has it. */
export function settings(written: object): TargetSettings {
  return alertSchema.parse(written);
}

/** A target by its name; everything of it but what transports do is real. */
export function target(name: string, more: object = {}): TargetSettings {
  return settings({ type: 'webhook', url: `http://${name}.example/`, ...more });
}

export interface Delivery {
  readonly target: string;
  /** Milliseconds since the scene began. */
  readonly at: number;
  readonly alerts: readonly Alert[];
}

export const taken: Outcome = { result: 'delivered', said: 'yes', trouble: null };

export class AlertScene {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-alerts-'));
  readonly clock = new HandClock();
  readonly deliveries: Delivery[] = [];
  readonly warnings: string[] = [];
  readonly errors: unknown[] = [];
  targets: Record<string, TargetSettings> | null = null;
  active: Alarm[] = [];
  random = 0;
  alerts: Alerts;
  #sequence = 0;

  /** What a target answers, by its name; changed as a test goes on. */
  answer: (target: string, alerts: readonly Alert[], signal: AbortSignal) => Promise<Outcome> =
    async () => taken;

  constructor() {
    this.clock.time = START;
    this.alerts = this.#begin();
  }

  /** Lets the daemon end in order and begin anew. */
  async restart(): Promise<void> {
    await this.alerts.close();
    this.alerts = this.#begin();
  }

  async end(): Promise<void> {
    await this.alerts.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async pass(seconds: number): Promise<void> {
    await this.settle();
    await this.clock.pass(seconds * 1000, () => this.settle());
  }

  /** Promises that are settled already are heard of. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  happens(event: Partial<EventRow> = {}): void {
    this.#sequence += 1;
    this.alerts.event({
      ...{ sequence: this.#sequence, time: this.clock.time, kind: 'worker', severity: 'warning' },
      ...{ message: 'a worker ended', subject: {}, ...event },
    });
  }

  /** Each delivery in a few words: seconds, target, and what it said. */
  get said(): string[] {
    return this.deliveries.map(
      ({ target, at, alerts }) =>
        `${at / 1000} ${target}: ${alerts.map(({ kind, object, state, count }) => `${state} ${kind} ${object} x${count}`).join(', ')}`,
    );
  }

  #begin(): Alerts {
    const parts: AlertsParts = {
      store: AlertStore.open(join(this.folder, 'alerts.db'), {
        onError: (error) => this.errors.push(error),
      }),
      situation: () =>
        this.targets === null
          ? null
          : {
              ...{ unit: 'weir-a', targets: this.targets },
              alarms: () => [...this.active, ...this.alerts.alarms()],
            },
      ...{ version: '1.2.3', clock: this.clock, random: () => this.random },
      log: {
        warn: (sentence) => this.warnings.push(sentence),
        error: ({ err }: { err?: unknown }) => this.errors.push(err),
      },
      makeTransport: (one) => {
        const name = one.type === 'webhook' ? new URL(one.url).host.split('.')[0] : one.type;
        return {
          most: 1,
          send: (alerts, signal) => {
            const at = this.clock.time - START;
            this.deliveries.push({ target: name ?? '', at, alerts });
            return this.answer(name ?? '', alerts, signal);
          },
        };
      },
    };
    return new Alerts(parts);
  }
}

export async function withScene(act: (scene: AlertScene) => Promise<void>): Promise<void> {
  const scene = new AlertScene();
  try {
    await act(scene);
  } finally {
    await scene.end();
  }
}
