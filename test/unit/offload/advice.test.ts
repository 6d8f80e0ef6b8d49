/** What an interface has beside what its profile wants, and the command between them. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { adviseHardware, type Situation } from '../../../appliance/offload/advice.js';
import { whyMatched } from '../../../appliance/offload/examine.js';
import type { Examination } from '../../../appliance/offload/hardware.js';
import { matchProfile } from '../../../appliance/offload/profiles.js';
import type { Feature } from '../../../native/ffi/ethtool.js';

const on: Feature = { on: true, changeable: true };
const fixed: Feature = { on: true, changeable: false };
const off: Feature = { on: false, changeable: true };
const byPorts = { addresses: true, ports: true };
const byAddresses = { addresses: true, ports: false };
const nothing = { addresses: false, ports: false };

/** An interface that says nothing but its driver. */
function silent(driver: string): Examination {
  return {
    interfaceName: 'eth0',
    driver,
    version: '',
    firmware: '',
    bus: '',
    channels: null,
    rings: null,
    speed: null,
    features: null,
    hashes: { tcp4: null, udp4: null, tcp6: null, udp6: null },
  };
}

/** Combined queues: so many of so many. */
function combined(now: number, most: number): NonNullable<Examination['channels']> {
  return { combined: now, maxCombined: most, rx: 0, maxRx: 0, tx: 0, maxTx: 0 };
}

const situation: Situation = { mtu: 1500, cpus: 4, vlan: false };

