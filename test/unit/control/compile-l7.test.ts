/** The compiler's part for the proxy: what each key comes to, who serves, and what stays the same object. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProxyTraffic } from '../../../appliance/api/contract.js';
import { parseText } from '../../../appliance/config/document.js';
import { formatConfigError } from '../../../appliance/config/errors.js';
import { intentSchema, type Document, type Intent } from '../../../appliance/config/schema.js';
import { alarms } from '../../../appliance/control/alarms.js';
import { compile, type CompileInput } from '../../../appliance/control/compile.js';
import type { InfluenceView, MemberHealth } from '../../../appliance/control/compile-pools.js';
import type { Tables } from '../../../appliance/control/tables.js';
import { poolDetail } from '../../../appliance/control/pool-view.js';
import { NO_PROXY, ProxyWatch } from '../../../appliance/control/proxy-watch.js';
import {
  memberRows,
  poolRows,
  serviceRows,
  type ViewInput,
} from '../../../appliance/control/views.js';
import { availableCodings } from '../../../appliance/l7/compress/codecs.js';
import { CompressionPlan } from '../../../appliance/l7/compress/plan.js';
import { Edits } from '../../../appliance/l7/http1/edits.js';
import { RequestIds } from '../../../appliance/l7/http1/request-id.js';
import { RequestPlan } from '../../../appliance/l7/http1/rewrite-request.js';
import { Router } from '../../../appliance/l7/routing/router.js';
import { syslogPeer } from '../../../appliance/l7/telemetry/log-syslog.js';
import type { L7Action, L7Pool, L7Service } from '../../../appliance/l7/tables.js';
import { projectRoot } from '../../../appliance/paths.js';
import { hop } from './stand-ins.js';

const test = suite('compile: layer 7');

type PoolDocument = NonNullable<Document['pools']>[string];
type ServiceDocument = NonNullable<Document['services']>[string];

const KEY = Buffer.alloc(32, 7).toString('base64');
const down: MemberHealth = { state: 'down', reason: 'connection refused' };
const monitor = { type: 'tcp' } as const;
const listen = { address: '10.0.0.80', port: 80, protocol: 'http' } as const;
const unresolved = { unresolved: 'no MAC address known' } as const;

function members(...changes: Partial<PoolDocument['members'][number]>[]): PoolDocument['members'] {
  return changes.map((change, index) => ({ address: `10.0.1.${index + 1}`, port: 80, ...change }));
}

interface Parts {
  readonly pools?: Record<string, PoolDocument>;
  readonly services?: Record<string, ServiceDocument>;
  readonly unit?: Partial<Document['unit']>;
}

function intentOf({ pools, services, unit }: Parts): Intent {
  return intentSchema.parse({
    version: 1,
    unit: { name: 'weir-a', ...unit },
    pools: pools ?? { web: { members: members({}, {}) } },
    services: services ?? { shop: { listen, pool: 'web' } },
  });
}

/** The members' next hops are unknown: the proxy must not mind. */
function run(parts: Parts, change: Partial<CompileInput> = {}, previous?: Tables): Tables {
  return again(intentOf(parts), change, previous);
}

function again(intent: Intent, change: Partial<CompileInput> = {}, previous?: Tables): Tables {
  const input = { intent, health: new Map(), nextHop: () => unresolved, cookieKey: () => KEY };
  return compile({ ...input, ...change }, previous);
}

function shopOf({ l7 }: Tables, name = 'shop'): L7Service {
  const service = l7.services.get(name);
  if (service === undefined) throw new Error(`the proxy has no service ${name}`);
  return service;
}

function poolOf({ l7 }: Tables, name = 'web'): L7Pool {
  const pool = l7.pools.get(name);
  if (pool === undefined) throw new Error(`the proxy has no pool ${name}`);
  return pool;
}

function actionOf(tables: Tables, index = 0): L7Action {
  const route = shopOf(tables).routes[index];
  if (route === undefined) throw new Error(`there is no route ${index}`);
  return route.action;
}

function poolsOf(tables: Tables, index = 0): (readonly [string, number])[] {
  const action = actionOf(tables, index);
  assert.is(action.kind, 'pools', 'the route leads to pools');
  return action.kind === 'pools' ? action.pools.map(({ pool, weight }) => [pool, weight]) : [];
}

