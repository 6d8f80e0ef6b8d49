/** Which device the program must be on, and the tags that frames carry there. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bondOf, carrierOf } from '../../../appliance/net/carriers.js';
import { chooseInterfaces, LinkTable } from '../../../appliance/net/links.js';
import { nextHopOf, sameNextHop } from '../../../appliance/net/next-hop.js';
import type { Link } from '../../../appliance/net/wire.js';

function link(index: number, name: string, more: Partial<Link> = {}): Link {
  return {
    index,
    name,
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

function vlan(index: number, name: string, parent: number | null, id: number): Link {
  return link(index, name, { kind: 'vlan', vlan: { parent, id, protocol: 0x8100 } });
}

const eth0 = link(2, 'eth0');
const tagged = vlan(3, 'eth0.100', 2, 100);
const twice = vlan(4, 'eth0.100.7', 3, 7);
const thrice = vlan(5, 'too-deep', 4, 9);
const orphan = vlan(6, 'orphan', null, 5);
const bond0 = link(7, 'bond0', { kind: 'bond', bond: { mode: 4, hashPolicy: 1 } });
const eth1 = link(8, 'eth1', { master: 7 });
const eth2 = link(9, 'eth2', { master: 7 });
const onBond = vlan(10, 'bond0.200', 7, 200);
const bridge = link(11, 'br0', { kind: 'bridge' });
const bridged = link(12, 'eth3', { master: 11 });

const table = new LinkTable();
table.replace([
  eth0,
  tagged,
  twice,
  thrice,
  orphan,
  bond0,
  eth1,
  eth2,
  onBond,
  bridge,
  bridged,
  link(1, 'lo', { loopback: true, ethernet: false }),
]);

for (const [what, from, device, tags] of [
  ['an ordinary interface carries itself', eth0, eth0, []],
  ['a VLAN device is carried by the device below', tagged, eth0, [100]],
  ['of two tags the lower device’s is outside', twice, eth0, [100, 7]],
  ['a bond carries itself', bond0, bond0, []],
  ['a port of a bond is carried by the bond', eth1, bond0, []],
  ['a VLAN on a bond', onBond, bond0, [200]],
  ['a port of a bridge carries itself', bridged, bridged, []],
] as const) {
  test(what, () => {
    const carrier = carrierOf(from, (index) => table.get(index));
    assert.equal(carrier, { device, vlan: tags });
  });
}

for (const [what, from, sentence] of [
  ['three tags', thrice, /^interface too-deep stacks more than 2 VLAN tags/],
  ['a parent in another namespace', orphan, /^the interface below the VLAN orphan is not in/],
] as const) {
  test(`no carrier: ${what}`, () => {
    const carrier = carrierOf(from, (index) => table.get(index));
    assert.match('unresolved' in carrier ? carrier.unresolved : 'a carrier', sentence);
  });
}

test('a VLAN of itself, which no kernel makes, ends too', () => {
  const loop = vlan(3, 'loop', 3, 1);
  assert.ok('unresolved' in carrierOf(loop, () => loop));
});

test('named VLAN devices and ports of a bond choose what carries them, once', () => {
  const choice = chooseInterfaces({
    names: ['eth2', 'eth0.100', 'bond0.200', 'eth0', 'orphan', 'eth1'],
    links: table,
    addresses: [],
    serviceAddresses: [],
    towardsMembers: [],
  });
  assert.equal(
    choice.interfaces.map(({ name }) => name),
    ['bond0', 'eth0'],
  );
  assert.equal(
    choice.problems.map(({ subject }) => subject),
    ['orphan'],
  );
});

test('without names, VLAN devices towards members and services choose what carries them', () => {
  const choice = chooseInterfaces({
    names: [],
    links: table,
    addresses: [
      {
        interfaceIndex: 10,
        address: '10.0.0.1',
        bytes: Uint8Array.of(10, 0, 0, 1),
        family: 4,
        prefixLength: 24,
        origin: 0,
      },
    ],
    serviceAddresses: ['10.0.0.80'],
    towardsMembers: [3, 4],
  });
  assert.equal(
    choice.interfaces.map(({ name }) => name),
    ['eth0', 'bond0'],
  );
  assert.equal(choice.problems, []);
});

test('a next hop names the carrier and the tags, and the VLAN device’s own MAC address', () => {
  const resolution = { failures: 0, refusal: null };
  const via = { interfaceIndex: twice.index, address: '10.0.0.9' };
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  const neighbour = { ...via, state: 'reachable', mac } as const;
  const hop = (tags: readonly number[]): ReturnType<typeof nextHopOf> =>
    nextHopOf('10.0.0.9', via, twice, { device: eth0, vlan: tags }, neighbour, resolution);
  assert.equal(hop([100, 7]), {
    interfaceIndex: 2,
    interfaceName: 'eth0',
    vlan: [100, 7],
    mac,
    mtu: twice.mtu,
    sourceMac: twice.mac,
  });
  assert.ok(sameNextHop(hop([100, 7]), hop([100, 7])));
  assert.not(sameNextHop(hop([100, 7]), hop([7, 100])), 'other tags are another next hop');
  assert.not(sameNextHop(hop([]), hop([100])));
});

test('a VLAN device that changes its tag, or a port that leaves its bond, is a change', () => {
  const changing = new LinkTable();
  changing.replace([tagged, eth1, bond0]);
  assert.not(changing.set({ ...tagged }));
  assert.ok(changing.set({ ...tagged, vlan: { parent: 2, id: 101, protocol: 0x8100 } }));
  assert.ok(changing.set({ ...eth1, master: 0 }));
  assert.ok(changing.set({ ...bond0, bond: { mode: 1, hashPolicy: 1 } }));
});

test('a bond in words, with its ports', () => {
  assert.equal(bondOf(bond0, table.all()), {
    mode: '802.3ad',
    hashPolicy: 'layer3+4',
    ports: [eth1, eth2],
  });
  assert.is(bondOf(eth0, table.all()), null);
});

test.run();
