/** What is seen of the proxy: rates, shares, workers, alarms, routes in short, restarts. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { alarms } from '../../../appliance/control/alarms.js';
import { NO_PROXY, ProxyWatch, type ProxyTier } from '../../../appliance/control/proxy-watch.js';
import { conditionText, routeRows, targetText } from '../../../appliance/control/route-view.js';
import { WorkerRestarts } from '../../../appliance/control/worker-restarts.js';
import {
  counter,
  durationBuckets,
  rowDoubles,
} from '../../../appliance/l7/telemetry/counter-layout.js';
import { bucketOf } from '../../../appliance/l7/telemetry/histogram.js';
import { EventLog } from '../../../appliance/telemetry/event-log.js';
import { routeTo, serviceAt } from '../../support/l7-tables.js';

const test = suite('proxy watch');

type Figures = Readonly<Record<string, Partial<Record<keyof typeof counter, number>>>>;

/** A tier that a test tells what it counts. */
class PlayedTier implements ProxyTier {
  time = 1_000_000;
  figures: Figures = {};
  /** Of requests, in microseconds. */
  micros = 1000;
  workers: ProxyTier['workers'] = [];
  health: ProxyTier['health'] = NO_PROXY.health;
  problems: ProxyTier['problems'] = [];
  restart: ProxyTier['restart'] = () => Promise.resolve(2);

  counters(): ReturnType<ProxyTier['counters']> {
    const rows = new Map(
      Object.entries(this.figures).map(([name, counts]) => {
        const row = new Float64Array(rowDoubles);
        for (const [key, value] of Object.entries(counts)) {
          row[counter[key as keyof typeof counter]] = value;
        }
        row[durationBuckets + bucketOf(this.micros)] = counts.requests ?? 0;
        return [name, row] as const;
      }),
    );
    return { time: this.time, rows };
  }

  loadOf(id: string): ReturnType<ProxyTier['loadOf']> {
    return id === 'web/a' ? { underWay: 3, responseUs: 700 } : null;
  }

  waitingFor(pool: string): number {
    return pool === 'web' ? 5 : 0;
  }
}

function watched(): { tier: PlayedTier; watch: ProxyWatch; second: (figures?: Figures) => void } {
  const tier = new PlayedTier();
  const watch = new ProxyWatch(tier, () => tier.time);
  return {
    ...{ tier, watch },
    second: (figures) => {
      if (figures !== undefined) tier.figures = figures;
      tier.time += 1000;
      watch.step();
    },
  };
}

test('rates are of the last second, totals of all time', () => {
  const { watch, second } = watched();
  second({ 'service/shop': { requests: 100, opened: 10, active: 4 } });
  assert.is(watch.service('shop').rates.requestsPerSecond, 0, 'nothing to compare with yet');
  second({ 'service/shop': { requests: 160, opened: 12, active: 5, status5xx: 3 } });
  const { rates, totals, active, underWay, queued } = watch.service('shop');
  assert.equal(
    [rates.requestsPerSecond, rates.connectionsPerSecond, rates.errorsPerSecond],
    [60, 2, 3],
  );
  assert.equal([totals.requests, active, underWay, queued], [160, 5, null, null]);
  second();
  assert.is(watch.service('shop').rates.requestsPerSecond, 0);
  assert.is(watch.service('nil').totals.requests, 0, 'a service that nobody counts');
});

test('what earlier workers counted is there with the first tables, before the next sample', () => {
  const { tier, watch, second } = watched();
  second();
  tier.figures = { 'service/shop': { requests: 900, opened: 10 } };
  const { totals, rates } = watch.service('shop');
  assert.is(totals.requests, 900);
  assert.is(rates.requestsPerSecond, 0, 'nothing to compare with yet');
  second({ 'service/shop': { requests: 960, opened: 10 } });
  assert.is(watch.second('shop').requests, 0, 'what came before is no burst of the first second');
});