function takers(pool: L7Pool): string[] {
  return pool.members.filter(({ takes }) => takes).map(({ address }) => address.slice(-1));
}

function influences(change: Partial<InfluenceView>): InfluenceView {
  return {
    ...{ ramp: () => 1, weight: () => undefined, drained: () => false, suspect: () => undefined },
    ...change,
  };
}

function health(...dead: string[]): Map<string, MemberHealth> {
  return new Map(dead.map((id) => [id, down]));
}

function golden(name: string): Intent {
  const path = join(projectRoot, 'test/unit/config/golden', `${name}.yaml`);
  const result = parseText(readFileSync(path, 'utf8'));
  if (!result.ok) throw new Error(result.errors.map(formatConfigError).join('\n'));
  return result.intent;
}

test('a plain service has every default, and one route to its pool', () => {
  const tables = run({});
  assert.equal(shopOf(tables), {
    name: 'shop',
    address: '10.0.0.80',
    port: 80,
    protocol: 'http',
    routes: [
      {
        name: '1',
        when: null,
        action: {
          kind: 'pools',
          pools: [{ pool: 'web', weight: 1 }],
          rewrite: null,
          host: null,
          mirror: null,
        },
        requestEdits: [],
        responseEdits: [],
        limits: [],
      },
    ],
    persistence: null,
    limits: [],
    connections: 0,
    connectionsPerClient: 0,
    clientPrefix: 32,
    clientPrefix6: 64,
    timeouts: {
      head: 10_000,
      idle: 30_000,
      keepAlive: 60_000,
      slowestBody: 500,
      connect: 5000,
      response: 60_000,
      queue: 5000,
      tunnel: 3_600_000,
    },
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
  });
  assert.equal(tables.l7.unit, { name: 'weir-a', workers: 0, connections: 32_768 });
  assert.equal(poolOf(tables), {
    name: 'web',
    algorithm: 'maglev',
    hash: 'source',
    members: ['10.0.1.1', '10.0.1.2'].map((address) => ({
      ...{ id: `web/${address}:80`, key: `${address}:80`, address, port: 80, weight: 1 },
      ...{ takes: true, state: 'serving', reason: 'enabled, no monitor', maxConnections: 0 },
    })),
    whenDown: 'refuse',
    queue: 0,
    idleConnections: 64,
    idleTimeout: 30_000,
    requestsPerConnection: 10_000,
    retries: 2,
    proxyProtocol: 'off',
    ejection: null,
    tls: null,
  });
});

test('tables survive JSON, since they cross to other processes', () => {
  const { l7 } = again(golden('ok-http-everything'));
  for (const part of [l7.unit, ...l7.services.values(), ...l7.pools.values()]) {
    assert.equal(JSON.parse(JSON.stringify(part)), part);
  }
});

