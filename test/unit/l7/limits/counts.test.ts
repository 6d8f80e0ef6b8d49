/** Connections at one time against a simulation, with workers that die at any moment. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ConnectionLimits,
  ConnectionRule,
  type LimitedConnections,
} from '../../../../appliance/l7/limits/connection-limits.js';
import { REFUSED, SharedCounts, UNTRACKED } from '../../../../appliance/l7/limits/counts.js';
import { clientAt } from '../../../support/l7-client.js';
import { generator } from '../../../support/random.js';

const test = suite('connection limits');

function tables(workers: number, sets = 16): { all: SharedCounts[]; words: Int32Array } {
  const sizes = { sets, workers };
  const buffer = new ArrayBuffer(SharedCounts.bytes(sizes));
  const all = Array.from(
    { length: workers },
    (_, worker) => new SharedCounts(buffer, 0, sizes, worker),
  );
  return { all, words: new Int32Array(buffer) };
}

for (const seed of [1, 2, 3]) {
  test(`random comings, goings and deaths (seed ${seed})`, () => {
    const random = generator(seed * 104_729);
    const workers = 5;
    const { all } = tables(workers);
    const held: { key: number; worker: number; place: number }[] = [];
    const of = (key: number): number => held.filter((one) => one.key === key).length;
    for (let step = 0; step < 20_000; step += 1) {
      const worker = random(workers);
      const table = all[worker] as SharedCounts;
      const what = random(500);
      if (what === 0) {
        (all[(worker + 1) % workers] as SharedCounts).releaseWorker(worker);
        for (let i = held.length - 1; i >= 0; i -= 1) {
          if (held[i]?.worker === worker) held.splice(i, 1);
        }
      } else if (what < 260) {
        const key = random(40);
        const place = table.enter(key, key * 3, 4);
        assert.is(place === REFUSED, of(key) >= 4, `step ${step}`);
        assert.is.not(place, UNTRACKED);
        if (place >= 0) held.push({ key, worker, place });
      } else {
        const mine = held.findIndex((one) => one.worker === worker);
        const [one] = mine < 0 ? [] : held.splice(mine, 1);
        if (one !== undefined) table.leave(one.place);
      }
      if (step % 100 === 0) {
        for (let key = 0; key < 40; key += 1) assert.is(table.of(key, key * 3), of(key));
      }
    }
  });
}

test('a full table lets in what it cannot count, and keeps those that it counts', () => {
  const { all } = tables(2, 1);
  const [one, two] = all as [SharedCounts, SharedCounts];
  const places = Array.from({ length: 7 }, (_, key) => one.enter(key, key, 1));
  assert.is(two.enter(7, 7, 1), UNTRACKED);
  assert.is(two.untracked, 1);
  assert.is(two.enter(0, 0, 1), REFUSED);
  one.leave(places[3] ?? UNTRACKED);
  assert.ok(two.enter(7, 7, 1) >= 0, 'in the place of the one that left');
  assert.is(two.enter(7, 7, 1), REFUSED);
});

test('the lock of a dead worker lets others in, and is freed with it', () => {
  const { all, words } = tables(2, 1);
  const [, two] = all as [SharedCounts, SharedCounts];
  words[0] = 1;
  assert.is(two.enter(1, 1, 1), UNTRACKED);
  two.releaseWorker(0);
  assert.ok(two.enter(1, 1, 1) >= 0);
});

const service: LimitedConnections = {
  name: 'shop',
  connections: 3,
  connectionsPerClient: 2,
  clientPrefix: 32,
  clientPrefix6: 64,
};

function limits(workers: number): ConnectionLimits[] {
  const services = tables(workers).all;
  const clients = tables(workers).all;
  return services.map(
    (one, worker) => new ConnectionLimits(one, clients[worker] as SharedCounts, 64),
  );
}

test('of a service and of each client, over the workers', () => {
  const [one, two] = limits(2) as [ConnectionLimits, ConnectionLimits];
  const rule = new ConnectionRule(service, 1, 2);
  const a = clientAt('192.0.2.1');
  const b = clientAt('192.0.2.2');
  assert.is(one.enter(0, rule, a), true);
  assert.is(two.enter(0, rule, a), true);
  assert.is(one.enter(1, rule, a), false, 'a client has two at most');
  assert.is(one.enter(1, rule, b), true);
  assert.is(two.enter(1, rule, b), false, 'and the service three');
  one.leave(0);
  // What was refused took nothing: b has one, the service two.
  assert.is(two.enter(1, rule, b), true);
  assert.is(two.enter(2, rule, a), false);
  for (const slot of [0, 1]) {
    one.leave(slot);
    two.leave(slot);
  }
  assert.is(one.enter(0, rule, a), true);
  assert.is(one.enter(1, rule, a), true);
});

test('clients of one prefix are one', () => {
  const [one] = limits(1) as [ConnectionLimits];
  const rule = new ConnectionRule({ ...service, connections: 0 }, 1, 2);
  assert.is(one.enter(0, rule, clientAt('2001:db8::1')), true);
  assert.is(one.enter(1, rule, clientAt('2001:db8::2')), true);
  assert.is(one.enter(2, rule, clientAt('2001:db8::3')), false);
  assert.is(one.enter(2, rule, clientAt('2001:db8:0:1::3')), true);
});

test('without limits nothing is counted', () => {
  const [one] = limits(1) as [ConnectionLimits];
  const rule = new ConnectionRule({ ...service, connections: 0, connectionsPerClient: 0 }, 1, 2);
  for (let slot = 0; slot < 64; slot += 1) assert.is(one.enter(slot, rule, clientAt('::1')), true);
});

test.run();
