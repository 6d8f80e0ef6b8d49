import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { parseFilter, type Subject } from '../../../appliance/api/live-filter.js';
import type { LiveOrder, LiveRequest, LiveView } from '../../../appliance/api/live-contract.js';
import { HeavyHitters } from '../../../appliance/telemetry/live/heavy-hitters.js';
import { requestOf } from '../../../appliance/telemetry/live/request-line.js';
import { Watcher, type LiveNews, type NewFlow } from '../../../appliance/telemetry/live/watcher.js';
import { generator } from '../../support/random.js';

const sketch = suite('live: heavy hitters');

sketch('what it says of a key is its weight, and what it took over at most', () => {
  const below = generator(7);
  const random = (): number => below(1_000_000) / 1_000_000;
  const room = 50;
  const hitters = new HeavyHitters<null>(room);
  const exact = new Map<string, number>();
  let all = 0;
  for (let count = 0; count < 20_000; count += 1) {
    // Some keys come much more often than others.
    const key = `k${Math.floor(500 * random() ** 4)}`;
    const weight = 1 + Math.floor(random() * 3);
    hitters.add(key, weight, () => null);
    exact.set(key, (exact.get(key) ?? 0) + weight);
    all += weight;
  }
  assert.equal(hitters.size, room);
  const top = hitters.top(room);
  for (const { key, weight, surplus } of top) {
    const truth = exact.get(key) ?? 0;
    assert.ok(
      truth <= weight && weight - surplus <= truth,
      `${key}: ${truth}, ${weight} - ${surplus}`,
    );
    assert.ok(surplus <= all / room);
  }
  const there = new Set(top.map(({ key }) => key));
  const heavy = [...exact].filter(([, weight]) => weight > all / room);
  assert.ok(heavy.length >= 3);
  for (const [key] of heavy) assert.ok(there.has(key), `${key} is heavy and not there`);
  const [first] = [...exact].sort((a, b) => b[1] - a[1]);
  assert.equal(top[0]?.key, first?.[0]);
});

sketch('is exact while there is room, and fades', () => {
  const hitters = new HeavyHitters<{ n: number }>(3);
  for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) hitters.add(key, 1, () => ({ n: 0 })).n += 1;
  const told = hitters
    .top(2)
    .map(({ key, weight, surplus, value }) => [key, weight, surplus, value.n]);
  assert.deepEqual(told, [
    ['a', 3, 0, 3],
    ['b', 2, 0, 2],
  ]);
  hitters.fade(0.5, (value) => (value.n = 0));
  hitters.add('c', 2, () => ({ n: 0 }));
  assert.deepEqual(
    hitters.top(3).map(({ key, weight }) => [key, weight]),
    [
      ['c', 2.5],
      ['a', 1.5],
      ['b', 1],
    ],
  );
});

sketch.run();

const filter = suite('live: filter');

const request: Subject = {
  ...{ service: 'shop', client: '192.0.2.7', member: '10.0.1.11:8080', method: 'GET' },
  ...{ host: 'Shop.example', path: '/api/buy?x=1', status: 503, userAgent: 'curl/8' },
};
const flow: Subject = { service: 'mail', client: '2001:db8::7', member: '10.0.1.12:25' };

for (const [text, ofRequest, ofFlow] of [
  ['', true, true],
  ['service:SHOP', true, false],
  ['service:sho', false, false],
  ['client:192.0.2.0/24', true, false],
  ['client:192.0.2.8', false, false],
  ['client:2001:db8::/32', false, true],
  ['client:::/0', false, true],
  ['status:5xx', true, false],
  ['status:503', true, false],
  ['status:2xx', false, false],
  ['!status:2xx', true, true],
  ['path:/API', true, false],
  ['method:get', true, false],
  ['member::25', false, true],
  ['shop.EXAMPLE curl', true, false],
  ['2001:db8::7', false, true],
  ['buy !client:192.0.2.0/25', false, false],
  ['  service:shop   path:buy ', true, false],
] as const) {
  filter(`"${text}"`, () => {
    const parsed = parseFilter(text);
    assert.ok(parsed.ok);
    assert.deepEqual([parsed.filter(request), parsed.filter(flow)], [ofRequest, ofFlow]);
  });
}

for (const [text, why] of [
  ['client:nowhere', /"nowhere" is no address and no prefix/],
  ['client:192.0.2.0/33', /no prefix/],
  ['status:9xx', /"9xx" is no status/],
  ['colour:red', /"colour" is not known here: give words/],
  ['service:', /"service:" needs a value/],
  ['!', /a word is missing/],
  ['x'.repeat(501), /at most 500 letters/],
] as const) {
  filter(`"${text.slice(0, 20)}" is refused, and it is said why`, () => {
    const parsed = parseFilter(text);
    assert.match(parsed.ok ? '' : parsed.message, why);
  });
}

filter.run();

const watcher = suite('live: what a viewer sees');

const everything = (): boolean => true;

function looking(view: LiveView, order: LiveOrder = 'hits', text = ''): Watcher {
  const parsed = parseFilter(text);
  return new Watcher({ view, order, filter: parsed.ok ? parsed.filter : everything }, 0);
}

function seen(of: Partial<LiveRequest>): LiveRequest {
  return {
    ...{ time: 1, service: 'shop', route: '1', client: '192.0.2.1', method: 'GET', target: '/' },
    ...{ host: 'shop.example', status: 200, bytesIn: 0, bytesOut: 100, totalMs: 2 },
    ...{ member: '10.0.1.11:8080', userAgent: null, ended: 'complete' },
    ...of,
  };
}

