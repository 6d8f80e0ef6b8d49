/** From links and addresses to the ways of a unit, and from the other unit's ways to ours. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readAddress } from '../../../appliance/config/address-codec.js';
import { waysOf } from '../../../appliance/control/flow-mirroring.js';
import { MirrorWays } from '../../../appliance/l4/mirror-ways.js';
import type { InterfaceAddress, Link } from '../../../appliance/net/wire.js';

const test = suite('ways of a unit');

function link(index: number, change: Partial<Link> = {}): Link {
  return {
    ...{ index, name: `if${index}`, mac: Uint8Array.of(2, 0, 0, 0, 0, index), mtu: 1500 },
    ...{ up: true, running: true, loopback: false, ethernet: true, kind: '', master: 0 },
    ...{ vlan: null, bond: null },
    ...change,
  };
}

function on(interfaceIndex: number, text: string): InterfaceAddress {
  const [address = '', bits = ''] = text.split('/');
  const { bytes, family } = readAddress(address)!;
  return { interfaceIndex, address, bytes, family, prefixLength: Number(bits), origin: 0 };
}

/** A unit with a trunk: VLAN 7 on interface 2, and a bond 5 with the ports 3 and 4. */
const links = [
  link(1, { loopback: true }),
  link(2),
  link(3, { master: 5 }),
  link(4, { master: 5 }),
  link(5, { bond: { mode: 1, hashPolicy: 0 } }),
  link(6, { vlan: { parent: 2, id: 7, protocol: 0x8100 } }),
];
const addresses = [
  on(1, '127.0.0.1/8'),
  on(2, '10.1.2.3/24'),
  on(2, '10.1.2.53/32'),
  on(2, 'fe80::3/64'),
  on(5, '10.9.77.3/20'),
  on(6, 'fd00:7::3/64'),
];

test('networks by interface and tags, where frames are met; not single addresses', () => {
  const ways = waysOf(links, addresses).map(({ interface: index, vlan, networks }) => [
    index,
    [...vlan],
    [...networks],
  ]);
  assert.equal(ways, [
    [2, [], ['10.1.2.0/24']],
    [5, [], ['10.9.64.0/20']],
    [3, [], ['10.9.64.0/20']],
    [4, [], ['10.9.64.0/20']],
    [2, [7], ['fd00:7::/64']],
  ]);
});

test('a way of the other unit is found by its network, whatever its number and tags', () => {
  const ways = new MirrorWays();
  ways.from(() => waysOf(links, addresses));
  ways.describe();
  assert.is(ways.find(9, 0, 0), null, 'nothing is known of the other unit');
  ways.meet({
    ...{ table: 'others', natAddresses: [] },
    ways: [
      { interface: 9, vlan: [], networks: ['192.0.2.0/24', 'fd00:7::/64'] },
      { interface: 2, vlan: [30], networks: ['10.9.64.0/20'] },
      { interface: 8, vlan: [], networks: ['203.0.113.0/24'] },
    ],
  });
  assert.equal(ways.find(9, 0, 0)?.vlan, [7]);
  assert.is(ways.find(9, 0, 0)?.interface, 2);
  assert.is(ways.find(2, 30, 0)?.interface, 5, 'the bond, not one of its ports');
  assert.is(ways.find(2, 0, 0), null, 'the same number is another network there');
  assert.is(ways.find(8, 0, 0), null, 'a network that this unit is not in');
});

test.run();
