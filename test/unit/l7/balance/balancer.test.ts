/** The choice of a member: shares, counts of all workers, limits, who is passed over. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hashFlow, slotOf } from '../../../../appliance/balance/flow-hash.js';
import { buildLookup, lookupSlots } from '../../../../appliance/balance/maglev.js';
import type { MemberState } from '../../../../appliance/l7/balance/members.js';
import { releaseWorker } from '../../../../appliance/l7/balance/memory.js';
import {
  BYTE_UNIT,
  decayed,
  EPOCH_BITS,
  epochsApart,
  leftOfEpoch,
  unitsInWindow,
} from '../../../../appliance/l7/balance/signals.js';
import { Balancer } from '../../../../appliance/l7/balance/balancer.js';
import type { L7Algorithm, L7Member } from '../../../../appliance/l7/tables.js';
import { memberOf, poolOf, quiet, workersOf, type PlayedWorker } from '../../../support/balance.js';
import { generator } from '../../../support/random.js';

const test = suite('l7 balancer');
const algorithms: readonly L7Algorithm[] = [
  'round-robin',
  'weighted-round-robin',
  'least-connections',
  'weighted-least-connections',
  'ip-hash',
  'maglev',
  'least-response-time',
  'least-bandwidth',
  'random',
  'custom',
];

function weighted(algorithm: L7Algorithm, weights: readonly number[], workers = 1): PlayedWorker[] {
  const members = weights.map((weight, index) => memberOf(index, { weight }));
  return workersOf(workers, poolOf(members, { algorithm }));
}

/** Requests that end at once, from the workers in any order; how many each member got. */
function shares(workers: readonly PlayedWorker[], picks: number, seed = 7): number[] {
  const random = generator(seed);
  const counts = new Array<number>(workers[0]!.states.length).fill(0);
  for (let i = 0; i < picks; i += 1) {
    const { balancer, states } = workers[random(workers.length)]!;
    const member = balancer.pick(random(2 ** 32) | 0, 0, null);
    assert.ok(member, 'somebody serves');
    counts[states.indexOf(member)]! += 1;
    member.end(0, 10, 0, false);
  }
  return counts;
}

test('a schedule gives exact shares, whichever of three workers asks', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      (weights, seed) => {
        const sum = weights.reduce((all, weight) => all + weight, 0);
        if (sum === 0) return;
        assert.equal(
          shares(weighted('weighted-round-robin', weights, 3), sum * 5, seed),
          weights.map((weight) => weight * 5),
        );
        const takers = weights.filter((weight) => weight > 0).length;
        assert.equal(
          shares(weighted('round-robin', weights, 3), takers * 5, seed),
          weights.map((weight) => (weight > 0 ? 5 : 0)),
        );
      },
    ),
    { numRuns: 60 },
  );
});

test('shares stay exact for the others while one is passed over', () => {
  const members = [3, 2, 1, 4].map((weight, index) => memberOf(index, { weight }));
  const full = { ...members[3]!, maxConnections: 1 };
  const workers = workersOf(
    2,
    poolOf([...members.slice(0, 3), full], { algorithm: 'weighted-round-robin' }),
  );
  assert.ok(workers[0]!.balancer.take(workers[0]!.states[3]!, 0));
  const seen = shares(workers, 60 * 5);
  assert.equal(
    seen.map((count) => count / 50),
    [3, 2, 1, 0],
  );
});

test('custom weights are met within a few turns over any stretch', () => {
  const weights = [1, 10, 100, 989, 3000];
  const workers = weighted('custom', weights, 3);
  const total = weights.reduce((all, weight) => all + weight, 0);
  const counts = new Array<number>(weights.length).fill(0);
  for (let i = 1; i <= 20_000; i += 1) {
    const { balancer, states } = workers[i % 3]!;
    const member = balancer.pick(0, 0, null)!;
    counts[states.indexOf(member)]! += 1;
    member.end(0, -1, 0, false);
    for (const [index, weight] of weights.entries()) {
      const off = Math.abs(counts[index]! - (i * weight) / total);
      assert.ok(off < 6, `${counts[index]} of ${i} for weight ${weight}: ${off.toFixed(1)} off`);
    }
  }
});

test('random follows the weights', () => {
  const seen = shares(weighted('random', [1, 2, 7], 2), 100_000);
  for (const [index, due] of [10_000, 20_000, 70_000].entries()) {
    assert.ok(Math.abs(seen[index]! - due) < 1000, `${seen[index]} where ${due} are due`);
  }
});

