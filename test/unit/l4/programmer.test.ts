/** Programming by diff, adoption after a restart, and recovery from a kernel that refuses. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NO_UNIT } from '../../../appliance/control/tables.js';
import type { L4Member, L4Pool, L4Service, L4Tables } from '../../../appliance/control/tables.js';
import { SLOT_WORDS } from '../../../appliance/l4/slots.js';
import {
  CHUNK_SLOTS,
  MEMBER_STATE,
  member as memberLayout,
  service as serviceLayout,
  serviceKey,
  settings,
} from '../../../appliance/l4/layouts.js';
import { CapacityError, Programmer } from '../../../appliance/l4/programmer.js';
import { FakeKernel } from './fake-kernel.js';

const test = suite('programmer');
const options = { eventsPerSecond: 100, hashSeed: 7 };
const SLOTS = 251;
const hop = {
  interfaceIndex: 3,
  interfaceName: 'eth0',
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 9),
};

function member(last: number, change: Partial<L4Member> = {}): L4Member {
  return {
    id: `web/10.0.0.${last}:8080`,
    key: `10.0.0.${last}:8080`,
    address: `10.0.0.${last}`,
    port: 8080,
    weight: 1,
    configuredWeight: 1,
    quicId: null,
    setting: 'enabled',
    state: 'serving',
    reason: 'enabled',
    nextHop: hop,
    ...change,
  };
}

function pool(name: string, members: L4Member[], slots = SLOTS): L4Pool {
  const indices = members.map((_, index) => index);
  const able = indices.filter((index) => members[index]?.state === 'serving');
  // Who does not serve hands its slots to the others; any number of slots will do here.
  const lookup = Uint32Array.from({ length: able.length === 0 ? 0 : slots }, (_, slot) => {
    const owner = slot % members.length;
    return able.includes(owner) ? owner : (able[slot % able.length] ?? 0);
  });
  return { name, members, choice: 'flow-hash', lookup, whenDown: 'drop', onMemberDown: 'rehash' };
}

function service(name: string, change: Partial<L4Service> = {}): L4Service {
  return {
    name,
    address: '10.0.0.80',
    port: 80,
    protocol: 'tcp',
    forwarding: 'dsr',
    pool: 'web',
    persistence: null,
    mss: 0,
    synCookies: 'off',
    quic: false,
    guePort: 0,
    ...change,
  };
}

function tables(services: L4Service[], pools: L4Pool[]): L4Tables {
  return {
    unit: NO_UNIT,
    services: new Map(services.map((one) => [one.name, one])),
    pools: new Map(pools.map((one) => [one.name, one])),
  };
}

/** Follows a packet through the fake kernel: keys of the members in a service's slots. */
function resolve(kernel: FakeKernel, wanted: L4Service): string[] {
  const key = serviceKey.encode({
    address: wanted.address,
    port: wanted.port,
    protocol: wanted.protocol === 'tcp' ? 6 : 17,
  });
  const value = kernel.services
    .entries()
    .find((entry) => Buffer.compare(entry.key, key) === 0)?.value;
  assert.ok(value, `${wanted.name} is not in the services table`);
  const { first_chunk: first, slots } = serviceLayout.decode(value);
  const from = first * CHUNK_SLOTS;
  return Array.from({ length: slots }, (_, slot) => {
    const row = kernel.lookup[(from + slot) * SLOT_WORDS]!;
    if (row === 0) return 'nobody';
    const bytes = memberLayout.decode(kernel.memberBytes, row * memberLayout.size);
    assert.is.not(
      bytes.state,
      MEMBER_STATE.free,
      `a slot of ${wanted.name} names the free row ${row}`,
    );
    return `${bytes.address}:${bytes.port}`;
  });
}

function expected(of: L4Pool): string[] {
  return Array.from(of.lookup, (index) => of.members[index]!.key);
}

