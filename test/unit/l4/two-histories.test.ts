/**
 * Two units with one configuration place a flow at the same member without any exchange, whatever each
 * has been through before: rows, ids and sizes of tables differ, members do not.
 *
 * WEIR_SEED repeats a run.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildTable, choiceOf } from '../../../appliance/balance/choice.js';
import {
  NO_UNIT,
  type L4Member,
  type L4Pool,
  type L4Service,
  type L4Tables,
} from '../../../appliance/control/tables.js';
import { CHUNK_SLOTS, member as memberLayout } from '../../../appliance/l4/layouts.js';
import { Programmer } from '../../../appliance/l4/programmer.js';
import { SLOT_WORDS } from '../../../appliance/l4/slots.js';
import { generator } from '../../support/random.js';
import { FakeKernel } from './fake-kernel.js';

const test = suite('two units with histories of their own');
const options = { eventsPerSecond: 100, hashSeed: 7 };
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);

interface Wish {
  readonly number: number;
  readonly weight: number;
  readonly state: L4Member['state'];
}

function poolOf(name: string, wishes: readonly Wish[]): L4Pool {
  const members = wishes.map(({ number, weight, state }): L4Member => {
    const address = `10.0.1.${number}`;
    return {
      ...{ id: `${name}/${address}`, key: address, address, port: 0, weight, state },
      ...{ configuredWeight: weight, quicId: null, setting: 'enabled', reason: 'enabled' },
      nextHop: {
        ...{ interfaceIndex: 1, interfaceName: 'eth0' },
        ...{ mac: new Uint8Array(6), sourceMac: new Uint8Array(6) },
      },
    };
  });
  const lookup = buildTable(
    'maglev',
    members.map(({ key, weight, state }) => ({ key, weight, available: state === 'serving' })),
  );
  const choice = choiceOf('maglev');
  return { ...{ name, members, choice, lookup }, whenDown: 'drop', onMemberDown: 'rehash' };
}

function tables(...pools: L4Pool[]): L4Tables {
  const services = pools.map(({ name }, index): L4Service => ({
    ...{ name, address: `10.0.0.${index + 1}`, port: 80, protocol: 'tcp', forwarding: 'dsr' },
    ...{ pool: name, persistence: null, mss: 0, synCookies: 'off', quic: false, guePort: 0 },
  }));
  return {
    unit: NO_UNIT,
    services: new Map(services.map((one) => [one.name, one])),
    pools: new Map(pools.map((one) => [one.name, one])),
  };
}

class OneUnit {
  readonly kernel = new FakeKernel({}, 16_384);
  readonly programmer = new Programmer(this.kernel, options);

  apply(wanted: L4Tables): void {
    this.programmer.program(wanted);
  }

  /** The address of the member that a hash picks for a service. */
  member(name: string, wanted: L4Tables, hash: number): string {
    const service = wanted.services.get(name);
    const placed = service && this.programmer.services.adopted(service);
    if (placed === undefined) throw new Error(`${name} is not in the fast path`);
    const slot = Math.floor((hash * placed.slots) / 2 ** 32);
    const row = this.kernel.lookup[(placed.firstChunk * CHUNK_SLOTS + slot) * SLOT_WORDS]!;
    return memberLayout.decode(this.kernel.memberBytes, row * memberLayout.size).address;
  }
}

test(`the same member for each flow, seed ${seed}`, () => {
  const pick = generator(seed);
  const wish = (number: number): Wish => {
    const state = (['serving', 'serving', 'serving', 'draining', 'down'] as const)[pick(5)];
    return { number, weight: 1 + pick(5), state: state ?? 'serving' };
  };
  const random = (name: string, most: number): L4Pool =>
    poolOf(name, [
      { number: 250, weight: 1, state: 'serving' },
      ...Array.from({ length: 1 + pick(most) }, (_, index) => wish(index + 1)).filter(
        () => pick(4) > 0,
      ),
    ]);
  const [a, b, restarted] = [new OneUnit(), new OneUnit(), new OneUnit()];
  for (let round = 0; round < 12; round++) {
    // Each goes through things that the other does not.
    for (let step = pick(4); step > 0; step--) a.apply(tables(random('web', 60)));
    for (let step = pick(4); step > 0; step--) {
      b.apply(tables(random('other', 5), random('web', 9), random('third', 200)));
    }
    const wanted = tables(random('web', 40), random('api', 10));
    const fresh = new OneUnit();
    for (const unit of [a, b, fresh, restarted]) unit.apply(wanted);
    for (let flow = 0; flow < 2000; flow++) {
      const hash = pick(2 ** 31) * 2 + pick(2);
      for (const name of ['web', 'api']) {
        const expected = fresh.member(name, wanted, hash);
        assert.is(a.member(name, wanted, hash), expected, `unit A, round ${round}, hash ${hash}`);
        assert.is(b.member(name, wanted, hash), expected, `unit B, round ${round}, hash ${hash}`);
      }
    }
  }
});

test('an entry that may come is looked for, one that says what the slot says is not needed', () => {
  const unit = new OneUnit();
  const pool = poolOf(
    'web',
    [1, 2, 3].map((number) => ({ number, weight: 1, state: 'serving' })),
  );
  const wanted = tables(pool);
  unit.apply(wanted);
  const rows = pool.members.map(({ key }) => unit.programmer.members.row('web', key) ?? 0);
  const hash = 0x1234_5678;
  const home = unit.member('web', wanted, hash);
  const at = pool.members.findIndex(({ address }) => address === home);
  assert.is(unit.programmer.contested(), 0);
  assert.is(unit.programmer.expectEntry('web', hash, rows[at] ?? 0), false);
  assert.is(unit.programmer.contested(), 0);
  assert.is(unit.programmer.expectEntry('web', hash, rows[(at + 1) % 3] ?? 0), true);
  assert.is(unit.programmer.contested(), 1);
  // It stays so for a while after, as a sweep may have begun before the entry was there.
  unit.programmer.dropContests(60_000);
  assert.is(unit.programmer.contested(), 1);
  unit.programmer.dropContests(-1);
  assert.is(unit.programmer.contested(), 0);
});

test.run();
