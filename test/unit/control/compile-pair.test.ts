/** Which unit's speaker is told what: shares, preferences, routers of the document. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compile } from '../../../appliance/control/compile.js';
import { compilePair, NO_PAIR, type PairTables } from '../../../appliance/control/compile-pair.js';
import { intentSchema, type Document } from '../../../appliance/config/schema.js';
import { parseSettings } from '../../../appliance/ha/vrrp/speaker/messages.js';

const test = suite('compile pair');

type PairDocument = NonNullable<Document['pair']>;

function documentOf(unit: string, pair: PairDocument | undefined, addresses: readonly string[]) {
  const document: Document = {
    version: 1,
    unit: { name: unit },
    pools: { web: { members: [{ address: '10.9.9.9' }] } },
    services: Object.fromEntries(
      addresses.map((address, index) => [
        `s${index}`,
        { listen: { address, port: 80, protocol: 'http' as const }, pool: 'web' },
      ]),
    ),
    ...(pair === undefined ? {} : { pair }),
  };
  return intentSchema.parse(document);
}

/** 10.0.N.x is in the network of ethN, fd00::/16 in that of eth0; others are nowhere. */
function interfaceOf(address: string): string | null {
  if (address.startsWith('fd00:')) return 'eth0';
  const third = /^10\.0\.(\d)\./.exec(address)?.[1];
  return third === undefined ? null : `eth${third}`;
}

const known = { natAddresses: [], flowsKnown: true };

function compiled(
  unit: string,
  peer: string | null,
  addresses: readonly string[],
  pair?: PairDocument,
): PairTables {
  const result = compilePair({
    intent: documentOf(unit, pair, addresses),
    addresses,
    other: peer === null ? null : { ...known, name: peer },
    interfaceOf,
  });
  const read = parseSettings(JSON.parse(JSON.stringify({ groups: result.groups, paths: null })));
  if (typeof read === 'string') throw new Error(`the speaker refuses the groups: ${read}`);
  return result;
}

const seven = ['10.0.0.80', '10.0.0.81', '10.0.1.90', 'fd00::50', 'fd00::51', '10.0.0.82'];

function brief({ groups }: PairTables) {
  return groups.map(({ name, priority, routers }) => ({
    name,
    priority,
    routers: routers.map((one) => `${one.name} ${one.vrid} ${one.addresses.join(' ')}`),
  }));
}

test('a unit alone holds its addresses without a speaker', () => {
  assert.equal(compiled('weir-a', null, seven), NO_PAIR);
});

test('two units share the addresses by their last bit, each in front for one share', () => {
  const even = [
    'even/eth0/ipv4 201 10.0.0.80 10.0.0.82',
    'even/eth1/ipv4 201 10.0.1.90',
    'even/eth0/ipv6 201 fd00::50',
  ];
  const odd = ['odd/eth0/ipv4 202 10.0.0.81', 'odd/eth0/ipv6 202 fd00::51'];
  const a = compiled('weir-a', 'weir-b', seven);
  assert.equal(brief(a), [
    { name: 'shared/even', priority: 200, routers: even },
    { name: 'shared/odd', priority: 100, routers: odd },
  ]);
  const b = compiled('weir-b', 'weir-a', [...seven].reverse());
  assert.equal(brief(b), [
    { name: 'shared/even', priority: 100, routers: even },
    { name: 'shared/odd', priority: 200, routers: odd },
  ]);
  assert.equal(a.shared, [...seven].sort(), 'the speaker answers for all of them');
  assert.equal(b.shared, a.shared, 'on both units');
});

test('an address stays in its share whatever others come and go', () => {
  const shareOf = (result: PairTables, address: string): string | undefined =>
    result.groups.find(({ routers }) => routers.some((one) => one.addresses.includes(address)))
      ?.name;
  for (let more = 0; more < 20; more += 1) {
    const others = Array.from({ length: more }, (_, index) => `10.0.0.${100 + index}`);
    const result = compiled('a', 'b', ['10.0.0.80', '10.0.0.81', ...others]);
    assert.is(shareOf(result, '10.0.0.80'), 'shared/even', `with ${more} others`);
    assert.is(shareOf(result, '10.0.0.81'), 'shared/odd', `with ${more} others`);
  }
});

