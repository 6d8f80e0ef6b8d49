/** Pools in the compiler: algorithms, weights, backups, stand-ins, and what people read of it. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { intentSchema, type Algorithm, type Document } from '../../../appliance/config/schema.js';
import { algorithms } from '../../../appliance/config/pool.js';
import { compile, type CompileInput } from '../../../appliance/control/compile.js';
import type { InfluenceView, MemberHealth } from '../../../appliance/control/compile-pools.js';
import {
  nowSentence,
  standingEvents,
  whenDownSentence,
} from '../../../appliance/control/pool-view.js';
import type { L4Choice, L4Member, L4Pool, Tables } from '../../../appliance/control/tables.js';
import { memberState } from '../../../appliance/control/views.js';
import { hop } from './stand-ins.js';

const test = suite('compile: pools');

type PoolDocument = NonNullable<Document['pools']>[string];

/** Members a, b, c … at 10.0.1.1, 10.0.1.2 … */
function members(...changes: Partial<PoolDocument['members'][number]>[]): PoolDocument['members'] {
  return changes.map((change, index) => ({ address: `10.0.1.${index + 1}`, port: 80, ...change }));
}

function documentOf(pools: Record<string, PoolDocument>): Document {
  return {
    version: 1,
    unit: { name: 'a' },
    pools,
    services: {
      shop: { listen: { address: '10.0.0.80', port: 80, protocol: 'tcp' }, pool: 'web' },
    },
  };
}

const monitor = { type: 'tcp' } as const;
const down: MemberHealth = { state: 'down', reason: 'connection refused' };

/** Health of members of web by the last number of their address. */
function health(states: Record<number, MemberHealth>, pool = 'web'): Map<string, MemberHealth> {
  return new Map(
    Object.entries(states).map(([last, state]) => [`${pool}/10.0.1.${last}:80`, state]),
  );
}

function influences(change: Partial<InfluenceView> = {}): InfluenceView {
  return {
    ramp: () => 1,
    weight: () => undefined,
    drained: () => false,
    suspect: () => undefined,
    ...change,
  };
}

function run(
  pools: Record<string, PoolDocument>,
  change: Partial<CompileInput> = {},
  previous?: Tables,
): Tables {
  const intent = intentSchema.parse(documentOf(pools));
  return compile({ intent, health: new Map(), nextHop: () => hop, ...change }, previous);
}

function poolOf(tables: Tables, name = 'web'): L4Pool {
  const pool = tables.pools.get(name);
  if (pool === undefined) throw new Error(`there is no pool ${name}`);
  return pool;
}

/** Who takes new flows, by the last number of the address. */
function takers(tables: Tables, name = 'web'): number[] {
  const pool = poolOf(tables, name);
  return [...new Set(pool.lookup)].map((index) => index + 1).sort();
}

function weights(tables: Tables): number[] {
  return poolOf(tables).members.map(({ weight }) => weight);
}

const expected: Readonly<Record<Algorithm, readonly [L4Choice, slots: number]>> = {
  maglev: ['flow-hash', 4096],
  'ip-hash': ['source-hash', 4096],
  'round-robin': ['cursor', 3],
  'weighted-round-robin': ['cursor', 6],
  'least-connections': ['least', 3],
  'weighted-least-connections': ['least', 3],
  random: ['random', 4096],
  'least-response-time': ['random', 4096],
  'least-bandwidth': ['random', 4096],
  custom: ['random', 4096],
};

for (const algorithm of algorithms) {
  const [choice, slots] = expected[algorithm];
  const custom = algorithm === 'custom' ? { custom: { expression: 'weight' } } : {};
  const list = members({ weight: 3 }, { weight: 2 }, {}, { weight: 0 });
  test(`${algorithm}: ${choice} of ${slots} slots; weight 0, down and disabled take nothing`, () => {
    const pool = { algorithm, ...custom, members: list, monitor };
    const tables = run({ web: pool });
    assert.equal([poolOf(tables).choice, poolOf(tables).lookup.length], [choice, slots]);
    assert.equal(takers(tables), [1, 2, 3]);
    assert.equal(takers(run({ web: pool }, { health: health({ 2: down }) })), [1, 3]);
    const none = run({ web: pool }, { health: health({ 1: down, 2: down, 3: down }) });
    assert.is(poolOf(none).lookup.length, 0);
    assert.is(poolOf(none).whenDown, 'drop');
  });
}

test('ip-hash can hash the service address too', () => {
  const web = { algorithm: 'ip-hash', hash: 'source-destination', members: members({}) } as const;
  assert.is(poolOf(run({ web })).choice, 'source-destination-hash');
});