test('a packet for a service finds the member that the compiled table says', () => {
  const kernel = new FakeKernel();
  const web = pool('web', [member(1), member(2), member(3)]);
  const one = service('one');
  new Programmer(kernel, options).program(tables([one], [web]));
  assert.equal(resolve(kernel, one), expected(web));
});

test('programming the same tables again writes nothing', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const wanted = tables(
    [service('one', { forwarding: 'nat' })],
    [pool('web', [member(1), member(2)])],
  );
  programmer.program(wanted);
  kernel.writes.length = 0;
  programmer.program(wanted);
  programmer.program(tables([...wanted.services.values()], [...wanted.pools.values()]));
  assert.equal(kernel.writes, []);
});

test('a change of one member writes its row and its slots only', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const others = pool('other', [member(7), member(8)]);
  const one = service('one');
  const two = service('two', { port: 81, pool: 'other' });
  const before = pool('web', [member(1), member(2), member(3)]);
  programmer.program(tables([one, two], [before, others]));
  kernel.writes.length = 0;
  const after = pool('web', [member(1), member(2, { state: 'down', reason: 'x' }), member(3)]);
  const report = programmer.program(tables([one, two], [after, others]));
  assert.is(report.membersWritten, 1);
  assert.is(report.slotsWritten, [...before.lookup].filter((index) => index === 1).length);
  assert.equal(kernel.writes, ['members']);
  assert.equal(resolve(kernel, one), expected(after));
});

test('rows are written before slots and services that lead to them', () => {
  const kernel = new FakeKernel();
  new Programmer(kernel, options).program(
    tables([service('one', { forwarding: 'nat' })], [pool('web', [member(1)])]),
  );
  assert.equal(kernel.writes, [
    'members',
    'reply_sources',
    'settings',
    'addresses',
    'placements',
    'services',
  ]);
});

test('a restart adopts rows, ids and lookup tables and writes nothing', () => {
  const kernel = new FakeKernel();
  const wanted = (): L4Tables =>
    tables(
      [service('one', { forwarding: 'nat' }), service('two', { port: 81, pool: 'other' })],
      [pool('web', [member(1), member(2)]), pool('other', [member(7)])],
    );
  new Programmer(kernel, options).program(wanted());
  const lookup = Uint32Array.from(kernel.lookup);
  kernel.writes.length = 0;
  const again = new Programmer(kernel, options);
  const report = again.program(wanted());
  assert.equal(report, {
    servicesWritten: 0,
    servicesRemoved: 0,
    membersWritten: 0,
    slotsWritten: 0,
  });
  assert.equal(kernel.writes, []);
  assert.equal(kernel.lookup, lookup);
});

test('a restart repairs what differs', () => {
  const kernel = new FakeKernel();
  const web = pool('web', [member(1), member(2)]);
  const one = service('one');
  new Programmer(kernel, options).program(tables([one], [web]));
  kernel.lookup.fill(0, 10 * SLOT_WORDS, 20 * SLOT_WORDS);
  kernel.memberBytes[memberLayout.size + memberLayout.offsetOf('mac')] = 0xee;
  const report = new Programmer(kernel, options).program(tables([one], [web]));
  assert.is(report.slotsWritten, 10);
  assert.is(report.membersWritten, 1);
  assert.equal(resolve(kernel, one), expected(web));
});

test('a restart removes services and members that are no longer wanted', () => {
  const kernel = new FakeKernel();
  new Programmer(kernel, options).program(
    tables(
      [service('one'), service('two', { address: '10.0.0.90', pool: 'other' })],
      [pool('web', [member(1)]), pool('other', [member(7)])],
    ),
  );
  const report = new Programmer(kernel, options).program(
    tables([service('one')], [pool('web', [member(1)])]),
  );
  assert.is(report.servicesRemoved, 1);
  assert.is(kernel.services.entries().length, 1);
  assert.is(kernel.addresses.entries().length, 1);
});

