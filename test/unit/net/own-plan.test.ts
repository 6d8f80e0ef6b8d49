/** The difference between the unit's network as it is and as it is wanted. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readAddress } from '../../../appliance/config/address-codec.js';
import { networkSchema, type UnitNetworkIntent } from '../../../appliance/config/network.js';
import { planNetwork, type NetworkState } from '../../../appliance/net/own/plan.js';
import {
  decodeOwnRoute,
  encodeOwnRoute,
  OWN_ADDRESS,
  OWN_ROUTE,
  type OwnLink,
  type OwnRouteRow,
} from '../../../appliance/net/own/wire.js';
import type { InterfaceAddress } from '../../../appliance/net/wire.js';

const plan = suite('plan of the unit’s network');

function link(index: number, name: string, more: Partial<OwnLink> = {}): OwnLink {
  return {
    ...{ index, name, mac: new Uint8Array(6), mtu: 1500, up: true, running: true },
    ...{ loopback: false, ethernet: true, kind: '', master: 0, vlan: null, bond: null },
    ...{ ours: false, bondState: null, counters: null },
    ...more,
  };
}

function address(interfaceIndex: number, text: string, origin: number): InterfaceAddress {
  const [host = '', bits] = text.split('/');
  const { bytes, family } = readAddress(host)!;
  return { interfaceIndex, address: host, bytes, family, prefixLength: Number(bits), origin };
}

function route(
  to: string,
  via: string,
  origin: number,
  more: Partial<OwnRouteRow> = {},
): OwnRouteRow {
  const family = via.includes(':') ? 6 : 4;
  return { family, to, via, interfaceIndex: 2, metric: family === 6 ? 1024 : 0, origin, ...more };
}

const wanted = (value: object): UnitNetworkIntent => networkSchema.parse(value);

/** What would be done, each step as a short sentence. */
function steps(intent: UnitNetworkIntent | null, state: Partial<NetworkState>): string[] {
  const whole = { links: [link(2, 'eth0')], addresses: [], routes: [], ...state };
  return planNetwork(intent, whole).steps.map((step) => {
    const what =
      'route' in step
        ? `${step.route.to} ${step.route.via?.text ?? ''}`
        : 'address' in step
          ? `${step.name} ${step.address.text}/${step.prefixLength}`
          : step.name;
    return `${step.do} ${what}`;
  });
}

function problems(intent: UnitNetworkIntent, state: Partial<NetworkState>): string[] {
  const whole = { links: [link(2, 'eth0')], addresses: [], routes: [], ...state };
  return planNetwork(intent, whole).problems.map(({ message }) => message);
}

plan('addresses come before those go that are ours and no longer wanted; others stay', () => {
  const intent = wanted({ interfaces: { eth0: { addresses: ['10.0.0.2/24', '2001:db8::2/64'] } } });
  const addresses = [
    address(2, '10.0.0.1/24', OWN_ADDRESS),
    address(2, '10.0.0.9/24', 0),
    address(2, '2001:db8::2/64', OWN_ADDRESS),
  ];
  assert.equal(steps(intent, { addresses }), [
    'address eth0 10.0.0.2/24',
    'no-address eth0 10.0.0.1/24',
  ]);
});

plan('what is there already is taken as it is, whoever made it', () => {
  const intent = wanted({
    interfaces: { eth0: { addresses: ['10.0.0.2/24'], mtu: 1500 } },
    routes: [{ to: 'default', via: '10.0.0.1' }],
  });
  const state = {
    addresses: [address(2, '10.0.0.2/24', 0)],
    routes: [route('default', '10.0.0.1', 16)],
  };
  assert.equal(steps(intent, state), []);
  assert.equal(problems(intent, state), []);
});

plan('an IPv6 address of ours gets another length by going first', () => {
  const intent = wanted({ interfaces: { eth0: { addresses: ['2001:db8::2/56'] } } });
  const addresses = [address(2, '2001:db8::2/64', OWN_ADDRESS)];
  assert.equal(steps(intent, { addresses }), [
    'no-address eth0 2001:db8::2/64',
    'address eth0 2001:db8::2/56',
  ]);
  const foreign = [address(2, '2001:db8::2/64', 0)];
  assert.equal(steps(intent, { addresses: foreign }), []);
  assert.match(
    problems(intent, { addresses: foreign })[0] ?? '',
    /length \/64, which Weir did not give/,
  );
});

