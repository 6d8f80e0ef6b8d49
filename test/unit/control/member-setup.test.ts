/** Which commands a Linux member is given, by forwarding and mix of families. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MemberSetup } from '../../../appliance/api/contract.js';
import { readAddress } from '../../../appliance/config/address-codec.js';
import { intentSchema } from '../../../appliance/config/schema.js';
import { compile } from '../../../appliance/control/compile.js';
import { memberSetup } from '../../../appliance/control/member-setup.js';
import { hop } from './stand-ins.js';

const test = suite('member setup');

function own(address: string, prefixLength: number) {
  const read = readAddress(address);
  if (read === null) throw new Error(`expected an address, seen ${address}`);
  return { address, ...read, prefixLength };
}

const OWN = [own('10.0.1.1', 24), own('10.0.0.80', 32), own('fd01::1', 64)];

type ServiceDocument = Readonly<Record<string, unknown>>;

function setupOf(
  member: string,
  services: Readonly<Record<string, ServiceDocument>>,
  addresses = OWN,
): MemberSetup {
  const intent = intentSchema.parse({
    version: 1,
    unit: { name: 'a', 'nat-addresses': ['10.0.1.2', 'fd01::2'] },
    pools: { web: { members: [{ address: member }] } },
    services,
  });
  const tables = compile({ intent, health: new Map(), nextHop: () => hop });
  const setup = memberSetup({ intent, tables, own: addresses }, { pool: 'web', member });
  if (setup === null) throw new Error(`expected a setup of ${member}`);
  return setup;
}

function one(address: string, more: ServiceDocument, protocol = 'tcp'): ServiceDocument {
  return { listen: { address, port: 80, protocol }, pool: 'web', ...more };
}

const ARP = [
  'sysctl -w net.ipv4.conf.all.arp_ignore=1',
  'sysctl -w net.ipv4.conf.all.arp_announce=2',
];
const V4 = 'ip address replace 10.0.0.80/32 dev lo';
const V6 = 'ip -6 address replace fd00::80/128 dev lo nodad preferred_lft 0';
const tunnel = { forwarding: 'tunnel' };
const gue = { forwarding: 'tunnel', tunnel: { encapsulation: 'gue', port: 6080 } };

const filters = (device: string): string[] => [
  'sysctl -w net.ipv4.conf.all.rp_filter=0',
  `sysctl -w net.ipv4.conf.${device}.rp_filter=0`,
];
const ipip = ['ip link add name weir-ipip type ipip local 10.0.1.11', 'ip link set weir-ipip up'];
const sit = ['ip link add name weir-sit type sit local 10.0.1.11', 'ip link set weir-sit up'];
const ip6 = [
  'ip link add name weir-ip6 type ip6tnl mode any local fd01::11',
  'ip link set weir-ip6 up',
];

const cases: readonly (readonly [
  what: string,
  member: string,
  service: ServiceDocument,
  commands: readonly string[],
  undone: readonly string[],
])[] = [
  [
    'dsr of IPv4',
    '10.0.1.11',
    one('10.0.0.80', { forwarding: 'dsr' }),
    [...ARP, V4],
    [
      'sysctl -w net.ipv4.conf.all.arp_ignore=0',
      'sysctl -w net.ipv4.conf.all.arp_announce=0',
      'ip address del 10.0.0.80/32 dev lo',
    ],
  ],
  [
    'dsr of IPv6',
    'fd01::11',
    one('fd00::80', { forwarding: 'dsr' }),
    [V6],
    ['ip -6 address del fd00::80/128 dev lo'],
  ],
  [
    'IPv4 in IPv4',
    '10.0.1.11',
    one('10.0.0.80', tunnel),
    [...ARP, V4, ...ipip, ...filters('weir-ipip')],
    [
      'sysctl -w net.ipv4.conf.all.arp_ignore=0',
      'sysctl -w net.ipv4.conf.all.arp_announce=0',
      'ip address del 10.0.0.80/32 dev lo',
      'ip link del weir-ipip',
    ],
  ],
  [
    'IPv6 in IPv4',
    '10.0.1.11',
    one('fd00::80', tunnel),
    [V6, ...sit],
    ['ip -6 address del fd00::80/128 dev lo', 'ip link del weir-sit'],
  ],
  [
    'IPv4 in IPv6',
    'fd01::11',
    one('10.0.0.80', tunnel),
    [...ARP, V4, ...ip6, ...filters('weir-ip6')],
    [
      'sysctl -w net.ipv4.conf.all.arp_ignore=0',
      'sysctl -w net.ipv4.conf.all.arp_announce=0',
      'ip address del 10.0.0.80/32 dev lo',
      'ip link del weir-ip6',
    ],
  ],
  [
    'IPv6 in IPv6',
    'fd01::11',
    one('fd00::80', tunnel),
    [V6, ...ip6],
    ['ip -6 address del fd00::80/128 dev lo', 'ip link del weir-ip6'],
  ],
  [
    'IPv6 in GUE over IPv4',
    '10.0.1.11',
    one('fd00::80', gue),
    [V6, ...sit, 'modprobe fou', 'ip fou add port 6080 gue'],
    ['ip -6 address del fd00::80/128 dev lo', 'ip link del weir-sit', 'ip fou del port 6080'],
  ],
  [
    'IPv6 in GUE over IPv6',
    'fd01::11',
    one('fd00::80', gue),
    [V6, ...ip6, 'modprobe fou', 'ip fou add port 6080 gue -6'],
    ['ip -6 address del fd00::80/128 dev lo', 'ip link del weir-ip6', 'ip fou del port 6080 -6'],
  ],
  [
    'nat of IPv4',
    '10.0.1.11',
    one('10.0.0.80', { forwarding: 'nat' }),
    ['ip route replace default via 10.0.1.1'],
    [],
  ],
  [
    'nat of IPv6',
    'fd01::11',
    one('fd00::80', { forwarding: 'nat' }),
    ['ip -6 route replace default via fd01::1'],
    [],
  ],
  ['full-nat', '10.0.1.11', one('10.0.0.80', { forwarding: 'full-nat' }), [], []],
];

for (const [what, member, service, commands, undone] of cases) {
  test(`${what}: these commands, and these take them back`, () => {
    const setup = setupOf(member, { shop: service });
    assert.equal(
      setup.commands.map(({ command }) => command),
      commands,
    );
    assert.equal(
      setup.commands.flatMap(({ undo }) => undo ?? []),
      undone,
    );
    for (const { why, services } of setup.commands) {
      assert.ok(why !== '', 'expected a reason');
      assert.equal(services, ['shop']);
    }
    assert.ok(setup.checks.length > 0, 'expected something to check');
  });
}

test('services that need the same share the command', () => {
  const setup = setupOf('10.0.1.11', {
    one: one('10.0.0.80', { forwarding: 'dsr' }),
    two: {
      ...one('10.0.0.80', { forwarding: 'dsr' }),
      listen: { address: '10.0.0.80', port: 81, protocol: 'udp' },
    },
  });
  assert.equal(
    setup.commands.map(({ command, services }) => [command, services]),
    [...ARP, V4].map((command) => [command, ['one', 'two']]),
  );
  assert.match(setup.checks.join('\n'), /10\.0\.0\.80:81\/udp, on the address itself/);
});

test('a tunnel takes as much as its headers from what fits', () => {
  const advice = (member: string, service: ServiceDocument): string =>
    setupOf(member, { shop: service }).checks.join('\n');
  assert.match(advice('10.0.1.11', one('10.0.0.80', tunnel)), /1480 bytes .*advmss 1440/);
  assert.match(advice('10.0.1.11', one('fd00::80', tunnel)), /1480 bytes .*advmss 1420/);
  assert.match(advice('fd01::11', one('10.0.0.80', gue)), /1452 bytes .*advmss 1412/);
  assert.match(advice('fd01::11', one('fd00::80', gue)), /UDP port 6080 from 100::\/64/);
  assert.match(
    advice('10.0.1.11', one('fd00::80', tunnel)),
    /IP protocol 41 from 198\.18\.0\.0\/15/,
  );
});

test('without an address of the unit on the network of the member, nat is a check and no command', () => {
  const setup = setupOf('10.9.1.11', { shop: one('10.0.0.80', { forwarding: 'nat' }) });
  assert.equal(setup.commands, []);
  assert.match(setup.checks[0] ?? '', /no address on the member's network/);
});

test('a pool that no service uses needs nothing, and says so', () => {
  const setup = setupOf('10.0.1.11', {});
  assert.equal([setup.services, setup.commands], [[], []]);
  assert.match(setup.checks[0] ?? '', /No service/);
});

test.run();
