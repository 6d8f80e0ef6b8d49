/** The pure decisions: next hops, interfaces, service addresses, when to ask for a neighbour. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatAddress, readAddress } from '../../../appliance/config/address-codec.js';
import { chooseInterfaces, connectedInterface, LinkTable } from '../../../appliance/net/links.js';
import { NeighbourCare, neighbourKey } from '../../../appliance/net/neighbours.js';
import { nextHopOf, routeRefusal, viaOf } from '../../../appliance/net/next-hop.js';
import { ADDRESS_ORIGIN, planServiceAddresses } from '../../../appliance/net/service-addresses.js';
import type { InterfaceAddress, Link, Neighbour, Route } from '../../../appliance/net/wire.js';

function link(index: number, more: Partial<Link> = {}): Link {
  return {
    index,
    name: `eth${index}`,
    mac: Uint8Array.of(2, 0, 0, 0, 0, index),
    mtu: 1500,
    up: true,
    running: true,
    loopback: false,
    ethernet: true,
    kind: '',
    master: 0,
    vlan: null,
    bond: null,
    ...more,
  };
}

function links(...list: Link[]): LinkTable {
  const table = new LinkTable();
  table.replace(list);
  return table;
}

function held(interfaceIndex: number, prefix: string, origin = 0): InterfaceAddress {
  const [text = '', length = ''] = prefix.split('/');
  const parsed = readAddress(text);
  if (parsed === null) throw new Error(`${text} is test data`);
  return {
    interfaceIndex,
    ...parsed,
    address: formatAddress(parsed.bytes),
    prefixLength: Number(length),
    origin,
  };
}

function route(more: Partial<Route> = {}): Route {
  return {
    family: 4,
    type: 1,
    destination: null,
    prefixLength: 0,
    interfaceIndex: 1,
    gateway: null,
    cloned: false,
    dead: false,
    ...more,
  };
}

const loopback = link(1, { name: 'lo', loopback: true, ethernet: false, mac: new Uint8Array(6) });

const ways: readonly (readonly [string, Parameters<typeof viaOf>[1], Link | undefined, unknown])[] =
  [
    ['on the link', route(), link(1), { interfaceIndex: 1, address: '10.0.0.9' }],
    [
      'by a router',
      route({ gateway: '10.0.0.254' }),
      link(1),
      { interfaceIndex: 1, address: '10.0.0.254' },
    ],
    [
      'no route',
      routeRefusal('10.0.0.9', 'ENETUNREACH'),
      link(1),
      { unresolved: 'no route to 10.0.0.9' },
    ],
    [
      'own address',
      route({ type: 2 }),
      loopback,
      { unresolved: '10.0.0.9 is an address of this unit itself' },
    ],
    [
      'multicast',
      route({ type: 5 }),
      link(1),
      { unresolved: "10.0.0.9 is no single machine's address (broadcast or multicast)" },
    ],
    [
      'interface gone',
      route(),
      undefined,
      { unresolved: 'the interface towards 10.0.0.9 went away' },
    ],
    [
      'interface down',
      route(),
      link(1, { up: false, running: false }),
      { unresolved: 'interface eth1 towards 10.0.0.9 is down' },
    ],
    [
      'no carrier',
      route(),
      link(1, { running: false }),
      { unresolved: 'interface eth1 towards 10.0.0.9 has no carrier' },
    ],
    [
      'a tunnel',
      route(),
      link(1, { ethernet: false }),
      { unresolved: 'interface eth1 towards 10.0.0.9 is no Ethernet interface' },
    ],
  ];

for (const [what, answer, out, expected] of ways) {
  test(`the way to a member: ${what}`, () => {
    assert.equal(
      viaOf('10.0.0.9', answer, () => out),
      expected,
    );
  });
}

const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
const fresh = { failures: 0, refusal: null };
const header = {
  interfaceIndex: 1,
  interfaceName: 'eth1',
  vlan: [],
  mtu: link(1).mtu,
  mac,
  sourceMac: link(1).mac,
};

for (const [state, known, resolution, expected] of [
  ['reachable', mac, fresh, header],
  ['stale', mac, fresh, header],
  ['delay', mac, fresh, header],
  ['probe', mac, fresh, header],
  ['permanent', mac, fresh, header],
  ['incomplete', null, fresh, 'no MAC address known for 10.0.0.9 (asking by ARP)'],
  [
    'incomplete',
    null,
    { failures: 1, refusal: null },
    'no MAC address known for 10.0.0.9 (no answer to ARP)',
  ],
  ['failed', mac, fresh, 'no MAC address known for 10.0.0.9 (no answer to ARP)'],
  [
    'none',
    null,
    { failures: 1, refusal: 'x' },
    'no MAC address known for 10.0.0.9 (the kernel refuses to ask: x)',
  ],
] as const) {
  test(`a neighbour that is ${state}, ${resolution.failures} failures`, () => {
    const neighbour: Neighbour = { interfaceIndex: 1, address: '10.0.0.9', state, mac: known };
    const result = nextHopOf(
      '10.0.0.9',
      { interfaceIndex: 1, address: '10.0.0.9' },
      link(1),
      { device: link(1), vlan: [] },
      neighbour,
      resolution,
    );
    assert.equal(result, typeof expected === 'string' ? { unresolved: expected } : expected);
  });
}

test('the text names the router when it is the router that is silent', () => {
  const via = { interfaceIndex: 1, address: 'fd00::fe' };
  const carrier = { device: link(1), vlan: [] };
  const silent = { failures: 2, refusal: null };
  assert.equal(nextHopOf('fd01::9', via, link(1), carrier, undefined, silent), {
    unresolved:
      'no MAC address known for fd00::fe, the router towards fd01::9 (no answer to neighbour solicitation)',
  });
});

test('the connected interface: longest prefix, no loopback, no single addresses, same family', () => {
  const table = links(loopback, link(2), link(3), link(4));
  const addresses = [
    held(1, '10.0.0.1/8'),
    held(2, '10.0.0.1/16'),
    held(3, '10.0.0.2/24'),
    held(4, '10.0.0.80/32'),
    held(4, 'fd00::1/64'),
  ];
  assert.is(connectedInterface('10.0.0.80', table, addresses), 3);
  assert.is(connectedInterface('10.0.9.80', table, addresses), 2);
  assert.is(connectedInterface('10.9.9.80', table, addresses), null);
  assert.is(connectedInterface('fd00::80', table, addresses), 4);
});

test('interfaces by name, in that order, and the missing ones', () => {
  const choice = chooseInterfaces({
    names: ['eth3', 'eth9', 'eth2'],
    links: links(link(2), link(3)),
    addresses: [],
    serviceAddresses: [],
    towardsMembers: [],
  });
  assert.equal(
    choice.interfaces.map(({ name }) => name),
    ['eth3', 'eth2'],
  );
  assert.equal(choice.problems, [
    { subject: 'eth9', message: 'interface eth9 of unit.interfaces does not exist' },
  ]);
});

test('interfaces without names: those of services and members, never the loopback', () => {
  const choice = chooseInterfaces({
    names: [],
    links: links(loopback, link(2), link(3), link(4)),
    addresses: [held(3, '10.0.0.1/24')],
    serviceAddresses: ['10.0.0.80', '192.0.2.1'],
    towardsMembers: [1, 2],
  });
  assert.equal(
    choice.interfaces.map(({ name }) => name),
    ['eth2', 'eth3'],
  );
});

const table = links(link(2), link(3));
const plans: readonly {
  readonly what: string;
  readonly wanted: readonly string[];
  readonly has: readonly InterfaceAddress[];
  readonly fastPath?: readonly Link[];
  readonly expected: string;
}[] = [
  {
    what: 'added where its prefix is',
    wanted: ['10.0.0.80'],
    has: [held(3, '10.0.0.1/24')],
    expected: 'add 10.0.0.80@3',
  },
  {
    what: 'else on the first interface',
    wanted: ['192.0.2.1'],
    has: [],
    fastPath: [link(2)],
    expected: 'add 192.0.2.1@2',
  },
  {
    what: 'already there',
    wanted: ['10.0.0.80'],
    has: [held(3, '10.0.0.1/24'), held(3, '10.0.0.80/32', ADDRESS_ORIGIN)],
    expected: 'present 10.0.0.80',
  },
  {
    what: 'somebody else’s',
    wanted: ['10.0.0.1'],
    has: [held(3, '10.0.0.1/24')],
    expected: 'present 10.0.0.1',
  },
  {
    what: 'ours and no longer wanted',
    wanted: [],
    has: [held(3, '10.0.0.1/24'), held(3, '10.0.0.80/32', ADDRESS_ORIGIN)],
    expected: 'remove 10.0.0.80@3',
  },
  {
    what: 'moved to where its prefix is now',
    wanted: ['10.0.0.80'],
    has: [held(2, '10.0.0.1/24'), held(3, '10.0.0.80/32', ADDRESS_ORIGIN)],
    expected: 'add 10.0.0.80@2, remove 10.0.0.80@3',
  },
  {
    what: 'stays while there is no better place',
    wanted: ['10.0.0.80'],
    has: [held(3, '10.0.0.80/32', ADDRESS_ORIGIN)],
    expected: 'present 10.0.0.80',
  },
  {
    what: 'our own prefix connects to nothing',
    wanted: ['10.0.0.81'],
    has: [held(3, '10.0.0.80/24', ADDRESS_ORIGIN)],
    expected: 'remove 10.0.0.80@3, problem 10.0.0.81',
  },
  {
    what: 'two spellings are one address',
    wanted: ['fd00::80', 'FD00:0::80'],
    has: [held(3, 'fd00::1/64')],
    expected: 'add fd00::80@3',
  },
];

for (const { what, wanted, has, fastPath, expected } of plans) {
  test(`service addresses: ${what}`, () => {
    const plan = planServiceAddresses({
      wanted,
      links: table,
      addresses: has,
      fastPath: fastPath ?? [],
    });
    const seen = [
      ...plan.add.map(({ text, interfaceIndex }) => `add ${text}@${interfaceIndex}`),
      ...plan.remove.map(({ text, interfaceIndex }) => `remove ${text}@${interfaceIndex}`),
      ...plan.present.map((text) => `present ${text}`),
      ...plan.problems.map(({ subject }) => `problem ${subject}`),
    ];
    assert.is(seen.join(', '), expected);
  });
}

const via = { interfaceIndex: 1, address: '10.0.0.9' };
const key = neighbourKey(via);

function care(state: Neighbour['state'] | undefined): NeighbourCare {
  const created = new NeighbourCare();
  created.want(new Map([[key, via]]), () => state, 0);
  return created;
}

for (const [state, asks] of [
  [undefined, true],
  ['none', true],
  ['stale', true],
  ['failed', true],
  ['incomplete', false],
  ['reachable', false],
  ['delay', false],
  ['probe', false],
  ['permanent', false],
] as const) {
  test(`a newly wanted neighbour that is ${state ?? 'unknown'} is ${asks ? '' : 'not '}asked for`, () => {
    assert.is(care(state).takeDue(0).length, asks ? 1 : 0);
  });
}

test('a silent neighbour is asked again after 1, 2, 4, 5, 5 s', () => {
  const silent = care(undefined);
  silent.takeDue(0);
  let now = 0;
  const pauses = Array.from({ length: 5 }, () => {
    now += 3000;
    silent.observe(key, 'failed', now);
    const due = silent.nextDue() ?? -1;
    const pause = due - now;
    now = due;
    assert.is(silent.takeDue(now - 1).length, 0);
    assert.is(silent.takeDue(now).length, 1);
    return pause;
  });
  assert.equal(pauses, [1000, 2000, 4000, 5000, 5000]);
  silent.observe(key, 'reachable', now);
  assert.is(silent.nextDue(), null);
  assert.is(silent.resolution(key).failures, 0);
});

test('a flapping neighbour is not asked for more than once a second', () => {
  const flapping = care('stale');
  assert.is(flapping.takeDue(0).length, 1);
  flapping.observe(key, undefined, 10);
  assert.is(flapping.nextDue(), 1000);
});

test('what nobody wants any more is not asked for', () => {
  const dropped = care('stale');
  dropped.want(new Map(), () => undefined, 0);
  assert.is(dropped.nextDue(), null);
  assert.not(dropped.observe(key, 'failed', 1));
});

test.run();
