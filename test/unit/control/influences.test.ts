/** What time and traffic do: draining deadlines from the store, slow start, computed weights. */
import { NO_COUNTERS } from '../../../appliance/telemetry/rates.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MemberCounterSet } from '../../../appliance/api/contract.js';
import { intentSchema, type Document, type Intent } from '../../../appliance/config/schema.js';
import { ConfigStore } from '../../../appliance/config/store.js';
import { compile } from '../../../appliance/control/compile.js';
import type { MemberHealth } from '../../../appliance/control/compile-pools.js';
import { Influences } from '../../../appliance/control/influences.js';
import { Reconciler } from '../../../appliance/control/reconciler.js';
import type { Tables } from '../../../appliance/control/tables.js';
import type { Sample } from '../../../appliance/control/weighing.js';
import type { NewEvent } from '../../../appliance/telemetry/event-log.js';
import { FakeFastPath, FakeMonitors, FakeNetwork, hop } from './stand-ins.js';

type PoolDocument = NonNullable<Document['pools']>[string];

interface World {
  /** Milliseconds since 1970; the store's clock too. */
  clock: number;
  /** Milliseconds of a clock that only goes forward. */
  now: number;
  readonly store: ConfigStore;
  readonly health: Map<string, MemberHealth>;
  readonly events: NewEvent[];
  readonly errors: unknown[];
}

const test = suite<{ world: World; folder: string }>('influences');

test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'weir-influences-'));
  const world = { clock: 1_700_000_000_000, now: 5000, health: new Map(), events: [], errors: [] };
  const store = ConfigStore.open(join(context.folder, 'weir.db'), {
    now: () => context.world.clock,
  });
  context.world = { ...world, store };
});

test.after.each(({ world, folder }) => {
  world.store.close();
  rmSync(folder, { recursive: true });
});

/** As a daemon that starts now would have it. */
function start(world: World): Influences {
  return new Influences({
    history: (page) => world.store.history(page),
    health: world.health,
    onEvent: (event) => world.events.push(event),
    onError: (error) => world.errors.push(error),
    clock: () => world.clock,
    now: () => world.now,
  });
}

function pass(world: World, milliseconds: number): void {
  world.clock += milliseconds;
  world.now += milliseconds;
}

function documentOf(web: PoolDocument): Document {
  return {
    version: 1,
    unit: { name: 'a' },
    pools: { web },
    services: {
      shop: { listen: { address: '10.0.0.80', port: 80, protocol: 'tcp' }, pool: 'web' },
    },
  };
}

function commit(world: World, web: PoolDocument): Intent {
  const document = documentOf(web);
  world.store.commit({ document, author: 'ada', comment: '' });
  return intentSchema.parse(document);
}

const members = (...states: ('enabled' | 'draining')[]): PoolDocument['members'] =>
  states.map((state, index) => ({ address: `10.0.1.${index + 1}`, port: 80, state }));

const ID = 'web/10.0.1.2:80';

test('a drain is over when its time has passed since the revision that set it', ({ world }) => {
  const web = { members: members('enabled', 'enabled'), 'drain-timeout': '5m' };
  commit(world, web);
  pass(world, 60_000);
  const intent = commit(world, { ...web, members: members('enabled', 'draining') });
  const influences = start(world);
  influences.prepare(intent);
  assert.not(influences.drained(ID));
  pass(world, 299_999);
  assert.not(step(influences, world, intent));
  assert.not(influences.drained(ID));
  pass(world, 1);
  assert.ok(step(influences, world, intent), 'the tables must be made anew');
  assert.ok(influences.drained(ID));
  assert.not(step(influences, world, intent), 'once');
});

test('the deadline holds across a restart, and is over at once when it passed meanwhile', ({
  world,
}) => {
  const intent = commit(world, {
    members: members('enabled', 'draining'),
    'drain-timeout': '5m',
  });
  pass(world, 200_000);
  const first = start(world);
  first.prepare(intent);
  assert.not(first.drained(ID));
  // The clock that only goes forward begins anew with the machine.
  world.now = 10;
  pass(world, 90_000);
  const second = start(world);
  second.prepare(intent);
  assert.not(second.drained(ID), '290 s of 300');
  pass(world, 10_000);
  step(second, world, intent);
  assert.ok(second.drained(ID));
  const third = start(world);
  third.prepare(intent);
  assert.ok(third.drained(ID), 'before anything is programmed');
});