const newFlow: NewFlow = {
  ...{ time: 5, protocol: 'tcp', client: '192.0.2.9:4000', address: '192.0.2.9' },
  ...{ service: 'mail', pool: 'web', member: '10.0.1.11:8080', forwarding: 'nat' },
};

function told(of: Watcher, now = 1000): LiveNews {
  return of.message(now, 99, () => ({ state: 'open', idleMs: 3 }));
}

watcher('a steady rate is told as it is, from the first second to the last', () => {
  const one = looking('clients');
  for (let tenth = 0; tenth < 600; tenth += 1) {
    for (let n = 0; n < 5; n += 1) one.request(seen({}), 1);
    if ((tenth + 1) % 10 !== 0) continue;
    const message = told(one, (tenth + 1) * 100);
    assert.ok(message.type === 'clients');
    const rate = message.rows[0]?.requestsPerSecond ?? 0;
    assert.ok(rate > 45 && rate < 56, `${rate} after ${tenth + 1} tenths of a second`);
  }
});

watcher('clients: requests, connections and flows together, weighed, the most first', () => {
  const one = looking('clients');
  one.request(seen({ client: '192.0.2.1' }), 3);
  one.request(seen({ client: '192.0.2.2', method: null, status: 0 }), 1);
  one.flow(newFlow, 7);
  one.request(seen({ client: '192.0.2.2', status: 502 }), 1);
  const message = told(one);
  assert.ok(message.type === 'clients');
  assert.deepEqual(
    message.rows.map(({ client }) => client),
    ['192.0.2.9', '192.0.2.1', '192.0.2.2'],
  );
  const [flows, , last] = message.rows;
  assert.equal(flows?.service, 'mail');
  assert.strictEqual(flows?.bitsPerSecond, null, 'the fast path counts no content by client');
  assert.notEqual(last?.bitsPerSecond, null);
  assert.ok((flows?.connectionsPerSecond ?? 0) > 6.5 && flows?.requestsPerSecond === 0);
  assert.ok((last?.connectionsPerSecond ?? 0) > 0 && (last?.errorsPerSecond ?? 0) > 0.9);
});

watcher('URLs: without query, apart by service and host; by errors only those that failed', () => {
  const one = looking('urls');
  const failed = looking('urls', 'errors');
  for (const of of [
    seen({ target: '/a?x=1' }),
    seen({ target: '/a?x=2' }),
    seen({ target: '/b', status: 500, totalMs: 8 }),
    seen({ target: '/a', host: 'other.example' }),
    seen({ method: null, target: null }),
  ]) {
    one.request(of, 1);
    failed.request(of, 1);
  }
  const all = told(one);
  const errors = told(failed);
  assert.ok(all.type === 'urls' && errors.type === 'urls');
  assert.deepEqual(all.rows[0]?.path, '/a');
  assert.equal(all.rows.length, 3);
  assert.deepEqual(
    errors.rows.map(({ path, status, meanMs }) => [path, status, Math.round(meanMs ?? 0)]),
    [['/b', 500, 8]],
  );
});

watcher('flows: the newest first, with what the table says', () => {
  const one = looking('flows', 'hits', 'service:mail');
  for (let time = 0; time < 300; time += 1) one.flow({ ...newFlow, time }, 1);
  one.flow({ ...newFlow, time: 999, service: 'other' }, 1);
  const message = told(one);
  assert.ok(message.type === 'flows');
  assert.equal(message.rows.length, 100);
  assert.deepEqual(
    [message.rows[0]?.time, message.rows[0]?.state, message.rows[0]?.idleMs],
    [299, 'open', 3],
  );
});

watcher('log: what passes the filter, once, so many a second, and how many more there were', () => {
  const one = looking('log', 'hits', 'status:5xx');
  one.request(seen({ status: 200 }), 1);
  for (let n = 0; n < 250; n += 1) one.request(seen({ status: 500, target: `/${n}` }), 2);
  const message = told(one);
  assert.ok(message.type === 'log');
  assert.deepEqual([message.rows.length, message.rows[0]?.target], [200, '/0']);
  assert.equal(message.skipped, 200 + 50 * 2);
  const next = told(one);
  assert.ok(next.type === 'log' && next.rows.length === 0 && next.skipped === 0);
});

watcher('what nobody did for half a minute is not told any more', () => {
  const one = looking('urls');
  one.request(seen({}), 1);
  assert.equal(told(one).rows.length, 1);
  assert.equal(told(one, 40_000).rows.length, 0);
});

watcher('a line of a worker is read, and what is none is not', () => {
  const line = JSON.stringify({
    ...{ time: '2026-03-01T12:00:00.000Z', service: 'shop', route: null, client: '192.0.2.1' },
    ...{ clientPort: 1, method: 'GET', target: '/\u001b', host: null, protocol: 'HTTP/1.1' },
    ...{ status: 200, bytesIn: null, bytesOut: 5, totalUs: 1500, member: null, userAgent: null },
    ...{ ended: 'complete', cut: false },
  });
  const read = requestOf(`12 ${line}\n`);
  assert.equal(read?.weight, 12);
  assert.equal(read?.request.time, Date.UTC(2026, 2, 1, 12));
  assert.deepEqual([read?.request.totalMs, read?.request.bytesIn], [1.5, 0]);
  for (const bad of ['', '{}', '0 {}', '1 {', `-1 ${line}`, '1 {"time":3}']) {
    assert.equal(requestOf(bad), null);
  }
});

watcher.run();