test('a row that changes hands gets another generation and fresh counters', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const one = service('one');
  programmer.program(tables([one], [pool('web', [member(1)])]));
  const row = programmer.memberRow('web', '10.0.0.1:8080')!;
  const first = programmer.members.generation(row);
  programmer.program(tables([one], [pool('web', [member(2)])]));
  programmer.program(tables([one], [pool('web', [member(2), member(3)])]));
  assert.is(programmer.memberRow('web', '10.0.0.3:8080'), row, 'the free row is used again');
  assert.ok(programmer.members.generation(row) > first, 'the generation must grow');
  assert.ok(kernel.resets.includes(`member ${row}`), 'counters of the former owner must go');
});

test('a member keeps its row through drain, death, weight and order', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const one = service('one');
  programmer.program(tables([one], [pool('web', [member(1), member(2)])]));
  const row = programmer.memberRow('web', '10.0.0.2:8080')!;
  const generation = programmer.members.generation(row);
  for (const change of [
    { state: 'draining' as const },
    { state: 'down' as const },
    { weight: 9 },
  ]) {
    programmer.program(tables([one], [pool('web', [member(2, change), member(1)])]));
    assert.is(programmer.memberRow('web', '10.0.0.2:8080'), row);
    assert.is(programmer.members.generation(row), generation);
  }
});

test('flows that had an entry each are looked for when the hash alone comes to decide', () => {
  for (const before of [
    { pool: { choice: 'cursor' } },
    { service: { persistence: { prefix: 32, seconds: 60 } } },
  ] as const) {
    const kernel = new FakeKernel();
    const programmer = new Programmer(kernel, options);
    const web = pool('web', [member(1), member(2)]);
    const shop = service('shop');
    const first = [
      { ...shop, ...('service' in before ? before.service : {}) },
      { ...web, ...('pool' in before ? before.pool : {}) },
    ] as const;
    programmer.program(tables([first[0]], [first[1]]));
    assert.is(programmer.contested(), 0, 'each flow has an entry that is looked at anyway');
    programmer.program(tables([shop], [web]));
    assert.is(programmer.contested(), SLOTS, 'packets of every slot look for an entry');
    programmer.dropContests(60_000);
    assert.is(programmer.contested(), SLOTS, 'until it is known that none differs');
    programmer.dropContests(-1);
    assert.is(programmer.contested(), 0);
  }
});

test('a service that goes by the hash from the start looks for no entries', () => {
  const programmer = new Programmer(new FakeKernel(), options);
  programmer.program(tables([service('shop')], [pool('web', [member(1), member(2)])]));
  assert.is(programmer.contested(), 0);
});

test('a pool without a serving member has empty slots, and comes back', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const one = service('one');
  const up = pool('web', [member(1)]);
  programmer.program(tables([one], [up]));
  programmer.program(tables([one], [pool('web', [member(1, { state: 'down' })])]));
  assert.equal(resolve(kernel, one), new Array<string>(SLOTS).fill('nobody'));
  programmer.program(tables([one], [up]));
  assert.equal(resolve(kernel, one), expected(up));
});

test('a member without a next hop is down for the kernel, whatever its state says', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  programmer.program(tables([service('one')], [pool('web', [member(1, { nextHop: null })])]));
  const row = programmer.memberRow('web', '10.0.0.1:8080')!;
  assert.is(
    memberLayout.decode(kernel.memberBytes, row * memberLayout.size).state,
    MEMBER_STATE.down,
  );
});

test('lookup tables that grow move elsewhere and free their place', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const one = service('one');
  programmer.program(tables([one], [pool('web', [member(1)])]));
  const used = programmer.chunksUsed;
  const grown = pool('web', [member(1), member(2)], 1021);
  programmer.program(tables([one], [grown]));
  assert.equal(resolve(kernel, one), expected(grown));
  programmer.program(tables([one], [pool('web', [member(1)])]));
  assert.is(programmer.chunksUsed, used, 'chunks must not leak');
  programmer.program(tables([], []));
  assert.is(programmer.chunksUsed, 0);
});