test('hashed pools use the table of layer 4', () => {
  const members = Array.from({ length: 40 }, (_, index) =>
    memberOf(index, { weight: (index % 5) + 1, takes: index !== 7 }),
  );
  const lookup = buildLookup(
    members.map(({ key, weight, takes }) => ({ key, weight, available: takes })),
    lookupSlots(members.length),
  );
  for (const algorithm of ['ip-hash', 'maglev'] as const) {
    const [{ balancer, states }] = workersOf(1, poolOf(members, { algorithm })) as [PlayedWorker];
    for (let i = 0; i < 5000; i += 1) {
      const source = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, i >> 8, i);
      const flow = { source, destination: source, sourcePort: 1, destinationPort: 2 };
      const hash = hashFlow({ ...flow, protocol: 6 }, 77, 'source-hash');
      const due = lookup[slotOf(hash, lookup.length)]!;
      for (const word of [hash, hash | 0]) {
        const member = balancer.pick(word, 0, null)!;
        assert.is(states.indexOf(member), due, `${algorithm} for hash ${hash}`);
        member.end(0, -1, 0, false);
      }
    }
  }
});

test('least connections: always one of the least busy by weight, over random histories of three workers', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      (weights, byWeight, seed) => {
        const algorithm = byWeight ? 'weighted-least-connections' : 'least-connections';
        const workers = weighted(algorithm, weights, 3);
        const random = generator(seed);
        const model = weights.map(() => 0);
        const open: { member: MemberState; index: number }[] = [];
        for (let step = 0; step < 300; step += 1) {
          if (open.length > 0 && random(5) < 2) {
            const [{ member, index }] = open.splice(random(open.length), 1) as [(typeof open)[0]];
            member.end(step, 5, 100, false);
            model[index]! -= 1;
            continue;
          }
          const { balancer, states } = workers[random(3)]!;
          const member = balancer.pick(0, step, null)!;
          const index = states.indexOf(member);
          const load = (i: number): number => (model[i]! + 1) / (byWeight ? weights[i]! : 1);
          const least = Math.min(...weights.map((_, i) => load(i)));
          assert.ok(load(index) - least < 1e-9, `${load(index)} where ${least} is the least`);
          model[index]! += 1;
          open.push({ member, index });
        }
        assert.equal(
          workers[1]!.states.map(({ active }) => active),
          model,
        );
      },
    ),
    { numRuns: 60 },
  );
});

test('least connections: equals are taken in turn', () => {
  assert.equal(shares(weighted('least-connections', [1, 1, 1, 1]), 40), [10, 10, 10, 10]);
});

test('least response time: by estimate and requests under way; a new member is no magnet', () => {
  const [{ balancer, states }] = weighted('least-response-time', [1, 1, 2]) as [PlayedWorker];
  const [fast, slow, fresh] = states as [MemberState, MemberState, MemberState];
  for (const [member, micros] of [
    [fast, 1000],
    [slow, 10_001],
  ] as const) {
    assert.ok(member.admit());
    member.end(0, micros, 0, false);
  }
  balancer.pick(0, 0, null)!.end(0, -1, 0, false); // from now on the mean of both is known: 5500.5
  const order = Array.from({ length: 13 }, () => balancer.pick(0, 0, null)!);
  const count = (member: MemberState): number => order.filter((one) => one === member).length;
  // Costs 1000, 10001 and 2750.25 times (n + 1): greedy filling of the cheapest.
  const expected = [0, 0, 0];
  for (let i = 0; i < 13; i += 1) {
    const costs = [1000, 10_001, 2750.25].map((cost, index) => cost * (expected[index]! + 1));
    expected[costs.indexOf(Math.min(...costs))]! += 1;
  }
  assert.equal([fast, slow, fresh].map(count), expected);
});

test('least response time: one slow answer counts at once and fades; failures never look fast', () => {
  const [{ balancer, states, memory }] = weighted('least-response-time', [1, 1]) as [PlayedWorker];
  const [a, b] = states as [MemberState, MemberState];
  const sample = (member: MemberState, now: number, micros: number, failed = false): void => {
    assert.ok(member.admit());
    member.end(now, micros, 0, failed);
  };
  const choice = (now: number): MemberState => {
    const member = balancer.pick(0, now, null)!;
    member.end(now, -1, 0, false);
    return member;
  };
  for (let now = 0; now < 100; now += 1) {
    sample(a, now, 1000);
    sample(b, now, 2000);
  }
  assert.is(choice(100), a);
  sample(a, 100, 50_000);
  assert.is(memory.latency[0], 50_000);
  assert.is(choice(101), b);
  for (let now = 101; now < 60_000; now += 100) sample(b, now, 2000);
  assert.is(choice(60_000), a, 'after twelve half-lives without a sample it is tried again');
  sample(a, 60_000, 1000);
  for (let i = 0; i < 5; i += 1) sample(a, 60_001, 100, true);
  assert.is(choice(60_002), b);
});

