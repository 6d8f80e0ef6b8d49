/** Computed weights: damping, floors, where they come to rest, expressions; and slow start. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  WEIGHT_MAX,
  reweigh,
  reweighBy,
  type Observed,
  type Weights,
} from '../../../appliance/balance/reweigh.js';
import { rampFactor } from '../../../appliance/balance/slow-start.js';

const test = suite('reweigh');

function member(id: string, change: Partial<Observed> = {}): Observed {
  return { id, weight: 1, connections: 0, responseTime: null, bandwidth: 0, ...change };
}

function weightsOf(weights: Weights, members: readonly Observed[]): number[] {
  return members.map(({ id }) => weights.get(id)?.weight ?? -1);
}

function sharesOf(weights: Weights, members: readonly Observed[]): number[] {
  const list = weightsOf(weights, members);
  const sum = list.reduce((all, one) => all + one, 0);
  return list.map((one) => one / sum);
}

function near(seen: number, expected: number, within: number, what: string): void {
  assert.ok(Math.abs(seen - expected) <= within, `${what}: expected ${expected}, seen ${seen}`);
}

const anyMembers = fc.uniqueArray(fc.nat(99), { minLength: 1, maxLength: 12 }).chain((ids) =>
  fc.tuple(
    ...ids.map((id) =>
      fc.record({
        id: fc.constant(`m${id}`),
        weight: fc.integer({ min: 1, max: 256 }),
        connections: fc.nat(10_000),
        responseTime: fc.option(fc.integer({ min: 1, max: 10_000_000 })),
        bandwidth: fc.double({ min: 0, max: 1e10, noNaN: true }),
      }),
    ),
  ),
);
const algorithms = fc.constantFrom('least-response-time', 'least-bandwidth');

test('nothing known: the weights of the document', () => {
  const members = [member('a', { weight: 3 }), member('b', { weight: 1 })];
  for (const algorithm of ['least-response-time', 'least-bandwidth'] as const) {
    assert.equal(weightsOf(reweigh(algorithm, new Map(), members), members), [300, 100]);
  }
});

test('weights are whole numbers in range, and the same input gives the same ones', () => {
  fc.assert(
    fc.property(
      algorithms,
      anyMembers,
      fc.integer({ min: 1, max: 30 }),
      (algorithm, members, steps) => {
        let weights: Weights = new Map();
        let again: Weights = new Map();
        for (let step = 0; step < steps; step++) {
          weights = reweigh(algorithm, weights, members);
          again = reweigh(algorithm, again, members);
        }
        for (const weight of weightsOf(weights, members)) {
          assert.ok(Number.isInteger(weight) && weight >= 1 && weight <= WEIGHT_MAX, `${weight}`);
        }
        assert.equal(weights, again);
      },
    ),
    { numRuns: 200 },
  );
});

test('a step changes the ratio of two weights by no more than what two quarters make', () => {
  fc.assert(
    fc.property(algorithms, anyMembers, anyMembers, (algorithm, first, second) => {
      const before = reweigh(algorithm, new Map(), first);
      const both = second.filter(({ id }) => first.some((one) => one.id === id));
      const after = reweigh(algorithm, before, both);
      for (const a of both) {
        for (const b of both) {
          const was = before.get(a.id)!.weight / before.get(b.id)!.weight;
          const is = after.get(a.id)!.weight / after.get(b.id)!.weight;
          // Weights are whole numbers: a half of one is what rounding adds on each side.
          const rounding = [a, b].reduce(
            (product, { id }) =>
              product * (1 + 1 / Math.min(before.get(id)!.weight, after.get(id)!.weight)),
            1,
          );
          assert.ok(is / was <= 1.25 * 1.25 * rounding, `from ${was} to ${is}`);
        }
      }
    }),
    { numRuns: 200 },
  );
});

test('a slow member falls to its floor and no further, and comes back when it recovers', () => {
  const slow = (time: number): Observed[] => [
    member('a', { responseTime: 1000 }),
    member('b', { responseTime: 1000 }),
    member('c', { responseTime: time }),
  ];
  let weights: Weights = new Map();
  for (let step = 0; step < 60; step++)
    weights = reweigh('least-response-time', weights, slow(1e7));
  const [, , least] = sharesOf(weights, slow(1e7));
  assert.ok(least! > 0.012 && least! < 0.02, `a twentieth of a third expected, seen ${least}`);
  let steps = 0;
  while (sharesOf(weights, slow(1000))[2]! < 0.28 && steps < 60) {
    weights = reweigh('least-response-time', weights, slow(1000));
    steps++;
  }
  assert.ok(steps < 25, `it should be back within 25 s, took ${steps}`);
});

test('twice as fast takes about twice as much; an unknown time is the mean of the others', () => {
  const members = [
    member('a', { responseTime: 1000 }),
    member('b', { responseTime: 2000 }),
    member('c'),
  ];
  let weights: Weights = new Map();
  for (let step = 0; step < 60; step++) weights = reweigh('least-response-time', weights, members);
  const [a, b, c] = sharesOf(weights, members);
  near(a! / b!, 2, 0.35, 'fast to slow');
  near(c! / b!, 2000 / 1500, 0.25, 'unknown to slow');
});

test('the scale of the connections does not matter, their share does', () => {
  const loads = (scale: number): Observed[] => [
    member('a', { responseTime: 500, connections: 1 * scale }),
    member('b', { responseTime: 500, connections: 3 * scale }),
  ];
  const few = reweigh('least-response-time', new Map(), loads(1));
  const many = reweigh('least-response-time', new Map(), loads(1000));
  assert.equal(weightsOf(few, loads(1)), weightsOf(many, loads(1)));
  const [a, b] = weightsOf(few, loads(1));
  assert.ok(a! > b!, 'the one with fewer connections takes more');
});

test('a change under a tenth is left alone', () => {
  const members = [member('a', { responseTime: 1000 }), member('b', { responseTime: 1080 })];
  const first = reweigh('least-response-time', new Map(), members);
  assert.equal(weightsOf(first, members), [100, 100]);
  assert.is(reweigh('least-response-time', first, members), first, 'and nothing is made anew');
});

test('least-bandwidth comes to rest where bandwidth follows the weights', () => {
  // Members whose flows are of very different size: bandwidth is share of flows × size.
  const sizes = [1, 4, 10];
  const weight = [1, 1, 2];
  let weights: Weights = new Map();
  let members: Observed[] = [];
  for (let step = 0; step < 200; step++) {
    const shares = members.length === 0 ? [1 / 3, 1 / 3, 1 / 3] : sharesOf(weights, members);
    members = sizes.map((size, index) =>
      member(`m${index}`, { weight: weight[index]!, bandwidth: shares[index]! * size * 1e6 }),
    );
    weights = reweigh('least-bandwidth', weights, members);
  }
  const total = members.reduce((sum, one) => sum + one.bandwidth, 0);
  members.forEach((one, index) => {
    near(one.bandwidth / total, weight[index]! / 4, 0.05, `share of ${one.id}`);
  });
});

test('what fades after a burst moves no weight away from the document', () => {
  const burst = [20, 11, 5].map((share, index) =>
    member(`m${index}`, { weight: 3 - index, bandwidth: share * 1000 }),
  );
  const idle = burst.map((one) => ({ ...one, bandwidth: 0 }));
  let weights = reweigh('least-bandwidth', new Map(), burst);
  const due = [3 / 6, 2 / 6, 1 / 6];
  const off = (): number =>
    Math.max(...sharesOf(weights, idle).map((share, index) => Math.abs(share - due[index]!)));
  const most = off() + 0.01;
  for (let step = 0; step < 60; step++) {
    weights = reweigh('least-bandwidth', weights, idle);
    assert.ok(off() <= most, `after ${step + 1} s a share is off by ${off()}`);
  }
});

test('a pool that falls idle returns to the weights of the document', () => {
  const busy = [member('a', { bandwidth: 9e6 }), member('b', { bandwidth: 1e6 })];
  const idle = [member('a'), member('b')];
  let weights: Weights = new Map();
  for (let step = 0; step < 20; step++) weights = reweigh('least-bandwidth', weights, busy);
  assert.ok(sharesOf(weights, busy)[0]! < 0.3);
  for (let step = 0; step < 120; step++) weights = reweigh('least-bandwidth', weights, idle);
  near(sharesOf(weights, idle)[0]!, 0.5, 0.06, 'share');
  assert.is(reweigh('least-bandwidth', weights, idle), weights, 'and then nothing changes');
});

test('a member that is away keeps its weight for its return', () => {
  const both = [member('a', { responseTime: 100 }), member('b', { responseTime: 900 })];
  let weights: Weights = new Map();
  for (let step = 0; step < 30; step++) weights = reweigh('least-response-time', weights, both);
  const [, before] = weightsOf(weights, both);
  for (let step = 0; step < 5; step++) {
    weights = reweigh('least-response-time', weights, [both[0]!]);
  }
  assert.is(weights.get('b')?.weight, before);
  assert.is(reweigh('least-response-time', weights, []), weights, 'nobody serves: nothing changes');
});

test('an expression gives weights in proportion, 0 included', () => {
  const members = [member('a'), member('b'), member('c'), member('d')];
  const weights = reweighBy([4, 1, 0, 1e-9], new Map(), members);
  assert.equal(weightsOf(weights, members), [10_000, 2500, 0, 1]);
  assert.is(reweighBy([4.01, 1, 0, 1e-9], weights, members), weights, 'a hundredth is nothing');
});

test('where an expression fails the member keeps its weight; all 0 changes nothing', () => {
  const members = [member('a', { weight: 2 }), member('b', { weight: 1 })];
  const first = reweighBy([null, 1], new Map(), members);
  assert.equal(weightsOf(first, members), [10_000, 10_000]);
  const second = reweighBy([3, 1], first, members);
  assert.equal(weightsOf(second, members), [10_000, 3333]);
  assert.equal(weightsOf(reweighBy([null, 1], second, members), members), [10_000, 10_000]);
  assert.is(reweighBy([0, 0], second, members), second);
  assert.is(reweighBy([null, null], second, members), second);
});

test('slow start goes from a tenth to all in ten steps', () => {
  const seen = Array.from({ length: 31 }, (_, second) => rampFactor(second * 1000, 30_000));
  assert.is(seen[0], 0.1);
  assert.is(seen[3], 0.2);
  assert.is(seen[29], 1);
  assert.is(seen[30], 1);
  assert.is(new Set(seen).size, 10);
  seen.forEach((factor, index) => assert.ok(index === 0 || factor >= seen[index - 1]!));
  assert.is(rampFactor(-5, 1000), 0.1);
  assert.is(rampFactor(Infinity, 1000), 1);
});

test.run();