test('other changes do not begin it anew, setting it draining again does', ({ world }) => {
  const web = { members: members('enabled', 'draining'), 'drain-timeout': '5m' };
  commit(world, web);
  pass(world, 200_000);
  let intent = commit(world, { ...web, description: 'a note' });
  for (let one = 0; one < 120; one++)
    intent = commit(world, { ...web, description: `note ${one}` });
  pass(world, 100_000);
  const long = start(world);
  long.prepare(intent);
  assert.ok(long.drained(ID), 'found behind more than one page of history');
  commit(world, { ...web, members: members('enabled', 'enabled') });
  intent = commit(world, web);
  const again = start(world);
  again.prepare(intent);
  assert.not(again.drained(ID));
});

test('history is read no further back than the timeout', ({ world }) => {
  const web = { members: members('enabled', 'draining'), 'drain-timeout': '1s' };
  commit(world, web);
  for (let one = 0; one < 200; one++) commit(world, { ...web, description: `note ${one}` });
  pass(world, 5000);
  const intent = commit(world, { ...web, description: 'last' });
  let pages = 0;
  const influences = new Influences({
    history: (page) => {
      pages++;
      return world.store.history(page);
    },
    health: world.health,
    onEvent: () => undefined,
    onError: (error) => world.errors.push(error),
    clock: () => world.clock,
    now: () => world.now,
  });
  influences.prepare(intent);
  assert.ok(influences.drained(ID));
  assert.is(pages, 1);
  influences.prepare(intent);
  assert.is(pages, 1, 'the same intent is not looked at again');
});

test('a clock that is set does not matter while the daemon runs', ({ world }) => {
  const intent = commit(world, {
    members: members('enabled', 'draining'),
    'drain-timeout': '5m',
  });
  const influences = start(world);
  influences.prepare(intent);
  world.clock += 86_400_000;
  step(influences, world, intent);
  assert.not(influences.drained(ID));
  world.clock -= 10 * 86_400_000;
  const restarted = start(world);
  restarted.prepare(intent);
  assert.not(restarted.drained(ID), 'a start in the future counts from now');
  world.now += 300_000;
  step(restarted, world, intent);
  assert.ok(restarted.drained(ID));
});

test('a history that cannot be read is an error that is told, and the drain counts from now', ({
  world,
}) => {
  const intent = commit(world, { members: members('draining'), 'drain-timeout': '10s' });
  const influences = new Influences({
    history: () => {
      throw new Error('the disk is gone');
    },
    health: world.health,
    onEvent: () => undefined,
    onError: (error) => world.errors.push(error),
    clock: () => world.clock,
    now: () => world.now,
  });
  influences.prepare(intent);
  assert.is(world.errors.length, 1);
  pass(world, 10_000);
  step(influences, world, intent);
  assert.ok(influences.drained('web/10.0.1.1:80'));
});

interface Traffic {
  readonly active?: number;
  readonly bytes?: number;
  /** Handshakes of the last second, and how long each took. */
  readonly answers?: number;
  readonly answerUs?: number;
  /** How many of 100 microseconds there were before. */
  readonly earlier?: number;
}

function sample(world: World, traffic: Record<string, Traffic> = {}): Sample {
  const totals = { passed: 0, echoReplies: 0, eventsLost: 0, errorsSent: 0 };
  const row = (
    { active = 0, bytes = 0, answers = 0, answerUs = 0 }: Traffic,
    earlier: number,
  ): MemberCounterSet => ({
    ...{ ...NO_COUNTERS, bytes, active, answers: answers + earlier },
    answerNs: answers * answerUs * 1000 + earlier * 100_000,
  });
  const table = (all: boolean): Record<string, MemberCounterSet> =>
    Object.fromEntries(
      Object.entries(traffic).map(([id, one]) => [id, row(one, all ? (one.earlier ?? 0) : 0)]),
    );
  const common = { time: world.clock, totals, drops: {}, services: {} };
  return {
    counters: { ...common, since: 0, members: table(true) },
    deltas: { ...common, intervalMs: 1000, members: table(false) },
  };
}