test('durations and shares outlive a quiet second, and end after at most twenty', () => {
  const { watch, second } = watched();
  const at = (one: number, two: number): Figures => ({
    'service/shop': { requests: one + two },
    'route/shop/one': { requests: one },
    'route/shop/two': { requests: two },
  });
  second(at(0, 0));
  second(at(90, 10));
  for (let i = 0; i < 5; i += 1) second();
  assert.equal(watch.shares('shop', ['one', 'two']), [0.9, 0.1]);
  const p99 = watch.service('shop').latency?.p99 ?? 0;
  assert.ok(p99 > 0.9 && p99 < 1.1, `about 1 ms expected, ${p99} seen`);
  for (let i = 0; i < 25; i += 1) second();
  assert.equal(watch.shares('shop', ['one', 'two']), [null, null]);
  assert.is(watch.service('shop').latency, null);
});

test('what members work on comes from all workers, and a pool is its members', () => {
  const { watch, second } = watched();
  second({ 'member/web/a': { bytesIn: 0 }, 'member/web/b': { requests: 1 } });
  second({ 'member/web/a': { bytesIn: 1000, bytesOut: 500 }, 'member/web/b': { requests: 4 } });
  assert.equal([watch.member('web/a').underWay, watch.member('web/b').underWay], [3, 0]);
  const pool = watch.pool('web', ['web/a', 'web/b']);
  assert.equal([pool.underWay, pool.queued, pool.rates.requestsPerSecond], [3, 5, 3]);
  assert.equal(watch.seen('web/a'), { underWay: 3, responseUs: 700, bytesPerSecond: 1500 });
  assert.is(watch.seen('web/b'), null);
});

test("a worker's rate is its own: a new process of its number begins at 0", () => {
  const { tier, watch, second } = watched();
  const worker = { worker: 1, pid: 10, cpu: null, state: 'serving', clients: 2 } as const;
  tier.workers = [{ ...worker, since: 0, restarts: 0, requests: 50 }];
  second();
  tier.workers = [{ ...worker, since: 0, restarts: 0, requests: 80 }];
  second();
  assert.equal(watch.workers(), [{ ...worker, requestsPerSecond: 30, since: 0, restarts: 0 }]);
  tier.workers = [{ ...worker, pid: 11, since: 5, restarts: 1, requests: 90 }];
  second();
  assert.is(watch.workers()[0]?.requestsPerSecond, 0);
});

function alarmsOf(watch: ProxyWatch): (readonly [string, string, string])[] {
  const found = alarms({
    ...{ tables: undefined, outcomes: [], netProblems: [], pending: null, failure: null },
    ...{ memberSince: new Map(), weightProblems: new Map() },
    proxy: { ...watch.health, dropping: watch.droppingLogs },
  });
  return found.map(({ code, severity, message }) => [code, severity, message] as const);
}

test('sockets, io_uring and workers that die are alarms while they are so', () => {
  const { tier, watch } = watched();
  assert.equal(alarmsOf(watch), []);
  const message = 'service shop cannot listen at 10.0.0.80:80: the unit does not have the address';
  tier.health = {
    ...{ unable: 'The kernel forbids it. Boot another.', failing: 1, places: 2, logs: [] },
    notListening: [{ service: 'shop', message }],
  };
  const [unable, listen, failing] = alarmsOf(watch);
  assert.equal(unable, [
    ...['proxy-unavailable', 'error'],
    'No service of the proxy is served. The kernel forbids it. Boot another.',
  ]);
  assert.equal(listen, ['not-listening', 'error', `S${message.slice(1)}.`]);
  assert.equal(failing?.slice(0, 2), ['worker-failing', 'warning']);
  assert.match(failing?.[2] ?? '', /^1 of 2 workers of the proxy end soon after each start/);
  tier.health = { ...tier.health, failing: 2 };
  assert.is(alarmsOf(watch)[2]?.[1], 'error');
  assert.is(watch.trouble('shop'), 'no worker of the proxy serves: all end soon after each start');
  tier.problems = [{ service: 'shop', message }];
  assert.equal([watch.trouble('shop'), watch.trouble('other') === message], [message, false]);
});