test('algorithms without weights see them all as 1', () => {
  const list = members({ weight: 3 }, { weight: 0 }, {});
  for (const algorithm of ['round-robin', 'least-connections'] as const) {
    const tables = run({ web: { algorithm, members: list } });
    assert.equal(weights(tables), [1, 0, 1], algorithm);
    assert.equal(
      poolOf(tables).members.map(({ configuredWeight }) => configuredWeight),
      [3, 0, 1],
    );
  }
});

test('a change of algorithm makes the table anew, whatever was there before', () => {
  const list = members({ weight: 3 }, { weight: 2 }, {});
  let previous: Tables | undefined;
  for (const algorithm of [...algorithms, ...algorithms].filter((one) => one !== 'custom')) {
    const web = { algorithm, members: list };
    const tables: Tables = run({ web }, {}, previous);
    assert.equal(tables, run({ web }), algorithm);
    previous = tables;
  }
});

test('slow start ramps the weight, in whatever algorithm', () => {
  const ramp = (id: string): number => (id.endsWith('.2:80') ? 0.1 : 1);
  const web = (algorithm: Algorithm): PoolDocument => ({
    algorithm,
    'slow-start': '30s',
    members: members({ weight: 3 }, { weight: 3 }),
  });
  const change = { influences: influences({ ramp }) };
  assert.equal(weights(run({ web: web('maglev') }, change)), [300, 30]);
  assert.equal(weights(run({ web: web('round-robin') }, change)), [100, 10]);
  assert.equal(weights(run({ web: web('least-connections') }, change)), [100, 10]);
  const { lookup } = poolOf(run({ web: web('weighted-round-robin') }, change));
  assert.is(
    lookup.filter((index) => index === 1).length * 10,
    lookup.filter((index) => index === 0).length,
  );
  assert.equal(
    weights(run({ web: { ...web('maglev'), 'slow-start': undefined } }, change)),
    [3, 3],
  );
});

test('the weight per cent of an agent counts, rounded up, and 0 takes no new flows', () => {
  const web = { members: members({ weight: 3 }, { weight: 3 }, { weight: 3 }), monitor };
  const agent = (weightPercent: number): MemberHealth => ({
    ...{ state: 'up', reason: '' },
    agent: { weightPercent },
  });
  const tables = run({ web }, { health: health({ 1: agent(50), 2: agent(0), 3: agent(100) }) });
  assert.equal(weights(tables), [2, 0, 3]);
  assert.equal(takers(tables), [1, 3]);
});

test('agents that all report 0 per cent make room for the backup', () => {
  const agent = (weightPercent: number): MemberHealth => ({
    ...{ state: 'up', reason: '' },
    agent: { weightPercent },
  });
  const web = { members: members({}, {}, { backup: true }), monitor };
  const tables = run({ web }, { health: health({ 1: agent(0), 2: agent(0) }) });
  assert.equal(takers(tables), [3]);
  assert.is(tables.standings.get('web')?.muster, 'backups');
});

test('computed weights count for the algorithms that observe, and for no other', () => {
  const change = {
    influences: influences({ weight: (id) => (id.endsWith('.1:80') ? 777 : undefined) }),
  };
  const list = members({ weight: 2 }, { weight: 2 });
  const web = { algorithm: 'least-bandwidth', members: list } as const;
  assert.equal(weights(run({ web }, change)), [777, 200]);
  assert.equal(weights(run({ web: { ...web, algorithm: 'random' } }, change)), [2, 2]);
});

test('a member that computed weights leave out serves when nobody else does', () => {
  const change = {
    influences: influences({ weight: (id) => (id.endsWith('.1:80') ? 0 : 10_000) }),
  };
  const web = {
    algorithm: 'custom',
    custom: { expression: 'weight' },
    members: members({}, {}),
    monitor,
  } as const;
  const both = run({ web }, change);
  assert.equal(takers(both), [2]);
  assert.equal(takers(run({ web }, { ...change, health: health({ 2: down }) }, both)), [1]);
});

test('a backup stands by while enough others serve, and joins when they do not', () => {
  const web = { members: members({}, {}, { backup: true }), monitor, 'minimum-healthy': 2 };
  const well = run({ web });
  assert.equal(takers(well), [1, 2]);
  const [, , backup] = poolOf(well).members;
  assert.equal(
    [backup?.state, backup?.standing, backup?.reason],
    ['serving', 'standby', 'backup, 2 others serve'],
  );
  const short = run({ web }, { health: health({ 1: down }) }, well);
  assert.equal(takers(short), [2, 3]);
  assert.equal(takers(run({ web }, {}, short)), [1, 2], 'and stands by again');
});