test('every key of a service comes to what workers execute', () => {
  const tables = again(golden('ok-http-everything'));
  const shop = shopOf(tables);
  assert.equal(tables.l7.unit, { name: 'weir-a', workers: 4, connections: 65_536 });
  assert.equal(
    shop.routes.map(({ name }) => name),
    ['new-version', '2', '3', '4', '5', '6', '7'],
  );
  const [first] = shop.routes;
  assert.equal(first?.when, {
    hosts: ['shop.example', '*.shop.example'],
    paths: [
      { kind: 'pattern', value: '/v1/**' },
      { kind: 'pattern', value: '/v2/*' },
    ],
    methods: ['GET', 'HEAD'],
    headers: [
      { name: 'x-beta', kind: 'exact', value: '1' },
      { name: 'user-agent', kind: 'regex', value: '(?:Firefox|Chrome)/[0-9]{2,}' },
      { name: 'x-old', kind: 'absent' },
    ],
    query: [
      { name: 'lang', kind: 'prefix', value: 'de' },
      { name: 'debug', kind: 'exact', value: '' },
    ],
    cookies: [{ name: 'session', kind: 'present' }],
    sources: ['10.0.0.0/8', 'fd00::/8'],
  });
  assert.equal(first?.action, {
    kind: 'pools',
    pools: [
      { pool: 'web', weight: 95 },
      { pool: 'next', weight: 5 },
    ],
    rewrite: null,
    host: 'backend.example:8080',
    mirror: { pool: 'shadow', percent: 0.5 },
  });
  assert.equal(first?.requestEdits, [
    { action: 'remove', name: 'Cookie' },
    { action: 'set', name: 'Host', value: 'b.example' },
    { action: 'set', name: 'X-A', value: 'b' },
    { action: 'add', name: 'X-C', value: 'd' },
  ]);
  assert.equal(first?.responseEdits, [
    { action: 'set', name: 'Strict-Transport-Security', value: 'max-age=3600' },
  ]);
  assert.equal(first?.limits, [
    { name: 'new-version/1', perSecond: 10, burst: 10, per: { kind: 'host' }, when: null },
  ]);
  assert.equal(shop.routes[1]?.when?.paths, [
    { kind: 'regex', value: '^/item/[0-9]+$' },
    { kind: 'regex', value: '(?i)\\.php$' },
  ]);
  assert.equal(actionOf(tables, 1), {
    ...{ kind: 'respond', status: 410, contentType: 'text/plain; charset=utf-8' },
    ...{ body: 'gone\n', retryAfter: 3600 },
  });
  assert.equal(actionOf(tables, 2), {
    ...{ kind: 'redirect', to: 'https://{host}{path}?{query}', status: 301 },
  });
  assert.equal(shop.persistence, {
    ...{ kind: 'cookie', name: '__Host-shop', protection: 'encrypted', key: KEY, maxAge: 3600 },
    ...{ path: '/', domain: null, secure: true, httpOnly: true, sameSite: 'none' },
  });
  assert.equal(
    shop.limits.map(({ name, perSecond, burst, per }) => [name, perSecond, burst, per]),
    [
      ['1', 100, 200, { kind: 'client-address' }],
      ['all', 1000, 60_000, { kind: 'service' }],
      ['login', 5 / 60, 5, { kind: 'path' }],
      ['keys', 1000 / 3600, 1000, { kind: 'header', name: 'x-api-key' }],
    ],
  );
  assert.equal(shop.limits[2]?.when?.methods, ['POST']);
  assert.equal(
    [shop.connections, shop.connectionsPerClient, shop.clientPrefix, shop.clientPrefix6],
    [10_000, 100, 24, 56],
  );
  assert.equal([shop.maxBody, shop.maxHead, shop.maxFields], [10 * 2 ** 20, 8192, 64]);
  assert.equal(shop.timeouts, {
    ...{ head: 5000, idle: 20_000, keepAlive: 30_000, slowestBody: 1024, connect: 1000 },
    ...{ response: 120_000, queue: 2000, tunnel: 86_400_000 },
  });
  assert.is(shop.proxyProtocol, 'accept');
  assert.equal(shop.forward, {
    ...{ forwardedFor: 'set', forwardedOthers: 'keep', forwarded: 'append', via: 'weir' },
    certificate: 'remove',
    requestId: { name: 'X-Trace', client: 'keep', format: '{unit}-{time}-{counter}' },
    upgrade: 'any',
  });
  assert.equal(shop.compression, {
    ...{ codings: ['br', 'gzip'], minimumSize: 512, types: ['text/*', 'application/json'] },
  });
  assert.equal(shop.accessLog, {
    ...{ format: 'combined', to: '/var/log/weir/shop.log', sample: 0.1 },
    ...{ rotateSize: 2 ** 30, rotateKeep: 2 },
  });
  assert.is(shop.serverTiming, true);
  assert.is(shopOf(tables, 'plain').accessLog?.to, 'syslog:192.0.2.7:514');
  assert.equal(shopOf(tables, 'plain').persistence, {
    ...{ kind: 'application-cookie', name: 'JSESSIONID', timeout: 600_000 },
  });
  assert.equal(shopOf(tables, 'by-header').persistence?.kind, 'header');
  assert.equal(shopOf(tables, 'by-query').persistence?.kind, 'query');
  const { members: list, ...web } = poolOf(tables);
  assert.equal(web, {
    ...{ name: 'web', algorithm: 'least-connections', hash: 'source', whenDown: 'refuse' },
    ...{ queue: 100, idleConnections: 32, idleTimeout: 15_000 },
    ...{ requestsPerConnection: 1000, retries: 1, proxyProtocol: 'v2' },
    ejection: {
      ...{ failures: 3, share: 0.3, minimum: 50, within: 30_000, hold: 5000, most: 0.25 },
    },
    tls: null,
  });
  assert.equal(
    list.map(({ maxConnections }) => maxConnections),
    [200, 0],
  );
  assert.equal([...tables.l7.pools.keys()], ['web', 'next', 'shadow', 'sorry']);
});

