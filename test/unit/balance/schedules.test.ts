/** Schedules, weighted tables and candidates: shares, spread, independence from order. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lookupSlots, type LookupMember } from '../../../appliance/balance/maglev.js';
import {
  SCHEDULE_SLOTS,
  buildCandidates,
  buildSchedule,
  buildWeighted,
} from '../../../appliance/balance/schedules.js';
import { apportion, apportionAtLeastOne } from '../../../appliance/balance/shares.js';

const test = suite('schedules');

const pools = (maximum: number): fc.Arbitrary<LookupMember[]> =>
  fc.uniqueArray(fc.nat(9999), { minLength: 1, maxLength: 40 }).chain((ids) =>
    fc.tuple(
      ...ids.map((id) =>
        fc.record({
          key: fc.constant(`10.1.${id >> 8}.${id & 255}:80`),
          weight: fc.integer({ min: 0, max: maximum }),
          available: fc.boolean(),
        }),
      ),
    ),
  );

function weightsOf(members: readonly LookupMember[]): number[] {
  return members.map(({ weight, available }) => (available === false ? 0 : weight));
}

function countsOf(lookup: Uint32Array, members: number): number[] {
  const counts = new Array<number>(members).fill(0);
  for (const index of lookup) counts[index] = counts[index]! + 1;
  return counts;
}

function names(weights: readonly number[]): string {
  const keys = 'abcdefgh';
  const schedule = buildSchedule(weights.map((weight, index) => ({ key: keys[index]!, weight })));
  return Array.from(schedule, (index) => keys[index]).join(' ');
}

for (const [weights, expected] of [
  [[3, 2, 1], 'a b a c b a'],
  [[5, 1, 1], 'a a b a c a a'],
  [[1, 1, 1], 'a b c'],
  [[4, 4], 'a b'],
  [[2, 0, 4], 'c a c'],
  [[7], 'a'],
  [[0, 0], ''],
] as const) {
  test(`weights ${weights.join(':')} give the schedule "${expected}"`, () => {
    assert.is(names(weights), expected);
  });
}

test('a schedule has each member as often as its weight says', () => {
  fc.assert(
    fc.property(pools(100), (members) => {
      const weights = weightsOf(members);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const schedule = buildSchedule(members);
      const counts = countsOf(schedule, members.length);
      assert.ok(schedule.length <= SCHEDULE_SLOTS, `${schedule.length} slots`);
      if (total === 0) assert.is(schedule.length, 0);
      else {
        weights.forEach((weight, index) => {
          assert.is(counts[index]! * total, weight * schedule.length, members[index]!.key);
        });
      }
    }),
    { numRuns: 200 },
  );
});

test('a schedule that would be too long is rounded, and leaves nobody out', () => {
  fc.assert(
    fc.property(pools(65_535), (members) => {
      const weights = weightsOf(members);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      fc.pre(total > 0);
      const schedule = buildSchedule(members);
      assert.ok(schedule.length <= SCHEDULE_SLOTS, `${schedule.length} slots`);
      const counts = countsOf(schedule, members.length);
      weights.forEach((weight, index) => {
        assert.is(counts[index]! > 0, weight > 0, `${members[index]!.key} of weight ${weight}`);
      });
    }),
    { numRuns: 100 },
  );
});

test('a schedule is smooth: after any number of turns nobody is two turns from its due', () => {
  fc.assert(
    fc.property(pools(20), (members) => {
      const weights = weightsOf(members);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      fc.pre(total > 0);
      const seen = new Array<number>(members.length).fill(0);
      buildSchedule(members).forEach((index, turn) => {
        seen[index] = seen[index]! + 1;
        weights.forEach((weight, member) => {
          const due = ((turn + 1) * weight) / total;
          assert.ok(
            Math.abs(seen[member]! - due) < 2,
            `after ${turn + 1} turns ${members[member]!.key} had ${seen[member]}, due ${due.toFixed(2)}`,
          );
        });
      });
    }),
    { numRuns: 200 },
  );
});

for (const [name, build] of [
  ['schedule', buildSchedule],
  ['weighted table', buildWeighted],
  ['list of candidates', buildCandidates],
] as const) {
  test(`a ${name} does not depend on the order of the members`, () => {
    fc.assert(
      fc.property(pools(256), (members) => {
        const forward = build(members);
        const backward = build([...members].reverse());
        assert.equal(
          Array.from(backward, (index) => members.length - 1 - index),
          Array.from(forward),
        );
      }),
      { numRuns: 50 },
    );
  });

  test(`a ${name} has those that are available with a weight, and no other`, () => {
    fc.assert(
      fc.property(pools(3), (members) => {
        const listed = new Set(build(members));
        weightsOf(members).forEach((weight, index) => {
          assert.is(listed.has(index), weight > 0, members[index]!.key);
        });
      }),
      { numRuns: 100 },
    );
  });
}

test('a weighted table follows the weights, and its size only the number of members', () => {
  fc.assert(
    fc.property(pools(256), (members) => {
      const weights = weightsOf(members);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      fc.pre(total > 0);
      const table = buildWeighted(members);
      assert.is(table.length, lookupSlots(members.length));
      const counts = countsOf(table, members.length);
      weights.forEach((weight, index) => {
        const due = (table.length * weight) / total;
        // Those that are lifted to one slot take it from the others.
        const slack = weight > 0 ? 1 + (members.length * weight) / total : 0;
        assert.ok(
          Math.abs(counts[index]! - due) <= slack,
          `${members[index]!.key} of weight ${weight}: ${counts[index]} slots, due ${due.toFixed(2)}`,
        );
      });
    }),
    { numRuns: 200 },
  );
});

test('candidates are each listed once', () => {
  fc.assert(
    fc.property(pools(256), (members) => {
      const list = buildCandidates(members);
      assert.is(new Set(list).size, list.length);
    }),
  );
});

test('shares add up to the total and stay within one of what is due', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 40, max: 65_536 }),
      fc.array(fc.integer({ min: 0, max: 65_535 }), { minLength: 1, maxLength: 40 }),
      (total, weights) => {
        const sum = weights.reduce((all, weight) => all + weight, 0);
        const shares = apportion(total, weights);
        const fair = apportionAtLeastOne(total, weights);
        const wanted = sum === 0 ? 0 : total;
        assert.is(
          shares.reduce((all, share) => all + share, 0),
          wanted,
        );
        assert.is(
          fair.reduce((all, share) => all + share, 0),
          wanted,
        );
        weights.forEach((weight, index) => {
          if (sum > 0) assert.ok(Math.abs(shares[index]! - (total * weight) / sum) < 1);
          assert.is(fair[index]! > 0, weight > 0);
        });
      },
    ),
  );
});

test('ten thousand members make a schedule of ten thousand turns', () => {
  const members = Array.from({ length: 10_000 }, (_, index) => ({ key: `m${index}`, weight: 1 }));
  assert.is(buildSchedule(members).length, 10_000);
  const odd = members.map((member, index) => ({ ...member, weight: 1 + (index % 256) }));
  assert.is(new Set(buildSchedule(odd)).size, 10_000);
});

test.run();
