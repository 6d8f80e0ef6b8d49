/** The part of the fake daemon that answers about traffic of the past. */
import type { TrafficHistory } from '../../../appliance/api/history-contract.js';
import { PortError } from '../../../appliance/api/port.js';
import type { TrafficPort } from '../../../appliance/api/traffic-port.js';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** Midnight at the begin of 2026-03-01 to its end, with two hours in which the daemon was away. */
export function trafficOf(of: string): TrafficHistory {
  const stepMs = 10 * MINUTE;
  const newest = Date.UTC(2026, 2, 1, 14, 0);
  const row = (value: (slot: number) => number): (number | null)[] =>
    Array.from({ length: DAY / stepMs }, (_, slot) =>
      slot >= 60 && slot < 72 ? null : value(slot),
    );
  return {
    ...{ of, span: '24h', stepMs, newest },
    values: {
      connections: row((slot) => slot),
      requests: row((slot) => slot * 10),
      bitsIn: row((slot) => slot * 1e6),
      bitsOut: row((slot) => slot * 4e6),
      errors: row((slot) => (slot === 100 ? 7 : 0)),
      drops: row(() => 0),
      active: row((slot) => 200 + slot),
      membersUp: row((slot) => (slot < 50 ? 3 : 2)),
      ...(of === 'unit' ? { cpu: row(() => 0.25), memory: row(() => 0.5) } : {}),
    },
  };
}

export class FakeTraffic implements TrafficPort {
  readonly asked: unknown[] = [];

  async history(query: Parameters<TrafficPort['history']>[0]): Promise<TrafficHistory> {
    this.asked.push(query);
    if (query.of === 'service:none') {
      throw new PortError('not-found', 'There is no history of service:none.');
    }
    return { ...trafficOf(query.of), span: query.span };
  }
}
