/** The part of the fake daemon that answers about alerts; it remembers what it was asked. */
import type { AlertTargetRow, AlertTest } from '../../../appliance/api/alert-contract.js';
import type { AlertPort } from '../../../appliance/api/alert-port.js';

export const TARGETS: readonly AlertTargetRow[] = [
  {
    ...{ name: 'chat', type: 'webhook', to: 'https://chat.example/hook', severity: 'warning' },
    ...{ state: 'failing', delivered: 3, lastDelivery: Date.UTC(2026, 2, 1), waiting: 2 },
    lastError: { time: Date.UTC(2026, 2, 1, 14, 5), message: 'it answered 503: \u001b[31mbusy' },
    ...{ nextTry: Date.UTC(2026, 2, 1, 14, 6), dropped: 1 },
  },
  {
    ...{ name: 'log', type: 'syslog', to: '10.0.0.9:514/udp', severity: 'info' },
    ...{ state: 'idle', delivered: 0, lastDelivery: null, waiting: 0, lastError: null },
    ...{ nextTry: null, dropped: 0 },
  },
];

export const TESTED: AlertTest = {
  ok: false,
  tests: [
    { target: 'chat', ok: false, message: 'it answered 503: busy', durationMs: 12 },
    { target: 'log', ok: true, message: 'sent', durationMs: 1 },
  ],
};

export class FakeAlerts implements AlertPort {
  readonly asked: unknown[] = [];
  answer: AlertTest = TESTED;
  rows: readonly AlertTargetRow[] = TARGETS;
  /** Thrown by the next test. */
  failure: Error | null = null;

  async targets(): Promise<AlertTargetRow[]> {
    return [...this.rows];
  }

  async test(request: unknown): Promise<AlertTest> {
    this.asked.push(request);
    const { failure } = this;
    this.failure = null;
    if (failure !== null) throw failure;
    return this.answer;
  }
}