plan('a route of ours changes its router in one step; one of others is a problem', () => {
  const intent = wanted({
    interfaces: { eth0: { addresses: ['10.0.0.2/24'] } },
    routes: [{ to: 'default', via: '10.0.0.254' }],
  });
  const addresses = [address(2, '10.0.0.2/24', OWN_ADDRESS)];
  const ours = [
    route('default', '10.0.0.1', OWN_ROUTE),
    route('10.9.0.0/16', '10.0.0.1', OWN_ROUTE),
  ];
  assert.equal(steps(intent, { addresses, routes: ours }), [
    'replace-route default 10.0.0.254',
    'no-route 10.9.0.0/16 10.0.0.1',
  ]);
  const others = { addresses, routes: [route('default', '10.0.0.1', 16)] };
  assert.equal(steps(intent, others), []);
  assert.match(problems(intent, others)[0] ?? '', /a route to default already by 10.0.0.1 on eth0/);
});

plan('a default route of each family is one of its own', () => {
  const intent = wanted({
    interfaces: { eth0: { addresses: ['10.0.0.2/24', '2001:db8::2/64'] } },
    routes: [
      { to: 'default', via: '10.0.0.1' },
      { to: 'default', via: '2001:db8::1' },
    ],
  });
  const addresses = [address(2, '10.0.0.2/24', 0), address(2, '2001:db8::2/64', 0)];
  const routes = [route('default', '2001:db8::1', OWN_ROUTE)];
  assert.equal(steps(intent, { addresses, routes }), ['route default 10.0.0.1']);
});

plan('bonds and VLANs are made from below, and what was made goes when nothing names it', () => {
  const intent = wanted({
    interfaces: {
      bond0: { bond: { members: ['eth0', 'eth1'], mode: '802.3ad' } },
      'bond0.5': { vlan: { link: 'bond0', id: 5 } },
    },
  });
  const links = [link(2, 'eth0'), link(3, 'eth1')];
  assert.equal(steps(intent, { links }), ['make bond0']);
  assert.equal(problems(intent, { links }), ['bond0.5 waits for bond0, which is not there']);
  const bondState = { mode: 4, monitor: 100, hashPolicy: 0, lacpRate: 0, primary: 0 };
  const bond = link(4, 'bond0', { kind: 'bond', ours: true, bondState, up: false });
  assert.equal(steps(intent, { links: [...links, bond] }), [
    'join eth0',
    'join eth1',
    'up bond0',
    'make bond0.5',
  ]);
  const vlan = link(5, 'bond0.5', {
    kind: 'vlan',
    ours: true,
    vlan: { parent: 4, id: 5, protocol: 0x8100 },
  });
  const ports = links.map((one) => ({ ...one, master: 4 }));
  const whole = [...ports, { ...bond, up: true }, vlan];
  assert.equal(steps(intent, { links: whole }), []);
  assert.equal(steps(wanted({}), { links: whole }), ['unmake bond0.5', 'unmake bond0']);
  const less = wanted({ interfaces: { bond0: { bond: { members: ['eth0'], mode: '802.3ad' } } } });
  assert.equal(steps(less, { links: whole }), ['leave eth1', 'unmake bond0.5']);
});

plan('links that others made are neither removed nor made another kind', () => {
  const vlan = link(5, 'v', { kind: 'vlan', vlan: { parent: 2, id: 7, protocol: 0x8100 } });
  const links = [link(2, 'eth0'), vlan];
  assert.equal(steps(wanted({}), { links }), []);
  assert.equal(
    steps(wanted({ interfaces: { v: { vlan: { link: 'eth0', id: 7 } } } }), { links }),
    [],
  );
  const other = wanted({ interfaces: { v: { vlan: { link: 'eth0', id: 8 } } } });
  assert.equal(steps(other, { links }), []);
  assert.match(problems(other, { links })[0] ?? '', /v is there already, another vlan/);
});