const cases: readonly (readonly [
  what: string,
  driver: string,
  seen: Partial<Examination>,
  around: Partial<Situation>,
  subject: string,
  expected: readonly string[],
])[] = [
  ['an MTU that fits', 'ixgbe', {}, { mtu: 3050 }, 'mtu', ['ok 3050 -> at most 3050']],
  [
    'an MTU that does not',
    'ixgbe',
    {},
    { mtu: 9000 },
    'mtu',
    ['change 9000 -> at most 3050 $ ip link set dev eth0 mtu 3050'],
  ],
  ['no bound known', 'e1000', {}, { mtu: 9000 }, 'mtu', []],
  [
    'a queue for each CPU',
    'ice',
    { channels: combined(4, 64) },
    {},
    'queues',
    ['ok 4 combined of 64 -> 4 combined'],
  ],
  [
    'more queues than CPUs do no harm',
    'ice',
    { channels: combined(64, 64) },
    {},
    'queues',
    ['ok 64 combined of 64 -> 4 combined'],
  ],
  [
    'fewer queues than CPUs',
    'ice',
    { channels: combined(1, 64) },
    {},
    'queues',
    ['change 1 combined of 64 -> 4 combined $ ethtool -L eth0 combined 4'],
  ],
  [
    'the card has fewer than that',
    'igb',
    { channels: combined(2, 2) },
    {},
    'queues',
    ['ok 2 combined of 2 -> 2 combined'],
  ],
  [
    'ena: more than half of the channels',
    'ena',
    { channels: combined(4, 4) },
    {},
    'queues',
    ['change 4 combined of 4 -> at most 2 combined $ ethtool -L eth0 combined 2'],
  ],
  [
    'ena: half of the channels',
    'ena',
    { channels: combined(2, 4) },
    {},
    'queues',
    ['ok 2 combined of 4 -> 2 combined'],
  ],
  [
    'ena: one channel stays one',
    'ena',
    { channels: combined(1, 1) },
    {},
    'queues',
    ['ok 1 combined of 1 -> 1 combined'],
  ],
  [
    'bnxt_en: separate channels',
    'bnxt_en',
    { channels: { combined: 0, maxCombined: 37, rx: 8, maxRx: 74, tx: 8, maxTx: 74 } },
    {},
    'queues',
    ['change 8 receive and 8 transmit of 74 -> 4 combined $ ethtool -L eth0 rx 0 tx 0 combined 4'],
  ],
  [
    'separate channels where they may be',
    'e1000',
    { channels: { combined: 0, maxCombined: 0, rx: 1, maxRx: 8, tx: 1, maxTx: 8 } },
    {},
    'queues',
    ['change 1 receive and 1 transmit of 8 -> 4 receive $ ethtool -L eth0 rx 4'],
  ],
  [
    'mlx5_core: CPUs without a channel lose packets',
    'mlx5_core',
    { channels: combined(2, 2) },
    {},
    'queues',
    ['ok 2 combined of 2 -> 2 combined', 'change 2 queues, 4 CPUs -> 4 queues'],
  ],
  [
    'virtio_net: no spare queues',
    'virtio_net',
    { channels: combined(4, 4) },
    {},
    'queues',
    ['ok 4 combined of 4 -> 4 combined', 'change 0 spare -> 4 spare'],
  ],
  [
    'virtio_net: twice as many pairs as CPUs',
    'virtio_net',
    { channels: combined(4, 8) },
    {},
    'queues',
    ['ok 4 combined of 8 -> 4 combined'],
  ],
  [
    'queues that the driver does not tell',
    'ice',
    {},
    {},
    'queues',
    ['unknown the driver does not say -> one per CPU'],
  ],
  ['queues of a veth', 'veth', { channels: combined(1, 1) }, {}, 'queues', []],
  [
    'short rings',
    'igb',
    { rings: { rx: 256, maxRx: 4096, tx: 256, maxTx: 4096 } },
    {},
    'rings',
    ['change 256 for receiving of 4096 -> 1024 for receiving $ ethtool -G eth0 rx 1024'],
  ],
  [
    'rings as long as they can be',
    'igb',
    { rings: { rx: 512, maxRx: 512, tx: 512, maxTx: 512 } },
    {},
    'rings',
    ['ok 512 for receiving of 512 -> 512 for receiving'],
  ],
  [
    'UDP by addresses only',
    'ixgbe',
    {
      channels: combined(4, 63),
      hashes: { tcp4: byPorts, udp4: byAddresses, tcp6: byPorts, udp6: byAddresses },
    },
    {},
    'rss',
    [
      'change tcp4 by ports, udp4 by addresses, tcp6 by ports, udp6 by addresses -> addresses and ports $ ethtool -N eth0 rx-flow-hash udp4 sdfn && ethtool -N eth0 rx-flow-hash udp6 sdfn',
    ],
  ],
  [
    'all by ports',
    'ixgbe',
    {
      channels: combined(4, 63),
      hashes: { tcp4: byPorts, udp4: byPorts, tcp6: byPorts, udp6: null },
    },
    {},
    'rss',
    ['ok addresses and ports -> addresses and ports'],
  ],
  [
    'a hash that cannot be set',
    'virtio_net',
    {
      channels: combined(4, 8),
      hashes: { tcp4: nothing, udp4: nothing, tcp6: nothing, udp6: nothing },
    },
    {},
    'rss',
    ['unknown the driver does not say -> addresses and ports'],
  ],
  ['one queue needs no hash', 'igb', { channels: combined(1, 8) }, {}, 'rss', []],
  [
    'LRO that is on',
    'ixgbe',
    { features: new Map([['rx-lro', on]]) },
    {},
    'large-receive-offload',
    ['change on -> off $ ethtool -K eth0 rx-lro off'],
  ],
  [
    'LRO that is off',
    'ixgbe',
    { features: new Map([['rx-lro', off]]) },
    {},
    'large-receive-offload',
    ['ok off -> off'],
  ],
  [
    'merging that only the host can end',
    'virtio_net',
    { features: new Map([['rx-gro-hw', fixed]]) },
    {},
    'rx-gro-hw',
    ['change on, fixed -> off'],
  ],
  [
    'tags are of no concern without VLANs',
    'i40e',
    { features: new Map([['rx-vlan-hw-parse', on]]) },
    {},
    'rx-vlan-offload',
    [],
  ],
  [
    'tags must stay in the frame with VLANs',
    'i40e',
    { features: new Map([['rx-vlan-hw-parse', on]]) },
    { vlan: true },
    'rx-vlan-offload',
    ['change on -> off $ ethtool -K eth0 rx-vlan-hw-parse off'],
  ],
  [
    'the other end of a veth',
    'veth',
    {},
    {},
    "peer's tx-checksumming",
    ['unknown not seen from here -> off $ ethtool -K PEER tx off'],
  ],
];

for (const [what, driver, seen, around, subject, expected] of cases) {
  test(`${driver}: ${what}`, () => {
    const checks = adviseHardware(
      matchProfile({ driver }),
      { ...silent(driver), ...seen },
      { ...situation, ...around },
    );
    const words = checks
      .filter((check) => check.subject === subject)
      .map(
        ({ state, now, wanted, command }) =>
          `${state} ${now} -> ${wanted}${command === null ? '' : ` $ ${command}`}`,
      );
    assert.equal(words, expected);
  });
}

test('every check gives a reason', () => {
  for (const driver of ['veth', 'virtio_net', 'ena', 'bnxt_en', 'nfp', 'mlx5_core', '']) {
    for (const { subject, why } of adviseHardware(matchProfile({ driver }), silent(driver), {
      ...situation,
      vlan: true,
    })) {
      assert.match(why, /\.$|\)$/, `${driver} ${subject}: expected a sentence`);
    }
  }
});

test('why a profile was taken', () => {
  const why = (driver: string): string => whyMatched(matchProfile({ driver }), driver);
  assert.is(why('ice'), 'the driver says that it is ice');
  assert.is(why('e1000'), 'no profile is for the driver e1000');
  assert.is(why(''), 'the device has no driver that says its name');
});

test.run();