test('the table of decay follows the curve', () => {
  for (let elapsed = 0; elapsed < 80_000; elapsed += 37) {
    const due = 2 ** (-elapsed / 5000);
    assert.ok(Math.abs(decayed(elapsed) - due) < 0.011, `${decayed(elapsed)} where ${due} is due`);
  }
  assert.is(decayed(-5), 1);
  assert.is(decayed(2 ** 31 - 1), 0);
});

test('least bandwidth: by bytes in the window, of all workers', () => {
  const workers = weighted('least-bandwidth', [1, 1, 2], 2);
  const [one, two] = workers as [PlayedWorker, PlayedWorker];
  const spend = (worker: PlayedWorker, index: number, now: number, bytes: number): void => {
    worker.states[index]!.transferred(now, bytes);
  };
  const choice = (now: number): number => {
    const member = one.balancer.pick(0, now, null)!;
    member.end(now, -1, 0, false);
    return one.states.indexOf(member);
  };
  spend(one, 0, 0, 1000 * BYTE_UNIT);
  spend(two, 1, 0, 500 * BYTE_UNIT);
  spend(two, 2, 0, 900 * BYTE_UNIT);
  assert.is(choice(10), 2, '450 by weight is less than 500');
  spend(one, 2, 10, 200 * BYTE_UNIT);
  assert.is(choice(20), 1);
  spend(two, 1, 20, 2 ** 33);
  assert.is(choice(20), 2);
  spend(one, 2, 4096, 4 * 2 ** 33);
  assert.is(choice(4096), 0);
  // Two epochs later all is forgotten, so equals in turn.
  assert.is(new Set([choice(20_000), choice(20_000), choice(20_000)]).size, 3);
});

test('the window has all of the running epoch and what is left of the one before', () => {
  const [{ states, memory }] = weighted('least-bandwidth', [1]) as [PlayedWorker];
  const units = (at: number): number =>
    unitsInWindow(
      epochsApart(at >> EPOCH_BITS, memory.epochs[0]!),
      memory.transferred[0]!,
      memory.thisMark[0]!,
      memory.lastMark[0]!,
      leftOfEpoch(at),
    );
  const epoch = 1 << EPOCH_BITS;
  const begin = 2 ** 31 - 2 * epoch; // the word of time wraps in the epoch after the next
  memory.transferred[0] = memory.thisMark[0] = memory.lastMark[0] = -50;
  states[0]!.transferred(begin, 100 * BYTE_UNIT);
  assert.is(units(begin + 1000), 100);
  assert.is(units(begin + epoch + epoch / 4), 75);
  states[0]!.transferred(begin + epoch + epoch / 4, 40 * BYTE_UNIT);
  assert.is(units(begin + epoch + epoch / 2), 90);
  assert.is(units((begin + 2 * epoch + epoch / 2) | 0), 20);
  states[0]!.transferred((begin + 2 * epoch + epoch / 2) | 0, BYTE_UNIT);
  assert.is(units((begin + 2 * epoch + epoch / 2) | 0), 21);
  assert.is(units((begin + 4 * epoch) | 0), 0);
});

test('small transfers are carried on until they make a unit', () => {
  const [{ states, memory }] = weighted('least-bandwidth', [1]) as [PlayedWorker];
  for (let i = 0; i < 1000; i += 1) states[0]!.transferred(5, 7);
  assert.is(memory.transferred[0], Math.floor(7000 / BYTE_UNIT));
});