test('an access log that dropped lines is an alarm for two minutes after the last', () => {
  const { tier, watch, second } = watched();
  const log = (dropped: number): void => {
    tier.health = { ...tier.health, logs: [{ to: '/var/log/a', lines: 9, dropped }] };
  };
  log(0);
  second();
  assert.equal(alarmsOf(watch), []);
  log(7);
  second();
  assert.match(alarmsOf(watch)[0]?.[2] ?? '', /access log \/var\/log\/a were dropped, 7 so far/);
  for (let i = 0; i < 119; i += 1) second();
  assert.is(alarmsOf(watch).length, 1);
  for (let i = 0; i < 3; i += 1) second();
  assert.equal(alarmsOf(watch), []);
});

test('routes in short: conditions, where they lead, and their order', () => {
  const when = {
    hosts: ['shop.example', '*.shop.example'],
    paths: [
      { kind: 'pattern', value: '/api/**' },
      { kind: 'regex', value: '\\.php$' },
    ],
    methods: ['GET', 'HEAD'],
    headers: [{ name: 'x-beta', kind: 'exact', value: '1' }],
    query: [{ name: 'page', kind: 'prefix', value: 'a' }],
    cookies: [
      { name: 'id', kind: 'present' },
      { name: 'old', kind: 'absent' },
      { name: 'lang', kind: 'regex', value: '^de' },
    ],
    sources: ['10.0.0.0/8'],
  } as const;
  assert.is(
    conditionText(when),
    'host shop.example|*.shop.example, path /api/**|~\\.php$, method GET|HEAD, header x-beta=1, ' +
      'query page=a*, cookie id, no cookie old, cookie lang~^de, from 10.0.0.0/8',
  );
  assert.is(conditionText(null), '');
  const pools = [
    { pool: 'web', weight: 95 },
    { pool: 'next', weight: 5 },
  ];
  const mirror = { pool: 'copy', percent: 10 };
  const action = { kind: 'pools', pools, rewrite: '/v2/**', host: null, mirror } as const;
  assert.is(targetText(action), 'web 95, next 5; as /v2/**; copy 10% copy');
  assert.is(
    targetText({ kind: 'redirect', to: 'https://a.example/', status: 301 }),
    '301 https://a.example/',
  );
  const { watch } = watched();
  const service = serviceAt(80, { routes: [routeTo('api'), routeTo('web')] });
  assert.equal(
    routeRows(service, watch).map(({ route, order, action, target, share }) => [
      ...[route, order, action, target, share],
    ]),
    [
      ['api', 1, 'pool', 'api', null],
      ['web', 2, 'pool', 'web', null],
    ],
  );
});

test('a restart is told with its author, one at a time', async () => {
  const tier = new PlayedTier();
  const events = new EventLog({ onListenerError: () => {} });
  let now = 0;
  const restarts = new WorkerRestarts({ tier, events, rows: () => [], now: () => (now += 250) });
  const codeOf = async (): Promise<string> => {
    try {
      await restarts.restart('anna');
    } catch (error) {
      return error instanceof PortError ? error.code : String(error);
    }
    return '';
  };
  assert.is(await codeOf(), 'conflict', 'there are no workers');
  tier.workers = [
    { worker: 0, pid: 1, cpu: 0, state: 'serving', clients: 0, since: 0, restarts: 0, requests: 0 },
  ];
  let done: (replaced: number) => void = () => {};
  tier.restart = () => new Promise((resolve) => (done = resolve));
  const first = restarts.restart('anna');
  assert.is(await codeOf(), 'conflict', 'one is under way');
  done(2);
  assert.equal(await first, { replaced: 2, durationMs: 250, workers: [] });
  tier.restart = () => Promise.reject(new Error('a new worker ended before it served'));
  assert.is(await codeOf(), 'unavailable');
  tier.health = { ...tier.health, unable: 'the kernel forbids io_uring' };
  assert.is(await codeOf(), 'unavailable');
  assert.equal(
    events
      .latest(9, ['worker'])
      .map(({ severity, message, subject }) => [...[severity, message, subject.author]]),
    [
      ['info', 'anna replaced 2 workers within 250 ms', 'anna'],
      [
        ...['error', 'anna could not replace all workers: a new worker ended before it served'],
        'anna',
      ],
    ],
  );
});

test.run();