function tablesOf(influences: Influences, world: World, intent: Intent, previous?: Tables): Tables {
  return compile({ intent, health: world.health, influences, nextHop: () => hop }, previous);
}

function step(
  influences: Influences,
  world: World,
  intent: Intent,
  traffic: Parameters<typeof sample>[1] = {},
): boolean {
  return influences.step(sample(world, traffic), intent, tablesOf(influences, world, intent));
}

function weights(influences: Influences, world: World, intent: Intent): number[] {
  return tablesOf(influences, world, intent)
    .pools.get('web')!
    .members.map(({ weight }) => weight);
}

test('a member that comes up takes a tenth at once and the rest in steps', ({ world }) => {
  const intent = commit(world, {
    members: members('enabled', 'enabled'),
    monitor: { type: 'tcp' },
    'slow-start': '10s',
  });
  const influences = start(world);
  let tables = tablesOf(influences, world, intent);
  const run = (): void => {
    const before = tables;
    tables = tablesOf(influences, world, intent, before);
    influences.follow(before, tables, intent);
  };
  const weight = (): number | undefined => tables.pools.get('web')?.members[1]?.weight;
  influences.follow(undefined, tables, intent);
  assert.is(weight(), 100, 'who serves at the start is at its full weight');
  world.health.set(ID, { state: 'down', reason: 'x' });
  run();
  world.health.set(ID, { state: 'up', reason: '' });
  run();
  assert.is(weight(), 10, 'in the very first table');
  pass(world, 999);
  assert.not(step(influences, world, intent));
  const seen: (number | undefined)[] = [];
  for (let second = 0; second < 11; second++) {
    pass(world, 1000);
    if (step(influences, world, intent)) run();
    seen.push(weight());
  }
  assert.equal(seen, [20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 100]);
  assert.not(step(influences, world, intent), 'then it is over');
});

test('a member that is new in a pool starts slowly, one of a new pool does not', ({ world }) => {
  const web = { members: members('enabled'), 'slow-start': '10s' };
  const small = commit(world, web);
  const influences = start(world);
  const before = tablesOf(influences, world, small);
  influences.follow(undefined, before, small);
  const grown = { ...web, members: members('enabled', 'enabled') };
  const larger = commit(world, grown);
  assert.equal(weights(influences, world, larger), [100, 10]);
  const document = documentOf(grown);
  document.pools!['other'] = grown;
  const both = intentSchema.parse(document);
  const tables = tablesOf(influences, world, both, before);
  influences.follow(before, tables, both);
  const again = tablesOf(influences, world, both, tables);
  assert.equal(
    again.pools.get('other')?.members.map(({ weight }) => weight),
    [100, 100],
  );
});

test('response times move the weights of least-response-time within the limits', ({ world }) => {
  const intent = commit(world, {
    algorithm: 'least-response-time',
    members: members('enabled', 'enabled'),
    monitor: { type: 'tcp' },
  });
  for (const [last, responseTimeUs] of [
    [1, 500],
    [2, 4000],
  ]) {
    world.health.set(`web/10.0.1.${last}:80`, {
      state: 'up',
      reason: '',
      responseTimeUs: responseTimeUs!,
    });
  }
  const influences = start(world);
  assert.equal(weights(influences, world, intent), [100, 100]);
  assert.ok(step(influences, world, intent));
  const [fast, slow] = weights(influences, world, intent);
  assert.ok(fast! > 100 && slow! < 100 && fast! <= 125 && slow! >= 80, `${fast}, ${slow}`);
  for (let second = 0; second < 30; second++) step(influences, world, intent);
  const [settledFast, settledSlow] = weights(influences, world, intent);
  assert.ok(settledFast! / settledSlow! > 6, `${settledFast}:${settledSlow}`);
});

