/** Protection by difference: order of writes, sets of lists in the trie, adoption after a restart. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parsePrefixKey } from '../../../appliance/config/prefix-key.js';
import { buildAccessSet, type AccessSet } from '../../../appliance/control/access-sets.js';
import {
  NO_UNIT,
  type L4Pool,
  type L4Service,
  type L4ServiceProtection,
  type L4Tables,
} from '../../../appliance/control/tables.js';
import {
  accessKey,
  PROTECT,
  protection,
  service as serviceLayout,
  serviceKey,
} from '../../../appliance/l4/layouts.js';
import { CapacityError, Programmer } from '../../../appliance/l4/programmer.js';
import { FakeKernel } from './fake-kernel.js';

const test = suite('protection rows');
const options = { eventsPerSecond: 100, hashSeed: 7 };
const open: L4ServiceProtection = {
  access: null,
  rate: null,
  connections: 0,
  client: null,
  members: false,
};

const POOL: L4Pool = {
  name: 'web',
  members: [],
  choice: 'cursor',
  lookup: new Uint32Array(0),
  whenDown: 'drop',
  onMemberDown: 'rehash',
};

function denying(name: string, ...prefixes: string[]): AccessSet {
  const keys = prefixes.map((text) => {
    const key = parsePrefixKey(text);
    if (!key.ok) throw new Error(key.message);
    return key.value;
  });
  return buildAccessSet({ name, allow: [], deny: [keys], temporary: [] });
}

function tablesOf(...protections: L4ServiceProtection[]): L4Tables {
  const services = protections.map((_one, index): L4Service => ({
    name: `s${index}`,
    address: '10.0.0.80',
    port: 80 + index,
    protocol: 'tcp',
    forwarding: 'dsr',
    persistence: null,
    mss: 0,
    quic: false,
    synCookies: 'off',
    guePort: 0,
    pool: 'web',
  }));
  return {
    unit: NO_UNIT,
    services: new Map(services.map((one) => [one.name, one])),
    pools: new Map([['web', POOL]]),
    protection: {
      services: new Map(protections.map((one, index) => [`s${index}`, one])),
      members: new Map(),
    },
  };
}

/** The protection row of the service at this port, and its flags, as a packet would see them. */
function seen(kernel: FakeKernel, port: number) {
  const key = serviceKey.encode({ address: '10.0.0.80', port, protocol: 6 });
  const entry = kernel.services.entries().find((one) => Buffer.compare(one.key, key) === 0);
  if (entry === undefined) throw new Error(`no service at port ${port}`);
  const { id, protect } = serviceLayout.decode(entry.value);
  return { protect, ...protection.decode(kernel.protection.readAll(), id * protection.size) };
}

function prefixesOf(kernel: FakeKernel, set: number): number {
  return kernel.access.entries().filter(({ key }) => accessKey.decode(key).set === set).length;
}

test('entries and rows are written before the service says that it is protected', () => {
  const kernel = new FakeKernel();
  new Programmer(kernel, options).program(
    tablesOf({ ...open, access: denying('a', '192.0.2.0/24') }),
  );
  const order = ['access', 'protection', 'services'].map((name) => kernel.writes.indexOf(name));
  assert.ok(order.every((at) => at >= 0));
  assert.equal(
    [...order].sort((a, b) => a - b),
    order,
    kernel.writes.join(' '),
  );
  const { protect, access_set: set } = seen(kernel, 80);
  assert.is(protect, PROTECT.access);
  assert.is(prefixesOf(kernel, set), 3, 'one prefix, and what holds for all others');
});

test('the flag goes before the entries do', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  programmer.program(tablesOf({ ...open, access: denying('a', '192.0.2.0/24') }));
  kernel.writes.length = 0;
  programmer.program(tablesOf(open));
  assert.is(seen(kernel, 80).protect, 0);
  assert.is(kernel.access.entries().length, 0);
  assert.ok(kernel.writes.indexOf('services') < kernel.writes.indexOf('access remove'));
});

test('services with the same lists share a set; a change writes only what differs', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const shared = denying('a', '192.0.2.0/24', '198.51.100.0/24');
  programmer.program(tablesOf({ ...open, access: shared }, { ...open, access: shared }));
  assert.is(seen(kernel, 80).access_set, seen(kernel, 81).access_set);
  assert.is(kernel.access.entries().length, 4);
  const changed = denying('a', '192.0.2.0/24', '203.0.113.0/24');
  kernel.writes.length = 0;
  programmer.program(tablesOf({ ...open, access: changed }, { ...open, access: changed }));
  assert.equal(
    kernel.writes.filter((name) => name.startsWith('access')),
    ['access', 'access remove'],
  );
});

test('a restarted daemon finds its set again and writes nothing', () => {
  const kernel = new FakeKernel();
  const tables = tablesOf(open, {
    ...open,
    access: denying('a', '192.0.2.0/24'),
    rate: { costNs: 5n, burstNs: 10n },
  });
  new Programmer(kernel, options).program(tables);
  const before = seen(kernel, 81);
  kernel.writes.length = 0;
  new Programmer(kernel, options).program(tables);
  assert.equal(seen(kernel, 81), before);
  assert.equal(
    kernel.writes.filter((name) => /access|protection|due/.test(name)),
    [],
  );
});

test('what an earlier run left and nobody wants goes', () => {
  const kernel = new FakeKernel();
  new Programmer(kernel, options).program(tablesOf({ ...open, access: denying('a', '192.0.2.1') }));
  new Programmer(kernel, options).program(tablesOf(open));
  assert.is(kernel.access.entries().length, 0);
});

test('a kernel that refuses half of a list gets the rest at the next attempt', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const tables = tablesOf({ ...open, access: denying('a', '192.0.2.0/24', '198.51.100.0/24') });
  kernel.failNext = 'access';
  assert.throws(() => programmer.program(tables), /access refused/);
  programmer.program(tables);
  assert.is(prefixesOf(kernel, seen(kernel, 80).access_set), 4);
});

test('a bucket is emptied when its rate changes, and only then', () => {
  const kernel = new FakeKernel();
  const programmer = new Programmer(kernel, options);
  const resets = (wanted: L4ServiceProtection): number => {
    kernel.writes.length = 0;
    programmer.program(tablesOf(wanted));
    return kernel.writes.filter((name) => name === 'service_due').length;
  };
  const rate = { costNs: 5n, burstNs: 10n };
  assert.is(resets({ ...open, rate }), 1);
  assert.is(resets({ ...open, rate, connections: 7 }), 0);
  assert.is(resets({ ...open, rate: { ...rate, costNs: 6n } }), 1);
});

test('the flood guard takes ten seconds to fill the flow table', () => {
  const kernel = new FakeKernel({ flows: 100_000 });
  new Programmer(kernel, options).program(tablesOf({ ...open, rate: 'auto' }));
  const { protect, service } = seen(kernel, 80);
  assert.is(protect, PROTECT.service);
  assert.equal(service, { cost_ns: 100_000n, burst_ns: 625_000_000n });
});

test('lists that do not fit are refused before anything is changed', () => {
  const kernel = new FakeKernel({ access: 3 });
  const programmer = new Programmer(kernel, options);
  assert.throws(
    () => programmer.program(tablesOf({ ...open, access: denying('a', '192.0.2.1', '192.0.2.2') })),
    (error: unknown) => error instanceof CapacityError && /access lists/.test(error.message),
  );
  assert.equal(kernel.writes, []);
});

test.run();
