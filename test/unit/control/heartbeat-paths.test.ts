/** What two daemons agree on for their speakers, over a real session: one key, the same paths. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readAddress } from '../../../appliance/config/address-codec.js';
import { HeartbeatPaths } from '../../../appliance/control/heartbeat-paths.js';
import { PAIR_FILE } from '../../../appliance/ha/pair/store.js';
import { HELD_ORIGIN } from '../../../appliance/net/service-addresses.js';
import type { InterfaceAddress, Link } from '../../../appliance/net/wire.js';
import { MachineKey } from '../../../appliance/tls/machine-key.js';
import { pairOf, type PairUnit } from '../../support/two-units.js';

const test = suite('paths of heartbeats');

const link = (index: number, name: string): Link => ({ index, name, loopback: false }) as Link;

function address(interfaceIndex: number, text: string, origin = 0): InterfaceAddress {
  const [plain = '', length = ''] = text.split('/');
  const read = readAddress(plain);
  if (read === null) throw new RangeError(text);
  return {
    ...{ address: plain, bytes: read.bytes, family: read.family, prefixLength: Number(length) },
    ...{ interfaceIndex, origin },
  };
}

class Side {
  readonly errors: unknown[] = [];
  addresses: InterfaceAddress[];
  changes = 0;
  paths: HeartbeatPaths;
  #wake: () => void = () => undefined;

  constructor(
    readonly unit: PairUnit,
    host: number,
  ) {
    this.addresses = [
      address(1, `10.0.0.${host}/24`),
      address(1, `fe80::${host}/64`),
      address(2, `10.9.9.${host}/30`),
      // A service's.
      address(1, `10.0.0.${host + 8}/24`, HELD_ORIGIN),
      address(1, '10.0.0.99/32'),
    ];
    this.paths = this.#open();
    unit.listener = (news) => {
      if (news.what === 'up') this.paths.linked();
    };
  }

  #open(): HeartbeatPaths {
    return new HeartbeatPaths({
      ...{ pair: this.unit.pair, store: this.unit.store },
      machineKey: () => MachineKey.open(this.unit.folder, false),
      network: {
        links: () => [link(1, 'eth0'), link(2, 'eth2')],
        addresses: () => this.addresses,
      },
      onChange: () => {
        this.changes += 1;
        this.#wake();
      },
      onError: (error) => this.errors.push(error),
    });
  }

  restart(): void {
    this.paths.close();
    this.unit.restart();
    this.paths = this.#open();
  }

  async until(count: number): Promise<void> {
    while ((this.paths.current?.paths.length ?? 0) !== count) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

test('both come to one key and the same paths, keep them, and forget them with the pair', async () => {
  const [unitA, unitB] = await pairOf(['127.0.0.1']);
  const [a, b] = [new Side(unitA, 1), new Side(unitB, 2)];
  try {
    await Promise.all([a.until(2), b.until(2)]);
    const [ofA, ofB] = [a.paths.current, b.paths.current];
    assert.is(ofA?.key, ofB?.key);
    assert.match(ofA?.key ?? '', /^[0-9a-f]{64}$/);
    assert.equal(
      ofA?.paths.map((path) => [path.interface, path.local, path.remote]),
      [
        ['eth0', '10.0.0.1', '10.0.0.2'],
        ['eth2', '10.9.9.1', '10.9.9.2'],
      ],
      'none by an address that moves',
    );
    assert.equal(
      ofB?.paths.map(({ local, remote }) => [local, remote]),
      ofA?.paths.map(({ local, remote }) => [remote, local]),
    );
    const key = Buffer.from(ofA?.key ?? '', 'hex');
    for (const { unit } of [a, b]) {
      const file = readFileSync(join(unit.folder, PAIR_FILE));
      assert.is(file.includes(key) || file.includes(ofA?.key ?? ''), false, 'encrypted at rest');
    }

    unitA.stop();
    b.restart();
    assert.equal(b.paths.current, ofB, 'known while the other daemon is silent');
    unitA.restart();
    a.restart();

    a.addresses = a.addresses.filter(({ interfaceIndex }) => interfaceIndex === 1);
    a.paths.networkChanged();
    await Promise.all([a.until(1), b.until(1)]);
    assert.is(b.paths.current?.key, ofA?.key, 'the key stays');

    unitA.pair.leave();
    await unitB.heard('left');
    assert.equal([a.paths.current, b.paths.current], [null, null]);
    assert.equal([unitA.store.heartbeats(), unitB.store.heartbeats()], [undefined, undefined]);
    assert.equal([...a.errors, ...b.errors, ...unitA.errors, ...unitB.errors], []);
  } finally {
    a.paths.close();
    b.paths.close();
    unitA.close();
    unitB.close();
  }
});

test.run();
