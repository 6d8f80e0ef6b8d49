/** Tables of layer 7 for tests: whole, with what a test says in them. */
import type {
  L7Member,
  L7Pool,
  L7Route,
  L7Service,
  L7Tables,
  L7Timeouts,
} from '../../appliance/l7/tables.js';

export const timeouts: L7Timeouts = {
  head: 5000,
  idle: 5000,
  keepAlive: 5000,
  slowestBody: 0,
  connect: 2000,
  response: 5000,
  queue: 1000,
  tunnel: 5000,
};

const service: L7Service = {
  name: 'web',
  address: '127.0.0.1',
  port: 80,
  protocol: 'http',
  routes: [],
  persistence: null,
  limits: [],
  connections: 0,
  connectionsPerClient: 0,
  clientPrefix: 32,
  clientPrefix6: 64,
  timeouts,
  maxBody: 0,
  maxHead: 16_384,
  maxFields: 100,
  proxyProtocol: 'off',
  forward: {
    forwardedFor: 'append',
    forwardedOthers: 'set',
    forwarded: 'remove',
    via: null,
    certificate: 'remove',
    requestId: null,
    upgrade: 'websocket',
  },
  compression: null,
  accessLog: null,
  serverTiming: false,
  tls: null,
};

const pool: L7Pool = {
  name: 'web',
  algorithm: 'round-robin',
  hash: 'source',
  members: [],
  whenDown: 'refuse',
  queue: 0,
  idleConnections: 64,
  idleTimeout: 30_000,
  requestsPerConnection: 1000,
  retries: 2,
  proxyProtocol: 'off',
  ejection: null,
  tls: null,
};

export function memberAt(of: string, port: number, facts: Partial<L7Member> = {}): L7Member {
  const key = `127.0.0.1:${port}`;
  return {
    id: `${of}/${key}`,
    key,
    address: '127.0.0.1',
    port,
    weight: 1,
    takes: true,
    state: 'serving',
    reason: 'enabled, no monitor',
    maxConnections: 0,
    ...facts,
  };
}

export function poolWith(ports: readonly number[], facts: Partial<L7Pool> = {}): L7Pool {
  const name = facts.name ?? pool.name;
  return { ...pool, members: ports.map((port) => memberAt(name, port)), ...facts };
}

export function routeTo(name: string, facts: Partial<L7Route> = {}): L7Route {
  return {
    name,
    when: null,
    action: {
      kind: 'pools',
      pools: [{ pool: name, weight: 1 }],
      rewrite: null,
      host: null,
      mirror: null,
    },
    requestEdits: [],
    responseEdits: [],
    limits: [],
    ...facts,
  };
}

export function serviceAt(port: number, facts: Partial<L7Service> = {}): L7Service {
  return { ...service, port, routes: [routeTo('web')], ...facts };
}

export function tablesOf(
  services: readonly L7Service[],
  pools: readonly L7Pool[],
  workers = 2,
): L7Tables {
  return {
    unit: { name: 'unit', workers, connections: 512 },
    services: new Map(services.map((one) => [one.name, one])),
    pools: new Map(pools.map((one) => [one.name, one])),
  };
}
