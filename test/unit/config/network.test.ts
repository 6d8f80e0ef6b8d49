/** What `unit.network` may say, and what it must have to do with the rest of the document. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseText } from '../../../appliance/config/document.js';
import { formatConfigError } from '../../../appliance/config/errors.js';
import {
  fileKeys,
  firstSliceCapabilities,
  networkKeys,
  unsupported,
} from '../../../appliance/config/support.js';
import { sharedDigest } from '../../../appliance/config/shared.js';
import type { Document } from '../../../appliance/config/schema.js';

const network = suite('the language of the unit’s network');

function said(text: string, rest = ''): string[] {
  const result = parseText(`version: 1\nunit: { name: a, network: ${text} ${rest}}\n`);
  return result.ok ? [] : result.errors.map(({ path, message }) => `${path}: ${message}`);
}

network('a whole network is taken', () => {
  const text = `{
    interfaces: {
      eth0: { addresses: [192.0.2.1/24, '2001:db8::1/64'], mtu: 1500, description: uplink },
      bond0: { bond: { members: [eth1, eth2], mode: 802.3ad, lacp-rate: fast, hash-policy: layer3+4 } },
      bond0.100: { vlan: { link: bond0, id: 100 }, addresses: [198.51.100.1/31] } },
    routes: [{ to: default, via: 192.0.2.254 }, { to: default, via: 'fe80::1', device: eth0 },
      { to: 10.0.0.0/8, via: 198.51.100.0, metric: 10 }, { to: 10.9.0.0/16, device: eth9 }],
    management: eth0, dns: { servers: [192.0.2.53], search: [shop.example] },
    ntp: { servers: [ntp.example, 192.0.2.123] } }`;
  assert.equal(
    said(text, ', time-zone: Europe/Berlin, keyboard: de-latin1, interfaces: [bond0]'),
    [],
  );
});

for (const [name, text, expected] of [
  [
    'a port that is the bond itself',
    '{ interfaces: { b: { bond: { members: [b] } } } }',
    /bond itself/,
  ],
  [
    'a port of two bonds',
    '{ interfaces: { b: { bond: { members: [e] } }, c: { bond: { members: [e] } } } }',
    /is a port of b already/,
  ],
  [
    'addresses of a port',
    '{ interfaces: { b: { bond: { members: [e] } }, e: { addresses: [10.0.0.1/8] } } }',
    /is a port of b, which has addresses/,
  ],
  [
    'VLANs in a circle',
    '{ interfaces: { v: { vlan: { link: w, id: 1 } }, w: { vlan: { link: v, id: 2 } } } }',
    /leads back to this VLAN/,
  ],
  [
    'the same VLAN twice',
    '{ interfaces: { v: { vlan: { link: e, id: 1 } }, w: { vlan: { link: e, id: 1 } } } }',
    /is that of v on e already/,
  ],
  [
    'an address on two interfaces',
    '{ interfaces: { e: { addresses: [10.0.0.1/8] }, f: { addresses: [10.0.0.1/24] } } }',
    /10.0.0.1 is on e already/,
  ],
  [
    'a network instead of an address',
    '{ interfaces: { e: { addresses: [10.0.0.0/8] } } }',
    /is the network itself/,
  ],
  [
    'a broadcast address',
    '{ interfaces: { e: { addresses: [10.0.0.255/24] } } }',
    /is the broadcast address/,
  ],
  [
    'a router that is in no network',
    '{ interfaces: { e: { addresses: [10.0.0.1/24] } }, routes: [{ to: default, via: 10.0.1.1 }] }',
    /10.0.1.1 is in no network/,
  ],
  [
    'a router that is the unit itself',
    '{ interfaces: { e: { addresses: [10.0.0.1/24] } }, routes: [{ to: default, via: 10.0.0.1 }] }',
    /unit's own address/,
  ],
  [
    'a default route without a router',
    '{ routes: [{ to: default, device: e }] }',
    /needs a router/,
  ],
  [
    'a destination with host bits',
    '{ routes: [{ to: 10.0.0.1/8, device: e }] }',
    /has host bits set/,
  ],
  [
    'a router of the other family',
    '{ routes: [{ to: 10.0.0.0/8, via: "2001:db8::1", device: e }] }',
    /another family/,
  ],
  [
    'LACP without 802.3ad',
    '{ interfaces: { b: { bond: { members: [e], lacp-rate: fast } } } }',
    /means nothing with mode/,
  ],
  [
    'IPv6 over short packets',
    '{ interfaces: { e: { mtu: 1000, addresses: ["2001:db8::1/64"] } } }',
    /IPv6 needs/,
  ],
] as const) {
  network(`${name} is refused`, () => {
    const errors = said(text);
    assert.is(errors.length, 1, errors.join('\n'));
    assert.match(errors[0] ?? '', expected);
  });
}

network(
  'the management interface carries no services, and no service has the unit’s own address',
  () => {
    assert.match(
      said('{ management: e }', ', interfaces: [e]')[0] ?? '',
      /carries no service traffic/,
    );
    const text = `version: 1
unit: { name: a, network: { interfaces: { e: { addresses: [10.0.0.1/8] } } } }
pools: { web: { members: [{ address: 10.0.0.2 }] } }
services: { shop: { listen: { address: 10.0.0.1, port: 80, protocol: tcp }, forwarding: nat, pool: web } }
`;
    const result = parseText(text);
    assert.not.ok(result.ok);
    if (!result.ok)
      assert.match(
        result.errors[0]?.message ?? '',
        /10.0.0.1 is the address of the service "shop"/,
      );
  },
);

network('zones and layouts that are none are refused', () => {
  assert.match(said('{}', ', time-zone: Europe/Bärlin')[0] ?? '', /is no time zone/);
  assert.match(said('{}', ', time-zone: ../../etc/shadow')[0] ?? '', /is no time zone/);
  assert.match(said('{}', ', keyboard: "de; reboot"')[0] ?? '', /is no keyboard layout/);
});

network('it is of this unit alone: what a pair shares does not hold it', () => {
  const without: Document = { version: 1, unit: { name: 'a' } };
  const unit = { name: 'b', network: { management: 'eth0' }, 'time-zone': 'UTC' };
  assert.is(sharedDigest(without), sharedDigest({ ...without, unit }));
});

network('a daemon whose host is not its own refuses it instead of ignoring it', () => {
  const text = [
    'version: 1',
    'unit:',
    '  name: a',
    '  time-zone: UTC',
    '  keyboard: de',
    '  network:',
    '    interfaces: { eth0: { addresses: [10.0.0.2/24] } }',
    '    routes: [{ to: default, via: 10.0.0.1 }]',
    '    dns: { servers: [10.0.0.53] }',
    '    ntp: { servers: [10.0.0.123] }',
    '',
  ].join('\n');
  const result = parseText(text);
  if (!result.ok) throw new Error(result.errors[0]?.message);
  const refused = (host: typeof firstSliceCapabilities.host): string[] =>
    unsupported(result.intent, { ...firstSliceCapabilities, host }).map(formatConfigError);
  assert.equal(refused([...networkKeys, ...fileKeys]), []);
  assert.equal(refused(fileKeys), [
    'unit.network.interfaces: this daemon leaves the network of its host alone: start it with --own-network, or remove this part',
    'unit.network.routes: this daemon leaves the network of its host alone: start it with --own-network, or remove this part',
  ]);
  assert.match(refused(networkKeys).join('\n'), /unit\.network\.dns: this daemon leaves the files/);
  assert.is(refused([]).length, 6);
});

network.run();