test('without a monitor the handshakes of now decide, however many were fast before', ({
  world,
}) => {
  const intent = commit(world, {
    algorithm: 'least-response-time',
    members: members('enabled', 'enabled'),
  });
  const influences = start(world);
  const earlier = 1_000_000;
  const traffic = {
    'web/10.0.1.1:80': { earlier, answers: 10, answerUs: 100 },
    'web/10.0.1.2:80': { earlier, answers: 10, answerUs: 5000 },
  };
  for (let second = 0; second < 30; second++) step(influences, world, intent, traffic);
  const [fast, slow] = weights(influences, world, intent);
  assert.ok(fast! / slow! > 10, `${fast}:${slow}`);
  const quiet = {
    'web/10.0.1.1:80': { earlier },
    'web/10.0.1.2:80': { earlier },
  };
  for (let second = 0; second < 5; second++) step(influences, world, intent, quiet);
  const [stillFast, stillSlow] = weights(influences, world, intent);
  assert.ok(stillFast! / stillSlow! > 10, `without handshakes it stays: ${stillFast}:${stillSlow}`);
});

test('an expression gets what is known of each member', ({ world }) => {
  const intent = commit(world, {
    algorithm: 'custom',
    custom: {
      expression:
        'location == "ams" ? 100 : weight + connections + response_time / 100 + bandwidth / 1000 + cpu + health',
    },
    members: [
      { address: '10.0.1.1', port: 80, location: 'ams' },
      { address: '10.0.1.2', port: 80, weight: 2 },
    ],
    monitor: { type: 'tcp' },
  });
  world.health.set(ID, { state: 'up', reason: '', responseTimeUs: 300, agent: { cpuPercent: 30 } });
  const influences = start(world);
  assert.ok(step(influences, world, intent, { [ID]: { active: 7, bytes: 7000 } }));
  // 2 + 7 + 3 + 7 + 30 + 1 = 50 of 100.
  assert.equal(weights(influences, world, intent), [10_000, 5000]);
});

test('for the proxy only expressions are computed: the rest it sees by itself', ({ world }) => {
  for (const [algorithm, expected] of [
    ['custom', [10_000, 2500]],
    ['least-bandwidth', [100, 100]],
  ] as const) {
    const custom =
      algorithm === 'custom' ? { custom: { expression: '1 / (1 + connections)' } } : {};
    const document = documentOf({ algorithm, ...custom, members: members('enabled', 'enabled') });
    const listen = { address: '10.0.0.80', port: 80, protocol: 'http' } as const;
    document.services = { shop: { listen, pool: 'web' } };
    const intent = intentSchema.parse(document);
    const influences = start(world);
    step(influences, world, intent, { [ID]: { active: 3, bytes: 1_000_000 } });
    const { l7 } = tablesOf(influences, world, intent);
    assert.equal(
      l7.pools.get('web')?.members.map(({ weight }) => weight),
      expected,
      algorithm,
    );
  }
});

test('expressions for the proxy know what its workers see of members', ({ world }) => {
  for (const expression of [
    '1 / (1 + connections)',
    '1000 / response_time',
    '1 / (1 + bandwidth)',
  ]) {
    const document = documentOf({
      ...{ algorithm: 'custom', custom: { expression } },
      members: members('enabled', 'enabled'),
      monitor: { type: 'tcp' },
    });
    const listen = { address: '10.0.0.80', port: 80, protocol: 'http' } as const;
    document.services = { shop: { listen, pool: 'web' } };
    const intent = intentSchema.parse(document);
    // Probes are answered at once, requests are not.
    world.health.set(ID, { state: 'up', reason: '', responseTimeUs: 1 });
    const influences = start(world);
    const proxy = {
      seen: (id: string) =>
        id === ID
          ? { underWay: 3, responseUs: 4000, bytesPerSecond: 3 }
          : { underWay: 0, responseUs: 1000, bytesPerSecond: 0 },
    };
    const tables = tablesOf(influences, world, intent);
    influences.step({ ...sample(world, {}), proxy }, intent, tables);
    assert.equal(weights(influences, world, intent), [10_000, 2500], expression);
  }
});

