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
  const forward = buildLookup(members, 4096);
  const backward = buildLookup([...members].reverse(), 4096);
  for (let slot = 0; slot < 4096; slot++) {
    assert.is(backward[slot], 2 - forward[slot]!, `slot ${slot}`);
  }
});

test('what a lost member leaves is shared by weight', () => {
  const lookup = buildLookup(
    members.map((member, index) => ({ ...member, available: index !== 1 })),
    4096,
  );
  const [first, second, third] = shares(lookup, 3);
  assert.is(second, 0);
  assert.ok(Math.abs(first! / third! - 3) < 0.02, `3:1 expected, seen ${first}:${third}`);
});

test('nobody available, no weight, no member: no slots', () => {
  assert.is(buildLookup([], 4096).length, 0);
  assert.is(buildLookup([{ key: 'a', weight: 0 }], 4096).length, 0);
  assert.is(buildLookup([{ key: 'a', weight: 1, available: false }], 4096).length, 0);
});

test('a new member takes little from the others', () => {
  const before = buildLookup(members, 4096);
  const after = buildLookup([...members, { key: '10.0.0.4:80', weight: 1 }], 4096);
  let moved = 0;
  for (let slot = 0; slot < 4096; slot++) {
    if (after[slot] !== 3 && after[slot] !== before[slot]) moved++;
  }
  assert.ok(moved < 4096 * 0.1, `less than a tenth may move between old members, ${moved} did`);
});

test('a slot of a bigger table has the owner of the slot of the smaller that it lies in', () => {
  for (const [count, most] of [
    [3, 0.002],
    [33, 0.01],
    [128, 0.02],
  ] as const) {
    const list = Array.from({ length: count }, (_, index) => ({
      key: `10.2.0.${index}:80`,
      weight: 1 + (index % 5),
    }));
    for (const [small, large] of [
      [4096, 16_384],
      [16_384, 65_536],
    ] as const) {
      const coarse = buildLookup(list, small);
      const fine = buildLookup(list, large);
      let moved = 0;
      fine.forEach((owner, slot) => {
        if (coarse[slot >> 2] !== owner) moved++;
      });
      assert.ok(
        moved <= large * most,
        `${count} members, ${small} to ${large} slots: ${moved} differ`,
      );
    }
  }
});

test('the member that makes the table grow takes its share and little else moves', () => {
  const list = Array.from({ length: 33 }, (_, index) => ({ key: `10.3.0.${index}:80`, weight: 1 }));
  assert.is(lookupSlots(32), 4096);
  assert.is(lookupSlots(33), 16_384);
  const before = buildLookup(list.slice(0, 32), 4096);
  const after = buildLookup(list, 16_384);
  let moved = 0;
  after.forEach((owner, slot) => {
    if (owner !== 32 && owner !== before[slot >> 2]) moved++;
  });
  assert.ok(moved < 16_384 * 0.1, `less than a tenth may move between old members, ${moved} did`);
});

test('the order of the members does not matter at any size', () => {
  fc.assert(
    fc.property(manyMembers, fc.constantFrom(4096, 16_384, 65_536), (list, slots) => {
      const forward = buildLookup(list, slots);
      const backward = buildLookup([...list].reverse(), slots);
      assert.is(backward.length, forward.length);
      for (let slot = 0; slot < forward.length; slot++) {
        assert.is(backward[slot], list.length - 1 - forward[slot]!, `slot ${slot}`);
      }
    }),
    { numRuns: 20 },
  );
});

test('a small change of weights moves few slots', () => {
  const list = Array.from({ length: 8 }, (_, index) => ({
    key: `10.4.0.${index}:80`,
    weight: 100,
  }));
  const before = buildLookup(list, 4096);
  const after = buildLookup(
    list.map((member, index) => (index === 3 ? { ...member, weight: 90 } : member)),
    4096,
  );
  let moved = 0;
  after.forEach((owner, slot) => {
    if (owner !== before[slot]) moved++;
  });
  // What must move is 4096 × (1/8 − 90/790), about 45 slots.
  assert.ok(moved < 400, `less than a tenth may move, ${moved} did`);
});

test('65,536 members fill a table, and any other size is refused', () => {
  const list = Array.from({ length: 65_536 }, (_, index) => ({ key: `m${index}`, weight: 1 }));
  assert.is(new Set(buildLookup(list, lookupSlots(list.length))).size, 65_536);
  assert.throws(() => buildLookup(members, 4093), /4096, 16384 or 65536/);
});

test.run();
