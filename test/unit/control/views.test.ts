/** What people see of pools: rows, detail and alarms, when members fail and others stand in. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Alarm, Counters } from '../../../appliance/api/contract.js';
import { intentSchema, type Document } from '../../../appliance/config/schema.js';
import { alarms } from '../../../appliance/control/alarms.js';
import { compile } from '../../../appliance/control/compile.js';
import type { InfluenceView, MemberHealth } from '../../../appliance/control/compile-pools.js';
import { poolDetail } from '../../../appliance/control/pool-view.js';
import { serviceRows, type ViewInput } from '../../../appliance/control/views.js';
import { hop } from './stand-ins.js';

const test = suite('views');
const down: MemberHealth = { state: 'down', reason: 'connection refused' };
const members = [
  { address: '10.0.1.1', port: 80, weight: 3 },
  { address: '10.0.1.2', port: 80 },
];
const counters: Counters = {
  ...{ time: 0, since: 0, drops: {}, services: {}, members: {} },
  totals: { passed: 0, echoReplies: 0, eventsLost: 0, errorsSent: 0 },
};

type PoolDocument = NonNullable<Document['pools']>[string];

function view(
  web: Partial<PoolDocument>,
  dead: readonly string[] = [],
  influences?: InfluenceView,
): ViewInput {
  const intent = intentSchema.parse({
    version: 1,
    unit: { name: 'a' },
    pools: {
      web: { members, monitor: { type: 'tcp' }, ...web },
      spare: { members: [{ address: '10.0.1.9', port: 80 }] },
    },
    services: {
      shop: { listen: { address: '10.0.0.80', port: 80, protocol: 'tcp' }, pool: 'web' },
    },
  });
  const health = new Map(dead.map((id) => [id, down]));
  const tables = compile({
    ...{ intent, health, nextHop: () => hop },
    ...(influences === undefined ? {} : { influences }),
  });
  return {
    ...{ intent, tables, counters, deltas: null, memberSince: new Map(), nextHop: () => hop },
    health: () => undefined,
  };
}

function alarmsOf({ tables }: ViewInput, problems: [string, string][] = []): Alarm[] {
  const found = alarms({
    ...{ tables, outcomes: [], netProblems: [], pending: null, failure: null },
    ...{ memberSince: new Map(), weightProblems: new Map(problems) },
  });
  return found.filter(({ code }) => code !== 'member-down');
}

const both = ['web/10.0.1.1:80', 'web/10.0.1.2:80'];

test('a service whose pool has a stand-in is degraded, and says which pool serves', () => {
  const input = view({ 'when-down': { pool: 'spare' } }, both);
  const [shop] = serviceRows(input);
  assert.equal([shop?.state, shop?.pool, shop?.servedBy], ['DEGRADED', 'web', 'spare']);
  assert.equal([shop?.membersServing, shop?.membersTotal], [1, 1]);
  assert.equal(
    alarmsOf(input).map(({ code, message }) => [code, message]),
    [['pool-short', 'Pool web has 0 of 1 members that it needs: pool spare takes its new flows.']],
  );
  const detail = poolDetail(input, 'web');
  assert.equal([detail?.servedBy, detail?.muster], ['spare', 'none']);
  assert.match(detail?.now ?? '', /^Fail-over: .*so pool spare takes the new flows\.$/);
});

test('members that are used although they are down make no service look well', () => {
  const input = view({ 'when-down': 'serve-all' }, both);
  assert.is(serviceRows(input)[0]?.state, 'DEGRADED');
  assert.match(alarmsOf(input)[0]?.message ?? '', /used all the same\.$/);
  assert.equal(
    poolDetail(input, 'web')?.members.map(({ state }) => state),
    ['DOWN', 'DOWN'],
  );
});

test('a pool that nobody serves says what becomes of packets', () => {
  assert.match(alarmsOf(view({}, both))[0]?.message ?? '', /packets for its services are dropped/);
  const reset = view({ 'when-down': 'reset' }, both);
  assert.match(alarmsOf(reset)[0]?.message ?? '', /new TCP flows for its services are reset/);
  assert.is(serviceRows(reset)[0]?.state, 'DOWN');
});

test('a pool below its minimum is a warning, one that is well is nothing', () => {
  const few = alarmsOf(view({ 'minimum-healthy': 2 }, both.slice(0, 1)));
  assert.equal(
    few.map(({ code, severity }) => [code, severity]),
    [['pool-short', 'warning']],
  );
  assert.equal(alarmsOf(view({})), []);
});

test('an expression that fails is an alarm while it does', () => {
  const [alarm] = alarmsOf(view({}), [['web', 'for 10.0.1.1:80 it gives -1']]);
  assert.is(alarm?.code, 'weights-failed');
  assert.match(alarm?.message ?? '', /pool web gives no weight: for 10\.0\.1\.1:80 it gives -1\./);
});

test('effective weights are shown in the unit of the document', () => {
  const influences: InfluenceView = {
    ramp: (id) => (id === both[0] ? 0.5 : 1),
    weight: (id) => (id === both[0] ? 1000 : 3000),
    drained: () => false,
    suspect: () => undefined,
  };
  const shown = (web: Partial<PoolDocument>): (readonly [number, number])[] =>
    (poolDetail(view(web, [], influences), 'web')?.members ?? []).map(
      ({ weight, effectiveWeight }) => [weight, effectiveWeight] as const,
    );
  assert.equal(shown({}), [
    [3, 3],
    [1, 1],
  ]);
  assert.equal(shown({ algorithm: 'round-robin' }), [
    [3, 1],
    [1, 1],
  ]);
  assert.equal(shown({ 'slow-start': '10s' }), [
    [3, 1.5],
    [1, 1],
  ]);
  // A quarter and three quarters of the four that the document gives them together.
  assert.equal(shown({ algorithm: 'least-bandwidth' }), [
    [3, 1],
    [1, 3],
  ]);
});

test('there is no detail of a pool that is not there', () => {
  assert.is(poolDetail(view({}), 'nil'), null);
});

test.run();