test('an expression that fails keeps the weights, and is told once', ({ world }) => {
  const intent = commit(world, {
    algorithm: 'custom',
    custom: { expression: 'connections > 1000 ? -1 : weight' },
    members: members('enabled', 'enabled'),
  });
  const influences = start(world);
  step(influences, world, intent);
  const before = weights(influences, world, intent);
  const busy = { [ID]: { active: 2000 } };
  for (let second = 0; second < 2; second++) {
    pass(world, 1000);
    assert.not(step(influences, world, intent, busy));
  }
  assert.equal(weights(influences, world, intent), before);
  assert.equal(
    world.events.map(({ message }) => message),
    [
      'the expression of pool web gives no weight: for 10.0.1.2:80 it gives -1, but a weight is 0 or more; members keep the weights that they have',
    ],
  );
  assert.is(influences.problems.size, 1);
  pass(world, 1000);
  step(influences, world, intent);
  assert.is(world.events.at(-1)?.message, 'the expression of pool web gives weights again');
  assert.is(influences.problems.size, 0);
});

test('a member that is down is weighed for its return, in the scale of the others', ({ world }) => {
  const intent = commit(world, {
    algorithm: 'custom',
    custom: { expression: 'health * weight / (1 + connections)' },
    members: members('enabled', 'enabled'),
    monitor: { type: 'tcp' },
  });
  world.health.set(ID, { state: 'down', reason: 'x' });
  const influences = start(world);
  step(influences, world, intent);
  assert.equal(weights(influences, world, intent), [10_000, 10_000]);
});

test('an expression that gives 0 for all keeps the weights, and is told', ({ world }) => {
  const intent = commit(world, {
    algorithm: 'custom',
    custom: { expression: 'connections > 5 ? 0 : weight' },
    members: members('enabled', 'enabled'),
  });
  const influences = start(world);
  step(influences, world, intent);
  pass(world, 1000);
  const busy = { active: 9 };
  step(influences, world, intent, { [ID]: busy, 'web/10.0.1.1:80': busy });
  assert.equal(weights(influences, world, intent), [10_000, 10_000]);
  assert.match(world.events.at(-1)?.message ?? 'none', /it gives 0 for every member that takes/);
  pass(world, 1000);
  step(influences, world, intent, { [ID]: busy });
  assert.equal(weights(influences, world, intent), [10_000, 0], 'for one alone 0 is 0');
});

test('weights are computed as often as the interval says', ({ world }) => {
  const intent = commit(world, {
    algorithm: 'custom',
    custom: { expression: '1 + connections', interval: '3s' },
    members: members('enabled', 'enabled'),
  });
  const influences = start(world);
  const changed: boolean[] = [];
  for (let second = 0; second < 7; second++) {
    changed.push(step(influences, world, intent, { [ID]: { active: second + 1 } }));
    pass(world, 1000);
  }
  assert.equal(changed, [true, false, false, true, false, false, true]);
});

test('the loop prepares an intent before it is executed, and follows after it', async ({
  world,
}) => {
  const intent = commit(world, { members: members('enabled', 'draining'), 'drain-timeout': '1s' });
  pass(world, 1000);
  const fastPath = new FakeFastPath();
  const influences = start(world);
  const reconciler = new Reconciler(
    {
      fastPath,
      influences,
      network: new FakeNetwork(),
      monitors: new FakeMonitors(),
      inspect: () => null,
    },
    { retryMs: 60_000, onRun: () => undefined, onFailure: (error) => world.errors.push(error) },
  );
  try {
    reconciler.setIntent(intent);
    await reconciler.settle();
    assert.equal(world.errors, []);
    const [first] = fastPath.programmed;
    assert.is(first?.pools.get('web')?.members[1]?.state, 'down', 'in the very first tables');
  } finally {
    await reconciler.close();
  }
});

test.run();
