/** The unit's network as people see it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readAddress } from '../../../appliance/config/address-codec.js';
import { networkView, readResolvers } from '../../../appliance/control/network-view.js';
import { unitSchema } from '../../../appliance/config/unit.js';
import { OWN_ADDRESS, OWN_ROUTE, type OwnLink } from '../../../appliance/net/own/wire.js';
import { ADDRESS_ORIGIN, HELD_ORIGIN } from '../../../appliance/net/service-addresses.js';

const test = suite('the network as people see it');

function link(index: number, name: string, more: Partial<OwnLink> = {}): OwnLink {
  return {
    ...{ index, name, mac: Uint8Array.of(2, 0, 0, 0, 0, index), mtu: 1500, up: true },
    ...{ running: true, loopback: false, ethernet: true, kind: '', master: 0, vlan: null },
    ...{ bond: null, ours: false, bondState: null, counters: null },
    ...more,
  };
}

test('names who set what, and which interface stands on which', () => {
  const address = (text: string, origin: number) => ({
    ...{ ...readAddress(text)!, address: text, interfaceIndex: 2, prefixLength: 24, origin },
  });
  const route = { family: 4 as const, to: 'default', via: '10.0.0.254', metric: 7 };
  const vlan = { parent: 2, id: 7, protocol: 0x8100 };
  const view = networkView({
    state: {
      links: [
        link(1, 'lo', { loopback: true }),
        link(2, 'bond0', { kind: 'bond' }),
        link(3, 'eth0', { master: 2, running: false }),
        link(4, 'v7', { kind: 'vlan', vlan }),
      ],
      addresses: [
        address('10.0.0.1', OWN_ADDRESS),
        address('10.0.0.2', ADDRESS_ORIGIN),
        address('10.0.0.3', HELD_ORIGIN),
        address('10.0.0.4', 0),
      ],
      routes: [
        { ...route, interfaceIndex: 2, origin: OWN_ROUTE },
        { ...route, interfaceIndex: 9, origin: 16 },
      ],
    },
    neighbours: [
      { interfaceIndex: 2, address: '10.0.0.9', state: 'stale', mac: new Uint8Array(6) },
      { interfaceIndex: 2, address: '10.0.0.8', state: 'failed', mac: null },
    ],
    unit: unitSchema.parse({ name: 'a', network: { management: 'bond0' } }),
    ...{ host: [], hostName: 'a', timeZone: 'UTC', clock: null, problems: [] },
    resolvers:
      'search a.example\nnameserver 10.0.0.53\n# nameserver 10.0.0.54\nsearch b.example c.example\n',
  });
  const [lo, bond, port, tagged] = view.interfaces;
  assert.equal([lo?.kind, lo?.mac, bond?.mac], ['loopback', null, '02:00:00:00:00:02']);
  assert.equal(
    bond?.addresses.map(({ by }) => by),
    ['unit', 'service', 'virtual-router', 'other'],
  );
  assert.equal([bond?.management, bond?.neighbours, port?.neighbours], [true, 1, 0]);
  assert.equal([port?.master, port?.carrier], ['bond0', false]);
  assert.equal(tagged?.vlan, { link: 'bond0', id: 7 });
  assert.equal(
    view.routes.map((row) => [row.interface, row.by]),
    [
      ['bond0', 'unit'],
      ['9', 'dhcp'],
    ],
  );
  assert.equal(view.dns, { servers: ['10.0.0.53'], search: ['b.example', 'c.example'] });
  assert.equal([view.ntp.synchronised, view.ntp.maximumErrorMs], [null, null]);
});

test('a host without resolvers has none', () => {
  assert.equal(readResolvers(''), { servers: [], search: [] });
});

test.run();