for (const algorithm of algorithms) {
  test(`${algorithm}: nobody above its limit, nobody who does not take, and the failed one last`, () => {
    const random = generator(99);
    const members = Array.from({ length: 9 }, (_, index) =>
      memberOf(index, {
        weight: index === 3 ? 0 : index + 1,
        takes: index !== 4,
        maxConnections: index === 5 ? 0 : (index % 3) + 1,
      }),
    );
    const workers = workersOf(3, poolOf(members, { algorithm }));
    const open: MemberState[] = [];
    let refused = 0;
    for (let step = 0; step < 4000; step += 1) {
      if (open.length > 0 && random(100) < 49) {
        open.splice(random(open.length), 1)[0]!.end(step, 10, 1000, false);
        continue;
      }
      const { balancer, states } = workers[random(3)]!;
      const tried = random(3) === 0 ? states[random(9)]! : null;
      const member = balancer.pick(random(2 ** 32) | 0, step, tried);
      if (member === null) {
        refused += 1;
        continue;
      }
      open.push(member);
      assert.ok(member.takes && member.weight > 0, `${member.id} takes`);
      if (member === tried) {
        const others = states.filter((one) => one !== tried && one.takes && one.weight > 0);
        assert.ok(others.every((one) => one.active === one.maxConnections && one.active > 0));
      }
      const most = member.maxConnections;
      assert.ok(most === 0 || member.active <= most, `${member.active} of ${most}`);
    }
    assert.is(refused, 0, 'member 5 always has room');
    // Whoever failed at the only one that has room gets it again.
    const first = workers[0]!;
    const last = first.states[5]!;
    for (let i = 0; i < 400; i += 1) first.balancer.pick(Math.imul(i, 0x9e3779b1), 0, null);
    for (const state of first.states) while (state !== last && state.admit());
    assert.is(first.balancer.pick(1, 0, last), last);
  });

  test(`${algorithm}: full is told from down`, () => {
    const members = [0, 1].map((index) => memberOf(index, { maxConnections: 1 }));
    const [{ balancer }] = workersOf(1, poolOf(members, { algorithm })) as [PlayedWorker];
    const one = balancer.pick(1, 0, null)!;
    assert.ok(balancer.pick(1, 0, null));
    assert.is(balancer.pick(1, 0, null), null);
    assert.ok(balancer.full);
    one.end(0, 1, 1, false);
    assert.is(balancer.pick(1, 0, null), one);
    const down = members.map((member) => ({ ...member, takes: false, state: 'down' as const }));
    const [other] = workersOf(1, poolOf(down, { algorithm })) as [PlayedWorker];
    assert.is(other.balancer.pick(1, 0, null), null);
    assert.not(other.balancer.full);
  });
}

test('the next snapshot knows its members again, and makes its tables of what it says', () => {
  const members = [1, 2, 3].map((weight, index) => memberOf(index, { weight }));
  const algorithm = 'weighted-round-robin';
  const [first] = workersOf(1, poolOf(members, { algorithm })) as [PlayedWorker];
  const port = { ...members[2]!, port: 81 };
  const next = (list: readonly L7Member[]): PlayedWorker => {
    const states = list.map((member, row) => first.members.of(member, member.port, row));
    const balancer = new Balancer(poolOf(list, { algorithm }), states, {
      memory: first.memory,
      row: 0,
      seed: 1,
      ejections: quiet,
      previous: first.balancer,
    });
    return { ...first, states, balancer };
  };
  const same = next(members);
  assert.equal(first.members.retire(), []);
  assert.ok(same.states.every((state, index) => state === first.states[index]));
  assert.equal(shares([same], 60), [10, 20, 30]);
  const other = next([{ ...members[0]!, weight: 7 }, { ...members[1]!, takes: false }, port]);
  assert.equal(
    first.members.retire().map(({ id }) => id),
    [members[2]!.id],
    'another port is another member',
  );
  assert.is(other.states[0], first.states[0]);
  assert.equal([...other.states[2]!.address.subarray(0, 8)], [2, 0, 0, 81, 10, 0, 0, 2]);
  assert.equal(shares([other], 100), [70, 0, 30]);
});

test('what a dead worker had under way is taken off, also when it died between two steps', () => {
  const members = [0, 1, 2].map((index) => memberOf(index));
  for (const step of ['whole', 'counted', 'owned', 'taken'] as const) {
    const workers = workersOf(3, poolOf(members));
    for (const { balancer } of workers) for (let i = 0; i < 7; i += 1) balancer.pick(0, 0, null);
    const [dead, a, b] = workers.map(({ memory }) => memory) as [
      PlayedWorker['memory'],
      PlayedWorker['memory'],
      PlayedWorker['memory'],
    ];
    if (step !== 'whole') dead.journal[0] = 2;
    if (step === 'counted') dead.counts[1]! += 1;
    if (step === 'owned') dead.own[1]! += 0;
    if (step === 'taken') dead.counts[1]! -= 1;
    releaseWorker(dead, [a, b]);
    assert.equal(
      [...a.counts.subarray(0, 3)],
      [0, 1, 2].map((row) => a.own[row]! + b.own[row]!),
      step,
    );
    assert.is(dead.journal[0], 0);
    assert.ok(dead.own.every((count) => count === 0));
  }
});

test.run();