test('early data is allowed where it was asked for', () => {
  const { services } = again(golden('ok-tls-early-data')).l7;
  assert.is(services.get('shop')?.tls?.earlyData, true);
  assert.is(services.get('plain')?.tls?.earlyData, false);
});

test('TLS that ends here is what is inside, with its settings; certificates are names', () => {
  const { services, pools } = again(golden('ok-tls-ends-here')).l7;
  const shop = services.get('shop');
  assert.is(shop?.protocol, 'http');
  assert.equal(shop?.tls, {
    policy: 'modern',
    certificates: ['shop', 'shop-rsa'],
    alpn: ['http/1.1'],
    tickets: false,
    earlyData: false,
    unknownNames: 'refuse',
    clients: {
      mode: 'optional',
      authorities: ['corp-ca'],
      depth: 2,
      headers: ['client-cert', 'verify', 'subject'],
    },
  });
  assert.is(shop?.persistence?.kind === 'cookie' && shop.persistence.secure, true);
  const imaps = services.get('imaps');
  assert.is(imaps?.protocol, 'tcp');
  assert.equal([imaps?.tls?.alpn, imaps?.tls?.policy], [['imap'], 'intermediate']);
  assert.is(services.get('to-https')?.tls, null);
  assert.equal(
    [shop?.forward.certificate, services.get('to-https')?.forward.certificate],
    ['remove', 'keep'],
  );
  assert.equal(pools.get('web')?.tls, {
    policy: 'modern',
    verify: true,
    authorities: ['internal-ca'],
    serverName: 'web.internal',
    certificate: 'unit',
  });
  assert.equal(pools.get('plain')?.tls, {
    policy: 'intermediate',
    verify: true,
    authorities: null,
    serverName: null,
    certificate: null,
  });
  assert.is(pools.get('mail')?.tls, null);
});

test('the parts of a worker take what comes out', () => {
  for (const name of ['ok-http-everything', 'ok-proxy-streams', 'ok-routes', 'ok-tls-by-host']) {
    for (const service of again(golden(name)).l7.services.values()) {
      const router = new Router(service);
      for (const route of service.routes) {
        new Edits(route.requestEdits);
        new Edits(route.responseEdits);
        for (const { when } of route.limits) if (when !== null) router.conditionOf(when);
      }
      const { accessLog, compression, forward } = service;
      new RequestPlan({ ...forward, fallbackHost: 'a', edits: new Edits([]) });
      if (forward.requestId !== null) {
        new RequestIds(forward.requestId.format, new Uint32Array(4), { unit: 'a', worker: 1 });
      }
      if (compression !== null) new CompressionPlan(compression, availableCodings());
      if (accessLog?.to.startsWith('syslog:') === true) syslogPeer(accessLog.to.slice(7));
    }
  }
});

test('a maintenance page is 503 with Retry-After, and its message is text', () => {
  const action = actionOf(again(golden('ok-http-everything')), 3);
  assert.is(action.kind, 'respond');
  if (action.kind !== 'respond') return;
  assert.equal([action.status, action.retryAfter], [503, 600]);
  assert.is(action.contentType, 'text/html; charset=utf-8');
  assert.match(action.body, 'Back at &#60;nine&#62;.');
});

test('a rewrite by ** without a pattern is one of the whole path', () => {
  const tables = again(golden('ok-http-everything'));
  const route = shopOf(tables).routes[5];
  assert.equal(route?.when?.paths, [{ kind: 'pattern', value: '/**' }]);
  assert.equal(route?.when?.hosts, ['old.example']);
  assert.is(route?.action.kind === 'pools' ? route.action.rewrite : null, '/old/**');
});

