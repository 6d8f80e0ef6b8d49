/** The part of the fake daemon that answers about traffic of the past and of now. */
import type { TrafficHistory } from '../../../appliance/api/history-contract.js';
import type { LiveMessage, LiveOrder, LiveView } from '../../../appliance/api/live-contract.js';
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

  /** Who looks now. */
  readonly viewers = new Set<{
    view: LiveView;
    order: LiveOrder;
    send: (m: LiveMessage) => void;
  }>();

  watch(wanted: Parameters<TrafficPort['watch']>[0], send: (m: LiveMessage) => void): () => void {
    const viewer = { view: wanted.view, order: wanted.order, send };
    this.viewers.add(viewer);
    setImmediate(() => send(LIVE[wanted.view]));
    return () => {
      this.viewers.delete(viewer);
    };
  }
}

/** 2026-03-01 14:05:08 UTC. */
const AT = Date.UTC(2026, 2, 1, 14, 5, 8);
const NO_HITS = { connectionsPerSecond: 0, requestsPerSecond: 0, bitsPerSecond: 0 };

export const LIVE: { readonly [V in LiveView]: Extract<LiveMessage, { type: V }> } = {
  clients: {
    ...{ type: 'clients', time: AT, seconds: 12 },
    rows: [
      {
        ...{ client: '192.0.2.7', service: 'shop', ...NO_HITS, requestsPerSecond: 120 },
        ...{ bitsPerSecond: 8e6, errorsPerSecond: 1.5, surplus: 0 },
      },
      {
        ...{ client: '2001:db8::7', service: 'mail', ...NO_HITS, connectionsPerSecond: 33 },
        ...{ bitsPerSecond: null, errorsPerSecond: 0, surplus: 2 },
      },
    ],
  },
  urls: {
    ...{ type: 'urls', time: AT, seconds: 12 },
    rows: [
      {
        ...{ service: 'shop', host: 'shop.example', path: '/buy/\u001b[2J', status: 503 },
        ...{ ...NO_HITS, requestsPerSecond: 42, bitsPerSecond: 3e5, errorsPerSecond: 40 },
        ...{ meanMs: 12.5, surplus: 0 },
      },
      {
        ...{ service: 'shop', host: null, path: '/', status: 200, ...NO_HITS },
        ...{ requestsPerSecond: 7, errorsPerSecond: 0, meanMs: null, surplus: 0 },
      },
    ],
  },
  flows: {
    ...{ type: 'flows', time: AT, seconds: 12 },
    rows: [
      {
        ...{ time: AT - 2000, protocol: 'tcp', client: '192.0.2.7:40000', service: 'mail' },
        ...{ pool: 'web', member: '10.0.1.11:8080', forwarding: 'nat', state: 'open', idleMs: 900 },
      },
      {
        ...{ time: AT - 61_000, protocol: 'udp', client: '[2001:db8::7]:5353', service: 'dns' },
        ...{ pool: 'dns', member: '10.0.1.53', forwarding: 'dsr', state: 'hash', idleMs: null },
      },
    ],
  },
  log: {
    ...{ type: 'log', time: AT, seconds: 12, skipped: 3 },
    rows: [
      {
        ...{ time: AT - 500, service: 'shop', route: '1', client: '192.0.2.7', method: 'GET' },
        ...{ target: '/buy?x=\u009b2J', host: 'shop.example', status: 503, bytesIn: 0 },
        ...{ bytesOut: 512, totalMs: 12.5, member: '10.0.1.11:8080' },
        ...{ userAgent: 'curl\u001b]0;owned\u0007', ended: 'complete' },
      },
      {
        ...{ time: AT - 100, service: 'raw', route: null, client: '192.0.2.8', method: null },
        ...{ target: null, host: null, status: 0, bytesIn: 7, bytesOut: 9, totalMs: 4000 },
        ...{ member: '10.0.1.12:8080', userAgent: null, ended: 'client-gone' },
      },
    ],
  },
};