test('serve-all uses members that are down, and says that they are', () => {
  const list = members(
    {},
    {},
    { state: 'disabled' },
    { state: 'draining' },
    { address: '10.0.1.99' },
  );
  const web = {
    members: list,
    monitor,
    'minimum-healthy': '75%',
    'when-down': 'serve-all',
  } as const;
  const unreachable = (address: string): ReturnType<CompileInput['nextHop']> =>
    address === '10.0.1.99' ? { unresolved: 'no MAC address known' } : hop;
  const tables = run({ web }, { health: health({ 1: down, 2: down }), nextHop: unreachable });
  assert.equal(takers(tables), [1, 2], 'not the disabled, the draining and the unreachable one');
  const [first] = poolOf(tables).members;
  assert.is(first?.state, 'serving');
  assert.is(memberState(first as L4Member), 'DOWN');
  assert.match(first?.reason ?? '', /^connection refused; used all the same/);
  assert.match(
    nowSentence(poolOf(tables), tables.standings.get('web')!, false),
    /^Fail-open: 0 of 3 needed/,
  );
});

test('below the minimum those that serve still do, unless another way was chosen', () => {
  const web = {
    members: members({}, {}),
    monitor,
    'minimum-healthy': 2,
    'when-down': 'reset',
  } as const;
  const tables = run({ web }, { health: health({ 1: down }) });
  assert.equal(takers(tables), [2]);
  assert.is(tables.standings.get('web')?.muster, 'few');
  assert.is(poolOf(tables).whenDown, 'reset');
});

const spares: Record<string, PoolDocument> = {
  web: { members: members({}, {}), monitor, 'minimum-healthy': 2, 'when-down': { pool: 'spare' } },
  spare: { members: members({ port: 81 }), monitor, 'when-down': { pool: 'last' } },
  last: { members: members({ port: 82 }), monitor, 'when-down': 'reset' },
};
const spareDown = new Map([['spare/10.0.1.1:81', down]]);
const lastDown = new Map([['last/10.0.1.1:82', down]]);

for (const [name, states, servedBy] of [
  ['all is well', new Map(), 'web'],
  ['too few serve', health({ 1: down }), 'spare'],
  ['too few serve there as well', new Map([...health({ 1: down }), ...spareDown]), 'last'],
  [
    'nobody has enough: those who have somebody',
    new Map([...health({ 1: down }), ...spareDown, ...lastDown]),
    'web',
  ],
  ['nobody at all', new Map([...health({ 1: down, 2: down }), ...spareDown, ...lastDown]), 'web'],
] as const) {
  test(`a pool stands in, ${name}: ${servedBy} serves`, () => {
    const tables = run(spares, { health: states as Map<string, MemberHealth> });
    assert.is(tables.l4.services.get('shop')?.pool, servedBy);
    assert.is(tables.standings.get('web')?.servedBy, servedBy);
    assert.equal([...tables.l4.pools.keys()], ['web', 'spare', 'last'], 'all are in the tables');
    for (const pool of tables.l4.pools.values()) assert.is(pool.whenDown, 'reset', pool.name);
    assert.is(tables.net.memberAddresses.length, 2, 'and the next hops of all are known');
  });
}

test('going over and back changes the service alone, and monitors keep their ports', () => {
  const list = (pool: PoolDocument): PoolDocument => ({
    ...pool,
    members: pool.members.map(({ address }) => ({ address })),
  });
  const pools = {
    web: list(spares['web']!),
    spare: list(spares['spare']!),
    last: list(spares['last']!),
  };
  const first = run(pools);
  const id = 'web/10.0.1.1';
  const over = run(pools, { health: new Map([[id, down]]) }, first);
  assert.is(over.l4.services.get('shop')?.pool, 'spare');
  assert.is(over.monitors, first.monitors);
  assert.is(over.pools.get('spare'), first.pools.get('spare'));
  assert.equal(run(pools, {}, over), first);
});

test('a drained member is out, and nothing to be alarmed about', () => {
  const web = { members: members({}, { state: 'draining' }), 'drain-timeout': '5m' } as const;
  const drained = (id: string): boolean => id === 'web/10.0.1.2:80';
  const before = poolOf(run({ web })).members[1]!;
  assert.is(before.state, 'draining');
  const after = poolOf(run({ web }, { influences: influences({ drained }) })).members[1]!;
  assert.equal(
    [after.state, after.reason, memberState(after)],
    ['down', 'drained for 5m', 'DISABLED'],
  );
});