test('tls is passed through, tcp goes byte by byte, and both limit connections', () => {
  const tables = again(golden('ok-proxy-streams'));
  const mail = shopOf(tables, 'mail');
  assert.is(mail.protocol, 'tls');
  assert.equal(
    mail.routes.map(({ name }) => name),
    ['mail', '2'],
  );
  assert.equal(mail.limits, [
    {
      ...{ name: 'new-connections', perSecond: 10, burst: 50 },
      ...{ per: { kind: 'client-address' }, when: null },
    },
  ]);
  assert.is(mail.clientPrefix6, 48);
  assert.is(mail.accessLog?.to, 'syslog:/dev/log');
  const database = shopOf(tables, 'database');
  assert.is(database.protocol, 'tcp');
  assert.equal(database.persistence, {
    ...{ kind: 'source-address', timeout: 600_000, prefix: 24, prefix6: 128 },
  });
  assert.equal(
    tables.placements.map(({ service, tier }) => [service, tier]),
    [
      ['mail', 'l7'],
      ['database', 'l7'],
      ['direct', 'xdp'],
    ],
  );
  assert.is(tables.placements[1]?.reason, 'the document asks for tier: proxy');
  assert.equal([...tables.l4.services.keys()], ['direct']);
});

test('the unit answers for its addresses, and the fast path knows nothing of its members', () => {
  const tables = run({});
  assert.equal(tables.net.serviceAddresses, ['10.0.0.80']);
  assert.equal(tables.net.memberAddresses, []);
  assert.is(tables.l4.pools.size, 0);
  assert.is(tables.l4.services.size, 0);
});

test('a member without a next hop serves the proxy, and not the fast path', () => {
  const tables = run({
    services: {
      shop: { listen, pool: 'web' },
      packets: { listen: { ...listen, port: 81, protocol: 'tcp' }, pool: 'web' },
    },
  });
  assert.equal(takers(poolOf(tables)), ['1', '2']);
  assert.is(poolOf(tables).members[0]?.state, 'serving');
  const [member] = tables.l4.pools.get('web')?.members ?? [];
  assert.equal([member?.state, member?.reason], ['down', unresolved.unresolved]);
  assert.is(tables.l4.pools.get('web')?.lookup.length, 0);
  assert.equal(tables.net.memberAddresses, ['10.0.1.1', '10.0.1.2']);
});

test('monitors watch members of every pool that a service may come to use', () => {
  const bare = { members: [{ address: '10.0.1.1' }], monitor } satisfies PoolDocument;
  const tables = run({
    pools: {
      a: { ...bare, 'when-down': { pool: 'b' } },
      ...{ b: bare, c: bare, d: bare, unused: bare },
    },
    services: {
      shop: {
        listen: { ...listen, port: 8080 },
        routes: [
          { when: { path: '/c' }, pools: [{ pool: 'c' }], mirror: { pool: 'd' } },
          { pool: 'a' },
        ],
      },
    },
  });
  assert.equal(
    Array.from(tables.monitors.values(), ({ pool, port }) => [pool, port]),
    [
      ['a', 8080],
      ['b', 8080],
      ['c', 8080],
      ['d', 8080],
    ],
    'a member without a port of its own is probed at that of the service',
  );
});

const states: readonly (readonly [
  name: string,
  member: Partial<PoolDocument['members'][number]>,
  health: MemberHealth | undefined,
  expected: readonly [state: string, takes: boolean],
])[] = [
  ['never probed', {}, undefined, ['serving', true]],
  ['alive', {}, { state: 'up', reason: '' }, ['serving', true]],
  ['dead', {}, down, ['down', false]],
  ['draining', { state: 'draining' }, undefined, ['draining', false]],
  ['disabled', { state: 'disabled' }, undefined, ['down', false]],
  ['of weight 0', { weight: 0 }, undefined, ['serving', false]],
  ['a backup that is not needed', { backup: true }, undefined, ['serving', false]],
];

for (const [name, member, known, [state, takes]] of states) {
  test(`a member that is ${name} is ${state} and takes ${takes ? '' : 'no '}new requests`, () => {
    const web: PoolDocument = { members: members(member, {}), monitor };
    const view = new Map(known === undefined ? [] : [['web/10.0.1.1:80', known]]);
    const [first] = poolOf(run({ pools: { web } }, { health: view })).members;
    assert.equal([first?.state, first?.takes], [state, takes]);
  });
}

test('a member drained for as long as its pool allows is down', () => {
  const web: PoolDocument = { members: members({ state: 'draining' }, {}), 'drain-timeout': '5m' };
  const change = { influences: influences({ drained: () => true }) };
  const [first] = poolOf(run({ pools: { web } }, change)).members;
  assert.equal([first?.state, first?.reason], ['down', 'drained for 5m']);
});

