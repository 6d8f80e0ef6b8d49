/** The lookup tables: shares, minimal movement, independence from order and history. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildLookup, lookupSlots, type LookupMember } from '../../../appliance/balance/maglev.js';

const test = suite('maglev');

const members: LookupMember[] = [
  { key: '10.0.0.1:80', weight: 3 },
  { key: '10.0.0.2:80', weight: 2 },
  { key: '10.0.0.3:80', weight: 1 },
];

function shares(lookup: Uint32Array, count: number): number[] {
  const counts = new Array<number>(count).fill(0);
  for (const index of lookup) counts[index] = counts[index]! + 1;
  return counts;
}

const manyMembers = fc.uniqueArray(fc.nat(9999), { minLength: 1, maxLength: 40 }).chain((ids) =>
  fc.tuple(
    ...ids.map((id) =>
      fc.record({
        key: fc.constant(`10.1.${id >> 8}.${id & 255}:80`),
        weight: fc.integer({ min: 0, max: 256 }),
        available: fc.boolean(),
      }),
    ),
  ),
);

test('shares follow the weights to within one slot', () => {
  fc.assert(
    fc.property(manyMembers, (list) => {
      const all = list.map((member) => ({ ...member, available: true }));
      const total = all.reduce((sum, member) => sum + member.weight, 0);
      fc.pre(total > 0);
      const slots = lookupSlots(all.length);
      const counts = shares(buildLookup(all, slots), all.length);
      all.forEach((member, index) => {
        const ideal = (slots * member.weight) / total;
        assert.ok(
          Math.abs(counts[index]! - ideal) < 1,
          `${member.key} of weight ${member.weight} should hold ${ideal.toFixed(1)} slots and holds ${counts[index]}`,
        );
      });
    }),
    { numRuns: 100 },
  );
});

test('a member that goes moves its own slots and no other', () => {
  fc.assert(
    fc.property(manyMembers, (list) => {
      const slots = lookupSlots(list.length);
      const whole = buildLookup(
        list.map((member) => ({ ...member, available: true })),
        slots,
      );
      const partial = buildLookup(list, slots);
      if (partial.length === 0) {
        assert.not(list.some((member) => member.available && member.weight > 0));
        return;
      }
      for (let slot = 0; slot < slots; slot++) {
        const before = list[whole[slot]!]!;
        const after = list[partial[slot]!]!;
        assert.ok(after.available, `slot ${slot} names ${after.key}, which is away`);
        assert.ok(after.weight > 0, `slot ${slot} names ${after.key}, which has no weight`);
        if (before.available) assert.is(after, before, `slot ${slot} moved without need`);
      }
    }),
    { numRuns: 100 },
  );
});

test('the order of the members does not matter', () => {
  const forward = buildLookup(members, 4093);
  const backward = buildLookup([...members].reverse(), 4093);
  for (let slot = 0; slot < 4093; slot++) {
    assert.is(backward[slot], 2 - forward[slot]!, `slot ${slot}`);
  }
});

test('what a lost member leaves is shared by weight', () => {
  const lookup = buildLookup(
    members.map((member, index) => ({ ...member, available: index !== 1 })),
    4093,
  );
  const [first, second, third] = shares(lookup, 3);
  assert.is(second, 0);
  assert.ok(Math.abs(first! / third! - 3) < 0.02, `3:1 expected, seen ${first}:${third}`);
});

test('nobody available, no weight, no member: no slots', () => {
  assert.is(buildLookup([], 4093).length, 0);
  assert.is(buildLookup([{ key: 'a', weight: 0 }], 4093).length, 0);
  assert.is(buildLookup([{ key: 'a', weight: 1, available: false }], 4093).length, 0);
});

test('a new member takes little from the others', () => {
  const before = buildLookup(members, 4093);
  const after = buildLookup([...members, { key: '10.0.0.4:80', weight: 1 }], 4093);
  let moved = 0;
  for (let slot = 0; slot < 4093; slot++) {
    if (after[slot] !== 3 && after[slot] !== before[slot]) moved++;
  }
  assert.ok(moved < 4093 * 0.1, `less than a tenth may move between old members, ${moved} did`);
});

test.run();