test('a preview of another minimum does not change what is', () => {
  const web = { members: members({}, {}), monitor };
  const tables = run({ web }, { health: health({ 1: down }) });
  run({ web: { ...web, 'minimum-healthy': 2 } }, { health: health({ 1: down }) }, tables);
  assert.is(tables.standings.get('web')?.muster, 'enough');
  assert.equal(run({ web }, { health: health({ 1: down }) }, tables), tables);
});

test('what was before never changes the outcome', () => {
  const situation = fc.record({
    algorithm: fc.constantFrom(...algorithms.filter((one) => one !== 'custom')),
    minimum: fc.constantFrom(undefined, 1, 2, '50%', '100%'),
    whenDown: fc.constantFrom(undefined, 'reset', 'serve-all', { pool: 'spare' }),
    slowStart: fc.constantFrom(undefined, '10s'),
    list: fc.array(
      fc.record({
        weight: fc.integer({ min: 1, max: 3 }),
        backup: fc.constantFrom(undefined, true),
        state: fc.constantFrom('enabled' as const, 'draining' as const, 'disabled' as const),
        down: fc.boolean(),
        ramp: fc.constantFrom(0.1, 0.5, 1),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  });
  fc.assert(
    fc.property(fc.array(situation, { minLength: 2, maxLength: 5 }), (situations) => {
      let previous: Tables | undefined;
      for (const { algorithm, minimum, whenDown, slowStart, list } of situations) {
        const pools: Record<string, PoolDocument> = {
          web: {
            algorithm,
            monitor,
            members: members(
              ...list.map(({ weight, backup, state }) => ({ weight, backup, state })),
            ),
            'minimum-healthy': minimum,
            'when-down': whenDown as PoolDocument['when-down'],
            'slow-start': slowStart,
          },
          spare: { members: members({}) },
        };
        const states = list.flatMap((one, index) => (one.down ? [[index + 1, down] as const] : []));
        const change = {
          health: health(Object.fromEntries(states)),
          influences: influences({ ramp: (id) => list[Number(id.at(-4)) - 1]?.ramp ?? 1 }),
        };
        const tables: Tables = run(pools, change, previous);
        assert.equal(tables, run(pools, change));
        previous = tables;
      }
    }),
    { numRuns: 60 },
  );
});

test('each way to be down has its sentence', () => {
  const sentence = (web: PoolDocument, more: Record<string, PoolDocument> = {}): string => {
    const tables = run({ web, ...more });
    const { pools } = intentSchema.parse(documentOf({ web, ...more }));
    return whenDownSentence('web', pools, poolOf(tables), tables.standings.get('web')!, false);
  };
  const one = { members: members({}, {}) };
  assert.is(sentence(one), 'While no member can serve, new flows are dropped.');
  assert.is(
    sentence({ ...one, 'when-down': 'reset' }),
    'While no member can serve, new TCP flows are reset and others dropped.',
  );
  assert.is(
    sentence({ ...one, 'when-down': 'serve-all', 'minimum-healthy': 2 }),
    'While fewer than 2 members can serve, members that are down by their monitor are used all the same; while none can be reached, new flows are dropped.',
  );
  const { web, ...more } = spares;
  assert.is(
    sentence(web!, more),
    'While fewer than 2 members can serve, pool spare, then pool last takes the new flows; while nobody there can serve either, new TCP flows are reset and others dropped.',
  );
});

test('each change of standing is an event that says how the pool is now', () => {
  const web = { members: members({}, {}, { backup: true }), monitor };
  const well = run({ web });
  const steps: readonly (readonly [Record<number, MemberHealth>, RegExp, string])[] = [
    [{ 1: down, 2: down }, /backups take new flows too/, 'warning'],
    [{ 1: down, 2: down, 3: down }, /Fail-closed: no member can serve/, 'error'],
    [{ 1: down }, /1 member serves, 1 needed; 1 backup stands by/, 'info'],
  ];
  let before = well;
  for (const [states, message, severity] of steps) {
    const now = run({ web }, { health: health(states) }, before);
    const [event, ...others] = standingEvents(before, now);
    assert.is(others.length, 0);
    assert.match(event?.message ?? 'none', message);
    assert.is(event?.severity, severity);
    before = now;
  }
  assert.equal(standingEvents(before, before), []);
  assert.equal(standingEvents(undefined, before), []);
});

test.run();