test('backups take requests when too few others serve, and the dead when all are asked to', () => {
  const list = members({}, {}, { backup: true });
  const web: PoolDocument = { members: list, monitor, 'minimum-healthy': 2 };
  const one = { health: health('web/10.0.1.1:80') };
  assert.equal(takers(poolOf(run({ pools: { web } }, one))), ['2', '3']);
  const all = { ...web, 'when-down': 'serve-all' } as const;
  const two = { health: health('web/10.0.1.1:80', 'web/10.0.1.3:80') };
  assert.equal(takers(poolOf(run({ pools: { web: all } }, two))), ['1', '2', '3']);
});

test('a pool that another stands in for is named as the one that serves', () => {
  const parts: Parts = {
    pools: {
      web: { members: members({}, {}), monitor, 'when-down': { pool: 'spare' } },
      spare: { members: members({}), queue: { length: 5, timeout: '9s' } },
    },
    services: {
      shop: {
        listen,
        routes: [
          { when: { path: '/a' }, pool: 'web', mirror: { pool: 'web' } },
          { pools: [{ pool: 'web', weight: 3 }, { pool: 'spare' }] },
        ],
      },
    },
  };
  const intent = intentOf(parts);
  const well = again(intent);
  assert.equal(poolsOf(well), [['web', 1]]);
  const dead = { health: health('web/10.0.1.1:80', 'web/10.0.1.2:80') };
  const failed = again(intent, dead, well);
  assert.equal(poolsOf(failed), [['spare', 1]]);
  assert.equal(poolsOf(failed, 1), [['spare', 4]], 'the weights of one pool are added up');
  const action = actionOf(failed);
  assert.is(action.kind === 'pools' ? action.mirror?.pool : '', 'spare');
  assert.is(shopOf(failed).timeouts.queue, 9000, 'its queue decides how long one waits');
  assert.equal([...failed.l7.pools.keys()], ['web', 'spare'], 'both stay known to workers');
  assert.equal(poolsOf(again(intent, {}, failed)), [['web', 1]]);
  const row = serviceRows(viewOf(intent, failed))[0];
  assert.equal([row?.state, row?.servedBy], ['DEGRADED', 'spare, spare']);
});

test('next hops decide who stands in for packets, and not for the proxy', () => {
  const tables = run(
    {
      pools: {
        web: { members: members({}), 'when-down': { pool: 'spare' } },
        spare: { members: [{ address: '10.0.1.9', port: 80 }] },
      },
      services: {
        shop: { listen, pool: 'web' },
        packets: { listen: { ...listen, port: 81, protocol: 'tcp' }, pool: 'web' },
      },
    },
    { nextHop: (address) => (address === '10.0.1.9' ? hop : unresolved) },
  );
  assert.equal(poolsOf(tables), [['web', 1]]);
  assert.is(tables.l4.services.get('packets')?.pool, 'spare');
});

test('weights are those of the document, with slow start, agents and expressions', () => {
  const list = members({ weight: 3 }, { weight: 1 });
  const weights = (pool: Partial<PoolDocument>, change: Partial<CompileInput> = {}): number[] => {
    const tables = run({ pools: { web: { members: list, ...pool } } }, change);
    return poolOf(tables).members.map(({ weight }) => weight);
  };
  const computed = { influences: influences({ weight: (id) => (id.includes('1.1:') ? 700 : 90) }) };
  assert.equal(weights({ algorithm: 'weighted-round-robin' }), [3, 1]);
  assert.equal(weights({ algorithm: 'round-robin' }), [1, 1]);
  for (const algorithm of ['least-response-time', 'least-bandwidth'] as const) {
    assert.equal(weights({ algorithm }, computed), [300, 100], `${algorithm}: workers decide`);
  }
  const custom = { expression: 'weight' };
  assert.equal(weights({ algorithm: 'custom', custom }, computed), [700, 90]);
  const nothing = { influences: influences({ weight: () => 0 }) };
  assert.equal(weights({ algorithm: 'custom', custom }, nothing), [300, 100], 'not nobody');
  const ramp = { influences: influences({ ramp: () => 0.1 }) };
  assert.equal(weights({ algorithm: 'maglev', 'slow-start': '30s' }, ramp), [30, 10]);
  const agent: MemberHealth = { state: 'up', reason: '', agent: { weightPercent: 50 } };
  const said = { health: new Map([['web/10.0.1.1:80', agent]]) };
  assert.equal(
    weights({ algorithm: 'maglev', monitor: { type: 'agent', port: 1 } }, said),
    [150, 100],
  );
});

