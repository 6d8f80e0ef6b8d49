/** The compiler: what each input does to the tables, and what stays the same object. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, type CompileInput } from '../../../appliance/control/compile.js';
import type { MemberHealth } from '../../../appliance/control/compile-pools.js';
import type { L4Member, NextHop, Tables } from '../../../appliance/control/tables.js';
import { intentSchema, type Document } from '../../../appliance/config/schema.js';

const test = suite('compile');

const hop: NextHop = {
  interfaceIndex: 2,
  interfaceName: 'eth0',
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 2),
};

const document: Document = {
  version: 1,
  unit: { name: 'weir-a' },
  pools: {
    web: {
      algorithm: 'maglev',
      members: [
        { address: '10.0.1.11', port: 8080, weight: 3 },
        { address: '10.0.1.12', port: 8080, weight: 2 },
        { address: '10.0.1.13', port: 8080 },
      ],
      monitor: { type: 'http', path: '/healthz', interval: '2s', timeout: '1s', rise: 2, fall: 3 },
    },
    dns: { algorithm: 'maglev', members: [{ address: '10.0.1.31' }, { address: '10.0.1.32' }] },
    spare: { algorithm: 'maglev', members: [{ address: '10.0.1.99', port: 1 }] },
  },
  services: {
    shop: { listen: { address: '10.0.0.80', port: 80, protocol: 'tcp' }, pool: 'web' },
    names: {
      listen: { address: '10.0.0.53', port: 53, protocol: 'udp' },
      forwarding: 'dsr',
      pool: 'dns',
    },
  },
};

function input(change: Partial<CompileInput> = {}, from: Document = document): CompileInput {
  return { intent: intentSchema.parse(from), health: new Map(), nextHop: () => hop, ...change };
}

function edited(edit: (copy: Document) => void): Document {
  const copy = structuredClone(document);
  edit(copy);
  return copy;
}

function memberOf(tables: Tables, pool: string, index: number): L4Member {
  const member = tables.pools.get(pool)?.members[index];
  assert.ok(member, `pool ${pool} has no member ${index}`);
  return member;
}

test('services of the fast path carry forwarding, pool and endpoint', () => {
  const { l4, placements } = compile(input());
  assert.equal(l4.services.get('shop'), {
    name: 'shop',
    address: '10.0.0.80',
    port: 80,
    protocol: 'tcp',
    forwarding: 'nat',
    pool: 'web',
    persistence: null,
    mss: 0,
    synCookies: 'auto',
    quic: false,
    guePort: 0,
  });
  assert.is(l4.services.get('names')?.forwarding, 'dsr');
  assert.equal(
    placements.map(({ service, tier }) => [service, tier]),
    [
      ['shop', 'xdp'],
      ['names', 'xdp'],
    ],
  );
});

test('a pool that no service uses is compiled but stays out of the fast path', () => {
  const { pools, l4, net } = compile(input());
  assert.ok(pools.has('spare'));
  assert.not(l4.pools.has('spare'));
  assert.not(net.memberAddresses.includes('10.0.1.99'));
});

const states: {
  readonly name: string;
  readonly state?: 'enabled' | 'draining' | 'disabled';
  readonly health?: MemberHealth;
  readonly unresolved?: string;
  readonly expect: readonly [L4Member['state'], string];
}[] = [
  { name: 'never probed', expect: ['serving', 'not probed yet'] },
  {
    name: 'up',
    health: { state: 'up', reason: 'status 200' },
    expect: ['serving', 'monitor passes'],
  },
  {
    name: 'down',
    health: { state: 'down', reason: 'connection refused' },
    expect: ['down', 'connection refused'],
  },
  { name: 'draining', state: 'draining', expect: ['draining', 'draining'] },
  {
    name: 'draining and down',
    state: 'draining',
    health: { state: 'down', reason: 'x' },
    expect: ['down', 'x'],
  },
  {
    name: 'disabled',
    state: 'disabled',
    health: { state: 'up', reason: '' },
    expect: ['down', 'disabled'],
  },
  {
    name: 'not to be probed by this unit',
    health: { state: 'unknown', reason: 'x', blind: 'cannot probe from 10.0.0.9' },
    expect: ['serving', 'cannot probe from 10.0.0.9'],
  },
  {
    name: 'up, and cannot be probed any more',
    health: { state: 'up', reason: 'x', blind: 'cannot probe from 10.0.0.9' },
    expect: ['serving', 'cannot probe from 10.0.0.9'],
  },
  {
    name: 'up, and its agent drains',
    health: {
      state: 'up',
      reason: 'agent says drain',
      agent: { state: 'drain', weightPercent: 50, cpuPercent: undefined },
    },
    expect: ['draining', 'agent says drain'],
  },
  {
    name: 'up, and its agent wants no weight',
    health: {
      state: 'up',
      reason: 'agent says up 0%',
      agent: { state: 'up', weightPercent: 0, cpuPercent: undefined },
    },
    expect: ['draining', 'agent says 0%'],
  },
  {
    name: 'down by its agent, draining or not',
    state: 'draining',
    health: {
      state: 'down',
      reason: 'agent says maint',
      agent: { state: 'maint', weightPercent: undefined, cpuPercent: undefined },
    },
    expect: ['down', 'agent says maint'],
  },
  {
    name: 'no MAC address',
    unresolved: 'no MAC address known',
    expect: ['down', 'no MAC address known'],
  },
  {
    name: 'up, no MAC address',
    health: { state: 'up', reason: '' },
    unresolved: 'none',
    expect: ['down', 'none'],
  },
];

for (const { name, state, health, unresolved, expect } of states) {
  test(`a member that is ${name}: ${expect.join(', ')}`, () => {
    const from = edited((copy) => {
      if (state !== undefined) copy.pools!['web']!.members[0]!.state = state;
    });
    const tables = compile(
      input(
        {
          health: new Map(health === undefined ? [] : [['web/10.0.1.11:8080', health]]),
          nextHop: (address) =>
            unresolved !== undefined && address === '10.0.1.11' ? { unresolved } : hop,
        },
        from,
      ),
    );
    const member = memberOf(tables, 'web', 0);
    assert.equal([member.state, member.reason], expect);
    const inLookup = tables.pools.get('web')!.lookup.includes(0);
    assert.is(inLookup, expect[0] === 'serving', 'only a serving member takes new flows');
  });
}

test('monitors probe the member, on its own port or that of the service', () => {
  const from = edited((copy) => {
    copy.pools!['dns']!.monitor = { type: 'tcp' };
  });
  const { monitors } = compile(input({}, from));
  assert.is(monitors.get('web/10.0.1.11:8080')?.port, 8080);
  assert.is(monitors.get('dns/10.0.1.31')?.port, 53);
  assert.is(monitors.get('web/10.0.1.11:8080')?.settings.interval, 2000);
});

test('a disabled member is not probed', () => {
  const from = edited((copy) => {
    copy.pools!['web']!.members[1]!.state = 'disabled';
  });
  const { monitors } = compile(input({}, from));
  assert.not(monitors.has('web/10.0.1.12:8080'));
  assert.ok(monitors.has('web/10.0.1.11:8080'));
});

test('compiling the same input again keeps every object', () => {
  const first = compile(input());
  const second = compile(input(), first);
  for (const [name, pool] of first.pools) assert.is(second.pools.get(name), pool);
  for (const [name, service] of first.l4.services) assert.is(second.l4.services.get(name), service);
  for (const [id, target] of first.monitors) assert.is(second.monitors.get(id), target);
  assert.is(second.net, first.net);
});

test('a change of one member replaces its pool only', () => {
  const first = compile(input());
  const health = new Map([['web/10.0.1.12:8080', { state: 'down' as const, reason: 'x' }]]);
  const second = compile(input({ health }), first);
  assert.is.not(second.pools.get('web'), first.pools.get('web'));
  assert.is(memberOf(second, 'web', 0), memberOf(first, 'web', 0));
  assert.is(second.pools.get('dns'), first.pools.get('dns'));
  const [before, after] = [first.pools.get('web')!.lookup, second.pools.get('web')!.lookup];
  for (let slot = 0; slot < before.length; slot++) {
    if (before[slot] !== 1) assert.is(after[slot], before[slot], `slot ${slot} moved without need`);
    else assert.is.not(after[slot], 1);
  }
});

test('a new reason alone leaves the lookup table as it is', () => {
  const first = compile(input());
  const health = new Map([['web/10.0.1.11:8080', { state: 'up' as const, reason: 'status 200' }]]);
  const second = compile(input({ health }), first);
  assert.is.not(second.pools.get('web'), first.pools.get('web'));
  assert.is(second.pools.get('web')!.lookup, first.pools.get('web')!.lookup);
});

test('the previous result never changes the outcome', () => {
  const other = edited((copy) => {
    copy.pools!['web']!.members.reverse();
    copy.services!['names']!.pool = 'spare';
    copy.services!['names']!.listen.port = 1;
  });
  const fresh = compile(input({}, other));
  const built = compile(input({}, other), compile(input()));
  assert.equal(built, fresh);
});

test.run();
