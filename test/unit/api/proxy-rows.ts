/** Rows of layer 7 for the fake daemon. Invariant: as there, no two keys have the same value. */
import type {
  ProxyTraffic,
  RouteRow,
  ServiceDetail,
  ServiceRow,
  WorkerRestart,
  WorkerRow,
} from '../../../appliance/api/contract.js';
import { NO_COUNTERS, NO_RATES } from '../../../appliance/telemetry/rates.js';

export const PROXY: ProxyTraffic = {
  rates: {
    connectionsPerSecond: 21,
    requestsPerSecond: 1234,
    errorsPerSecond: 2,
    bitsPerSecond: 98_700_000,
  },
  latency: { mean: 1.5, p50: 0.7, p90: 2.2, p99: 8.4, p999: 33, max: 41 },
  totals: {
    connections: 5100,
    requests: 71_000,
    responses: { '1xx': 0, '2xx': 70_000, '3xx': 310, '4xx': 620, '5xx': 70 },
    bytesIn: 1_000_000,
    bytesOut: 81_000_000,
    refused: {
      rate: 11,
      connections: 0,
      queueFull: 0,
      queueTimeout: 4,
      noMember: 0,
      badRequest: 6,
      tooSlow: 0,
    },
    retries: 9,
    connects: { ok: 130, failed: 3, reused: 70_500 },
    ejections: 1,
    upgrades: 5,
    compressed: { responses: 0, bytesIn: 0, bytesOut: 0 },
    clientAborts: 17,
    memberFailures: 8,
    tls: {
      full: 1400,
      resumed: 3600,
      early: 31,
      versions: { '1.2': 240, '1.3': 4760 },
      failed: { gone: 23, alert: 13, incompatible: 0, certificate: 7, name: 0, other: 0 },
    },
  },
  active: 45,
  underWay: null,
  queued: null,
};

export const PROXIED: ServiceRow = {
  name: 'site',
  address: '10.0.0.81',
  port: 8081,
  protocol: 'http',
  state: 'UP',
  tier: 'proxy',
  tierReason: 'http needs the proxy',
  forwarding: null,
  pool: 'web',
  servedBy: 'web',
  membersServing: 3,
  membersTotal: 3,
  rates: NO_RATES,
  totals: NO_COUNTERS,
  synCookies: null,
  since: Date.UTC(2026, 2, 1, 13, 5, 9),
  proxy: PROXY,
};

const routeTraffic: ProxyTraffic = { ...PROXY, active: null };

export const ROUTES: RouteRow[] = [
  {
    service: 'site',
    route: 'canary',
    order: 1,
    conditions: 'host shop.example, path /new/**',
    action: 'pool',
    target: 'web 95, next 5',
    share: 0.053,
    proxy: routeTraffic,
  },
  {
    service: 'site',
    route: '2',
    order: 2,
    conditions: '',
    action: 'redirect',
    target: '301 https://shop.example/',
    share: null,
    proxy: { ...routeTraffic, latency: null },
  },
];

export const SERVICE: ServiceDetail = { ...PROXIED, routes: ROUTES };

export const WORKERS: WorkerRow[] = [
  {
    worker: 0,
    pid: 4711,
    cpu: 1,
    state: 'serving',
    clients: 23,
    requestsPerSecond: 617,
    since: Date.UTC(2026, 2, 1, 14, 0, 9),
    restarts: 2,
  },
  {
    worker: 3,
    pid: 4699,
    cpu: null,
    state: 'draining',
    clients: 7,
    requestsPerSecond: 0,
    since: Date.UTC(2026, 2, 1, 12, 5, 9),
    restarts: 0,
  },
];

export const RESTART: WorkerRestart = { replaced: 2, durationMs: 640, workers: WORKERS };