plan('a VLAN of another id is made anew; interfaces that are missing are named', () => {
  const vlan = link(5, 'v', {
    kind: 'vlan',
    ours: true,
    vlan: { parent: 2, id: 7, protocol: 0x8100 },
  });
  const intent = wanted({ interfaces: { v: { vlan: { link: 'eth0', id: 8 } } } });
  assert.equal(steps(intent, { links: [link(2, 'eth0'), vlan] }), ['unmake v', 'make v']);
  assert.equal(
    problems(wanted({ interfaces: { eth7: {}, b: { vlan: { link: 'eth8', id: 1 } } } }), {}),
    ['interface eth7 does not exist', 'eth8, which b is a VLAN of, does not exist'],
  );
});

plan('the way to the unit moves before the old one goes', () => {
  const vlan = link(5, 'old', {
    kind: 'vlan',
    ours: true,
    vlan: { parent: 2, id: 7, protocol: 0x8100 },
  });
  const state = {
    links: [link(2, 'eth0'), vlan],
    addresses: [address(5, '10.0.0.1/24', OWN_ADDRESS)],
    routes: [route('default', '10.0.0.254', OWN_ROUTE, { interfaceIndex: 5 })],
  };
  const flat = wanted({
    interfaces: { eth0: { addresses: ['10.0.0.1/24'] } },
    routes: [{ to: 'default', via: '10.0.0.254' }],
  });
  assert.equal(steps(flat, state), [
    'address eth0 10.0.0.1/24',
    'replace-route default 10.0.0.254',
    'no-address old 10.0.0.1/24',
    'unmake old',
  ]);
  // Its tag is taken until it is gone, so there is nothing to put the address on before.
  const renamed = wanted({
    interfaces: { fresh: { vlan: { link: 'eth0', id: 7 }, addresses: ['10.0.0.1/24'] } },
  });
  assert.equal(steps(renamed, state), ['unmake old', 'make fresh']);
});

plan('a link that is made anew gets its addresses once it is there', () => {
  const old = link(5, 'v', {
    kind: 'vlan',
    ours: true,
    vlan: { parent: 2, id: 7, protocol: 0x8100 },
  });
  const intent = wanted({
    interfaces: { v: { vlan: { link: 'eth0', id: 8 }, addresses: ['10.0.0.2/24'] }, eth0: {} },
  });
  const links = [link(2, 'eth0', { up: false }), old];
  const addresses = [address(5, '10.0.0.1/24', OWN_ADDRESS)];
  assert.equal(steps(intent, { links, addresses }), ['unmake v', 'up eth0', 'make v']);
  const made = link(6, 'v', { ...old, index: 6, up: false });
  const now = { ...made, vlan: { parent: 2, id: 8, protocol: 0x8100 } };
  assert.equal(steps(intent, { links: [link(2, 'eth0'), now] }), ['up v', 'address v 10.0.0.2/24']);
});

plan('without a network only what carries the mark goes', () => {
  const addresses = [address(2, '10.0.0.1/24', OWN_ADDRESS), address(2, '10.0.0.9/24', 3)];
  const routes = [route('10.9.0.0/16', '10.0.0.1', OWN_ROUTE), route('default', '10.0.0.1', 4)];
  assert.equal(steps(null, { addresses, routes }), [
    'no-route 10.9.0.0/16 10.0.0.1',
    'no-address eth0 10.0.0.1/24',
  ]);
});

plan('a route survives the way to bytes and back', () => {
  const via = readAddress('2001:db8::1');
  const destination = readAddress('2001:db8:1::')!.bytes;
  const bytes = encodeOwnRoute({
    ...{ family: 6, to: '2001:db8:1::/48', destination, prefixLength: 48 },
    ...{ via, interfaceIndex: 9, metric: 7 },
  });
  assert.equal(decodeOwnRoute(bytes), {
    ...{ family: 6, to: '2001:db8:1::/48', via: '2001:db8::1' },
    ...{ interfaceIndex: 9, metric: 7, origin: OWN_ROUTE },
  });
});

plan.run();
