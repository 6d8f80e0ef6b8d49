/** What people ask of alerts, behind api/alert-port.ts. */
import { randomUUID } from 'node:crypto';
import type { Alarm, AlertTargetRow, AlertTest, AlertTestRow } from '../api/contract.js';
import type { AlertPort } from '../api/alert-port.js';
import { PortError } from '../api/port.js';
import type { Alerts } from '../alerts/alerts.js';

export class Alerting implements AlertPort {
  readonly #alerts: Alerts;

  constructor(alerts: Alerts) {
    this.#alerts = alerts;
  }

  alarms(): Alarm[] {
    return this.#alerts.alarms();
  }

  async targets(): Promise<AlertTargetRow[]> {
    // What was applied within the last second is there, too.
    this.#alerts.look();
    return this.#alerts.view();
  }

  async test({ targets, author }: Parameters<AlertPort['test']>[0]): Promise<AlertTest> {
    this.#alerts.look();
    const known = this.#alerts.names;
    if (known.length === 0) {
      throw new PortError('conflict', 'Nobody is told: declare a target under "alerts".');
    }
    const missing = targets.find((name) => !known.includes(name));
    if (missing !== undefined) {
      throw new PortError(
        'not-found',
        `There is no target ${missing} under "alerts": there is ${known.join(', ')}.`,
      );
    }
    const wanted = targets.length === 0 ? known : [...new Set(targets)];
    const tests = await Promise.all(wanted.map((name) => this.#testOne(name, author)));
    return { ok: tests.every(({ ok }) => ok), tests };
  }

  async #testOne(target: string, author: string): Promise<AlertTestRow> {
    const begun = performance.now();
    const answer = await this.#alerts.test(target, {
      ...{ id: randomUUID(), unit: '', time: Date.now(), kind: 'test', severity: 'info' },
      ...{ object: target, state: 'event', count: 1 },
      message: `This is a test of alerts to ${target}, asked for by ${author}.`,
    });
    const { ok, message } = answer ?? { ok: false, message: 'it was removed meanwhile' };
    return { target, ok, message, durationMs: Math.round(performance.now() - begun) };
  }
}