for (const table of ['members', 'services', 'addresses', 'reply_sources', 'settings']) {
  test(`when the kernel refuses a write to ${table}, the next attempt completes it`, () => {
    const kernel = new FakeKernel();
    const programmer = new Programmer(kernel, options);
    const first = service('one', { forwarding: 'nat' });
    const second = service('two', { address: '10.0.0.90', forwarding: 'nat', pool: 'other' });
    if (table !== 'settings') {
      programmer.program(tables([first], [pool('web', [member(1)])]));
    }
    const web = pool('web', [member(1), member(2)], 1021);
    const other = pool('other', [member(7), member(8)]);
    const wanted = tables([first, second], [web, other]);
    kernel.failNext = table;
    assert.throws(() => programmer.program(wanted), /refused/);
    programmer.program(wanted);
    assert.equal(resolve(kernel, first), expected(web));
    assert.equal(resolve(kernel, second), expected(other));
    assert.is(kernel.replySources.entries().length, 4);
    programmer.program(tables([], []));
    assert.is(programmer.chunksUsed, 0, 'chunks must not leak through a failure');
    assert.is(programmer.members.used, 0, 'rows must not leak through a failure');
    assert.is(kernel.replySources.entries().length, 0);
  });
}

test('too many services, members or lookup chunks are refused before anything changes', () => {
  const small = new FakeKernel({ services: 2, members: 3, replySources: 2 }, 33);
  const programmer = new Programmer(small, options);
  const refuses = (wanted: L4Tables): void => {
    small.writes.length = 0;
    assert.throws(
      () => programmer.program(wanted),
      (error: unknown) => error instanceof CapacityError,
    );
    assert.equal(small.writes, []);
  };
  refuses(tables([service('one'), service('two', { port: 81 })], [pool('web', [member(1)])]));
  refuses(tables([service('one')], [pool('web', [member(1), member(2), member(3)])]));
  refuses(tables([service('one')], [pool('web', [member(1)], 1021)]));
  refuses(
    tables(
      [service('one', { forwarding: 'nat' })],
      [pool('web', [member(1, { port: 0 }), member(2), member(3)])],
    ),
  );
  programmer.program(tables([service('one')], [pool('web', [member(1)])]));
});

test('what does not fit beside what is there is refused, and goes in two steps', () => {
  const small = new FakeKernel({ services: 3, members: 4, replySources: 9 }, 64);
  const programmer = new Programmer(small, options);
  const one = [service('one')];
  programmer.program(tables(one, [pool('web', [member(1), member(2)])]));
  const swap = tables(one, [pool('web', [member(3), member(4)])]);
  assert.throws(() => programmer.program(swap), /side by side|smaller steps/);
  programmer.program(tables(one, [pool('web', [member(1), member(3)])]));
  programmer.program(swap);
  assert.equal(resolve(small, one[0]!), expected(swap.pools.get('web')!));
});

test('a batch that stopped half-way leaves nothing behind when the change is taken back', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const web = pool('web', [member(1)]);
  const before = tables([service('one')], [web]);
  programmer.program(before);
  const services = [1, 2, 3, 4].map((n) => service(`more-${n}`, { port: 8000 + n }));
  kernel.failNext = 'services';
  assert.throws(() => programmer.program(tables([service('one'), ...services], [web])), /refused/);
  programmer.program(before);
  assert.is(kernel.services.entries().length, 1, 'half of the batch must not stay');
  assert.is(programmer.services.used, 1, 'rows must not leak');
});

test('the reply look-up is on while there is a nat service', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const web = pool('web', [member(1)]);
  const nat = (): number => settings.decode(kernel.settings.readAll()).nat_services;
  programmer.program(tables([service('one')], [web]));
  assert.is(nat(), 0);
  programmer.program(tables([service('one', { forwarding: 'nat' })], [web]));
  assert.is(nat(), 1);
  assert.is(settings.decode(kernel.settings.readAll()).hash_seed, 7);
  programmer.program(tables([service('one')], [web]));
  assert.is(nat(), 0);
  assert.is(kernel.replySources.entries().length, 0);
});

test.run();