test('who weighs 0 by an expression takes no new requests', () => {
  const web: PoolDocument = {
    ...{ algorithm: 'custom', custom: { expression: 'weight' }, members: members({}, {}) },
  };
  const change = { influences: influences({ weight: (id) => (id.includes('1.1:') ? 0 : 90) }) };
  assert.equal(takers(poolOf(run({ pools: { web } }, change))), ['2']);
});

test('the lower of the limits of document and agent holds', () => {
  const web: PoolDocument = {
    ...{ monitor: { type: 'agent', port: 1 }, members: members({ 'max-connections': 50 }, {}) },
  };
  const agent: MemberHealth = { state: 'up', reason: '', agent: { maxConnections: 30 } };
  const said = new Map(['1', '2'].map((last) => [`web/10.0.1.${last}:80`, agent]));
  const intent = intentOf({ pools: { web } });
  const before = again(intent);
  const limits = (tables: Tables): number[] =>
    poolOf(tables).members.map(({ maxConnections }) => maxConnections);
  assert.equal(limits(before), [50, 0]);
  assert.equal(limits(again(intent, { health: said }, before)), [30, 30]);
});

test('what did not change keeps its identity', () => {
  const parts: Parts = {
    pools: {
      web: { members: members({}, {}), monitor },
      api: { members: members({}, {}), monitor },
    },
    services: {
      shop: { listen, pool: 'web', persistence: { type: 'cookie' }, compression: {} },
      back: { listen: { ...listen, port: 81 }, routes: [{ pool: 'api' }] },
      packets: { listen: { ...listen, port: 82, protocol: 'tcp' }, pool: 'api' },
    },
  };
  const intent = intentOf(parts);
  const before = again(intent);
  assert.is(again(intent, {}, before).l7, before.l7, 'nothing changed');
  assert.is(again(intentOf(parts), {}, before).l7, before.l7, 'an equal document');

  const failed = again(intent, { health: health('api/10.0.1.2:80') }, before);
  assert.is.not(failed.l7, before.l7);
  assert.is(failed.l7.unit, before.l7.unit);
  assert.is(shopOf(failed), shopOf(before));
  assert.is(shopOf(failed, 'back'), shopOf(before, 'back'), 'its pool serves all the same');
  assert.is(poolOf(failed), poolOf(before));
  assert.is.not(poolOf(failed, 'api'), poolOf(before, 'api'));
  const [first, second] = poolOf(failed, 'api').members;
  assert.is(first, poolOf(before, 'api').members[0]);
  assert.is.not(second, poolOf(before, 'api').members[1]);

  const moved = again(intentOf({ ...parts, unit: { workers: 3 } }), {}, before);
  assert.is.not(moved.l7.unit, before.l7.unit);
  assert.is(shopOf(moved), shopOf(before));
});

test('the previous result never changes the outcome', () => {
  const web: PoolDocument = { members: members({}, {}), monitor };
  const packets = { listen: { ...listen, protocol: 'tcp' as const }, pool: 'web' };
  const kinds: Parts[] = [
    { pools: { web } },
    { pools: { web }, services: { shop: packets } },
    {
      pools: { web },
      services: {
        shop: { listen, pool: 'web' },
        two: { ...packets, listen: { ...packets.listen, port: 81 } },
      },
    },
  ];
  const views = [new Map(), health('web/10.0.1.1:80')];
  for (const first of kinds) {
    for (const second of kinds) {
      for (const view of views) {
        const previous = run(first, { nextHop: () => hop });
        const fresh = run(second, { health: view });
        const seen = run(second, { health: view }, previous);
        assert.equal(seen.l7, fresh.l7);
        assert.equal(seen.pools, fresh.pools);
        assert.equal(seen.standings, fresh.standings);
      }
    }
  }
});

test('a plain cookie needs no key, and a protected one is never made without', () => {
  const service = (protection: 'plain' | 'signed'): Parts => ({
    services: { shop: { listen, pool: 'web', persistence: { type: 'cookie', protection } } },
  });
  const intent = intentOf(service('plain'));
  const bare = { intent, health: new Map(), nextHop: () => unresolved };
  const { persistence } = shopOf(compile(bare));
  assert.is(persistence?.kind === 'cookie' ? persistence.key : null, '');
  assert.throws(() => compile({ ...bare, intent: intentOf(service('signed')) }), /need a key/);
});