test('active-passive is one share, and the preferred unit can be named', () => {
  const pair: PairDocument = { mode: 'active-passive' };
  assert.equal(
    brief(compiled('weir-a', 'weir-b', ['10.0.0.80', '10.0.0.81'], pair)).map(
      ({ name, priority }) => [name, priority],
    ),
    [['shared/all', 200]],
  );
  const other: PairDocument = { ...pair, prefer: 'weir-b' };
  assert.is(compiled('weir-a', 'weir-b', ['10.0.0.80'], other).groups[0]?.priority, 100);
  assert.is(compiled('weir-b', 'weir-a', ['10.0.0.80'], other).groups[0]?.priority, 200);
  const unknown = compiled('weir-a', 'weir-b', ['10.0.0.80'], { prefer: 'weir-c' });
  assert.is(unknown.groups[0]?.priority, 200, 'the first by alphabet, as without it');
  assert.match(unknown.problems[0] ?? '', /pair\.prefer names "weir-c"/);
});

test('usual settings, and those of the document', () => {
  const [usual] = compiled('a', 'b', ['10.0.0.80']).groups;
  assert.is(usual?.routers[0]?.interval, 30);
  assert.is(usual?.routers[0]?.version, 3);
  assert.is(usual?.preempt, 'weaker');
  assert.is(usual?.preemptDelay, 5000);
  assert.equal(
    usual?.tracked.map(({ name, weight }) => [name, weight]),
    [
      ['datapath', 253],
      ['workers', 253],
      ['members', 253],
      ['failover of shared/even', 253],
    ],
  );
  const { groups } = compiled('a', 'b', ['10.0.0.80', 'fd00::50'], {
    version: 2,
    preempt: false,
    'first-id': 7,
    tracking: {
      datapath: 'fault',
      members: 'ignore',
      workers: 'ignore',
      pools: 'yield',
      interfaces: { eth9: 'fault' },
    },
  });
  assert.equal(
    groups[0]?.routers.map(({ family, version, interval, vrid }) => [
      ...[family, version, interval, vrid],
    ]),
    [
      [4, 2, 1000, 7],
      [6, 3, 1000, 7],
    ],
    'version 2 has no IPv6',
  );
  assert.equal(
    groups[0]?.tracked.slice(0, 3).map(({ name, weight }) => [name, weight]),
    [
      ['datapath', 'fault'],
      ['pools', 253],
      ['interface eth9', 'fault'],
    ],
  );
  assert.is(groups[0]?.preempt, 'unfit');
});

test('routers of the document run without a pairing, and take their addresses from the shares', () => {
  const pair: PairDocument = {
    'virtual-routers': {
      front: { id: 9, addresses: ['10.0.0.80', '10.0.0.200'], priorities: { a: 150 } },
      mixed: { id: 10, interface: 'eth5', addresses: ['10.0.0.7', 'fd00::7'], prefer: 'b' },
      one: { id: 11, addresses: ['10.0.0.8'], group: 'g', prefer: 'a' },
      two: { id: 11, addresses: ['10.0.1.8'], group: 'g', prefer: 'a', interface: 'eth1' },
      nowhere: { id: 12, addresses: ['192.0.2.1'] },
    },
  };
  const alone = compiled('a', null, ['10.0.0.80', '10.0.0.81'], pair);
  assert.equal(brief(alone), [
    { name: 'front', priority: 150, routers: ['front 9 10.0.0.200 10.0.0.80'] },
    {
      ...{ name: 'mixed', priority: 100 },
      routers: ['mixed/ipv4 10 10.0.0.7', 'mixed/ipv6 10 fd00::7'],
    },
    {
      ...{ name: 'group/g', priority: 200 },
      routers: ['one 11 10.0.0.8', 'two 11 10.0.1.8'],
    },
  ]);
  assert.equal(alone.shared, ['10.0.0.80'], 'the network tier keeps the rest');
  assert.match(alone.problems.join(), /"nowhere": write its interface/);
  const paired = compiled('a', 'b', ['10.0.0.80', '10.0.0.81'], pair);
  assert.equal(
    paired.groups.map(({ name }) => name),
    ['front', 'mixed', 'group/g', 'shared/odd'],
    'no even address is left over',
  );
  assert.equal(paired.shared, ['10.0.0.80', '10.0.0.81']);
});

test('virtual MAC addresses and passwords go to the routers that can have them', () => {
  const pair: PairDocument = {
    'virtual-mac': true,
    version: 2,
    'virtual-routers': {
      near: { id: 11, addresses: ['10.0.0.90', 'fd00::90'], password: 'secret' },
      far: { id: 12, addresses: ['10.0.1.90'], peers: ['10.0.1.2'] },
      plain: { id: 13, addresses: ['10.0.2.90'], 'virtual-mac': false },
    },
  };
  const routers = compiled('a', null, [], pair).groups.flatMap((group) => group.routers);
  assert.equal(
    routers.map(({ name, virtualMac, password }) => [name, virtualMac, password]),
    [
      ['near/ipv4', true, 'secret'],
      ['near/ipv6', true, null],
      ['far', false, null],
      ['plain', false, null],
    ],
  );
});

test('what nobody can hold is told, and the network tier does not hold it either', () => {
  const far = compiled('a', 'b', ['192.0.2.7']);
  assert.equal(far.groups, []);
  assert.equal(far.shared, ['192.0.2.7'], 'else both units would have it');
  assert.match(far.problems[0] ?? '', /192\.0\.2\.7 is in no network of this unit/);
  const same = compiled('a', 'a', ['10.0.0.80']);
  assert.equal([same.groups, same.shared], [[], []]);
  assert.match(same.problems[0] ?? '', /both units of the pair have the name "a"/);
  const evens = Array.from({ length: 300 }, (_, index) => `fd00::${(2 * index + 2).toString(16)}`);
  const many = compiled('a', 'b', evens);
  assert.is(many.groups[0]?.routers[0]?.addresses.length, 255);
  assert.is(many.problems.length, 45, 'each that has no room is told');
  assert.is(many.shared.length, 300);
});

test("the network tier is told which addresses are the speaker's", () => {
  const intent = documentOf('a', undefined, ['10.0.0.80', '10.0.0.81']);
  const input = { intent, health: new Map(), nextHop: () => ({ unresolved: 'not asked' }) };
  const alone = compile(input);
  assert.equal(alone.net.sharedAddresses, []);
  const pair = { other: { ...known, name: 'b' }, interfaceOf };
  const paired = compile({ ...input, pair }, alone);
  assert.equal(paired.net.serviceAddresses, ['10.0.0.80', '10.0.0.81']);
  assert.equal(paired.net.sharedAddresses, ['10.0.0.80', '10.0.0.81']);
  assert.is(compile({ ...input, pair }, paired).pair, paired.pair, 'the same stays the same');
});

function withNat(
  unit: string,
  peer: string,
  own: readonly string[],
  other: readonly string[],
  flowsKnown = true,
): PairTables {
  const intent = documentOf(unit, { tracking: { interfaces: { eth9: 'fault' } } }, ['10.0.1.90']);
  return compilePair({
    ...{ addresses: ['10.0.1.90'], interfaceOf },
    intent: { ...intent, unit: { ...intent.unit, 'nat-addresses': [...own] } },
    other: { name: peer, natAddresses: other, flowsKnown },
  });
}

test('addresses of full nat move: each unit is in front for its own, with the links of clients', () => {
  const [ofA, ofB] = [
    ['10.0.0.11', 'fd00::11', '10.0.0.13'],
    ['10.0.0.12', '10.0.0.13'],
  ];
  const a = withNat('a', 'b', ofA, ofB);
  assert.equal(brief(a).slice(1), [
    {
      ...{ name: 'nat-addresses/a', priority: 200 },
      routers: ['nat/a/eth0/ipv4 203 10.0.0.11 10.0.0.13', 'nat/a/eth0/ipv6 203 fd00::11'],
    },
    { name: 'nat-addresses/b', priority: 100, routers: ['nat/b/eth0/ipv4 204 10.0.0.12'] },
  ]);
  const b = withNat('b', 'a', ofB, ofA);
  assert.equal(
    brief(b).slice(1),
    brief(a)
      .slice(1)
      .map((group) => ({ ...group, priority: 300 - group.priority })),
    'the same groups, preferred the other way round',
  );
  assert.equal(a.shared, ['10.0.0.11', '10.0.0.12', '10.0.0.13', '10.0.1.90', 'fd00::11']);
  assert.equal(
    a.groups[1]?.tracked
      .filter(({ name }) => name.startsWith('interface'))
      .map(({ name, weight }) => [name, weight]),
    [
      ['interface eth9', 'fault'],
      ['interface eth1', 253],
    ],
    'replies of members end at a unit whose clients are cut off',
  );
  assert.equal(a.interfaces, ['eth1', 'eth9']);
});

test('a unit takes nothing back before it knows the flows of the other one', () => {
  const early = withNat('a', 'b', ['10.0.0.11'], [], false);
  assert.equal(
    [early.awaitsFlows, ...early.groups.map(({ preempt }) => preempt)],
    [true, 'none', 'none'],
  );
  const ready = withNat('a', 'b', ['10.0.0.11'], []);
  assert.equal(
    [ready.awaitsFlows, ...ready.groups.map(({ preempt }) => preempt)],
    [false, 'weaker', 'weaker'],
  );
});

test.run();