/** Traffic that differs by whose it is. */
function playedWatch(trouble: string): {
  readonly traffic: (of: string) => ProxyTraffic;
  readonly watch: NonNullable<ViewInput['proxy']>;
} {
  const nobody = new ProxyWatch(NO_PROXY).service('');
  const traffic = (of: string): ProxyTraffic => ({ ...nobody, queued: of.length });
  return {
    traffic,
    watch: {
      trouble: (name) => (trouble.startsWith(`${name}:`) ? trouble : null),
      service: traffic,
      pool: (name, ids) => traffic(`${name}: ${ids.join()}`),
      member: traffic,
    },
  };
}

function viewOf(intent: Intent, tables: Tables): Parameters<typeof serviceRows>[0] {
  return {
    ...{ intent, tables, deltas: null, memberSince: new Map(), nextHop: () => unresolved },
    health: () => undefined,
    counters: {
      ...{ time: 0, since: 0, drops: {}, services: {}, members: {} },
      totals: { passed: 0, echoReplies: 0, eventsLost: 0, errorsSent: 0 },
    },
  };
}

test('people see proxied services, whose members need no next hop', () => {
  const intent = intentOf({
    pools: { web: { members: members({}), monitor }, api: { members: members({}), monitor } },
    services: {
      shop: { listen, routes: [{ when: { path: '/api/**' }, pool: 'api' }, { pool: 'web' }] },
      moved: { listen: { ...listen, port: 81 }, routes: [{ redirect: { to: 'https://{host}/' } }] },
    },
  });
  const tables = again(intent, { health: health('api/10.0.1.1:80') });
  const view = viewOf(intent, tables);
  assert.equal(
    serviceRows(view).map((row) => [row.name, row.state, row.tier, row.forwarding, row.pool]),
    [
      ['shop', 'DEGRADED', 'proxy', null, 'api, web'],
      ['moved', 'UP', 'proxy', null, ''],
    ],
  );
  assert.equal(
    poolRows(view).map(({ name, services }) => [name, services]),
    [
      ['web', ['shop']],
      ['api', ['shop']],
    ],
  );
  const detail = poolDetail(view, 'api');
  assert.is(detail?.now, 'Fail-closed: no member can serve, so requests are refused.');
  const web = memberRows(view).find(({ pool }) => pool === 'web');
  assert.equal([web?.state, web?.nextHop, web?.nextHopProblem], ['UP', null, null]);
  const found = alarms({
    ...{ tables, outcomes: [], netProblems: [], pending: null, failure: null },
    ...{ memberSince: new Map(), weightProblems: new Map() },
  });
  assert.equal(
    found.map(({ code, message }) => [code, message]),
    [
      [
        'pool-down',
        'Pool api has no member that can serve: requests for its services are refused.',
      ],
      ['member-down', 'Member 10.0.1.1:80 of pool api is down: connection refused.'],
    ],
  );
});

test('people see what the workers counted, and what keeps them from serving', () => {
  const intent = intentOf({
    pools: { web: { members: members({}) }, spare: { members: members({}) } },
    services: {
      shop: { listen, pool: 'web' },
      fast: { listen: { ...listen, port: 81, protocol: 'tcp' }, pool: 'spare' },
    },
  });
  const tables = again(intent, { health: health() });
  const { traffic, watch } = playedWatch('shop: the port is taken');
  const view = { ...viewOf(intent, tables), proxy: watch };
  assert.equal(
    serviceRows(view).map(({ name, state, tierReason, proxy }) => [name, state, tierReason, proxy]),
    [
      ['shop', 'DOWN', 'shop: the port is taken', traffic('shop')],
      ['fast', 'DOWN', tables.placements[1]?.reason, null],
    ],
  );
  const ofPools = poolRows(view).map(({ proxy }) => proxy);
  assert.equal(ofPools, [traffic('web: web/10.0.1.1:80'), null]);
  const ofMembers = memberRows(view).map(({ proxy }) => proxy);
  assert.equal(ofMembers, [traffic('web/10.0.1.1:80'), null]);
});

test.run();
