/** Who takes new flows when members fail: minimum, backups, serving all the same. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  neededMembers,
  quorum,
  type Candidate,
  type Muster,
} from '../../../appliance/balance/quorum.js';

const test = suite('quorum');

/** S serves, D is down by its monitor, X is out; small letters are backups. */
function pool(text: string): Candidate[] {
  const can = { s: 'serve', d: 'at-need', x: 'no' } as const;
  return [...text].map((letter) => ({
    can: can[letter.toLowerCase() as keyof typeof can],
    backup: letter === letter.toLowerCase(),
  }));
}

const cases: readonly (readonly [string, number, boolean, Muster, string])[] = [
  // members, needed, serve-all, muster, who takes flows
  ['SSS', 1, false, 'enough', '+++'],
  ['SSD', 1, false, 'enough', '++-'],
  ['SSs', 1, false, 'enough', '++-'],
  ['DDs', 1, false, 'backups', '--+'],
  ['SDs', 2, false, 'backups', '+-+'],
  ['SDd', 2, false, 'few', '+--'],
  ['SDd', 2, true, 'all', '+++'],
  ['SXx', 2, true, 'few', '+--'],
  ['SDs', 3, true, 'all', '+++'],
  ['DDD', 1, false, 'none', '---'],
  ['DDX', 1, true, 'all', '++-'],
  ['XXX', 1, true, 'none', '---'],
  ['ss', 1, false, 'backups', '++'],
  ['', 1, true, 'none', ''],
];

for (const [members, needed, serveAll, muster, takes] of cases) {
  test(`${members || 'nobody'}, ${needed} needed${serveAll ? ', serve-all' : ''}: ${muster} ${takes}`, () => {
    const found = quorum(pool(members), needed, serveAll);
    assert.is(found.muster, muster);
    assert.is(found.takes.map((one) => (one ? '+' : '-')).join(''), takes);
    assert.is(found.serving, [...members.toLowerCase()].filter((one) => one === 's').length);
  });
}

test('a minimum is a number, or a share of the members rounded up, and never 0', () => {
  assert.is(neededMembers(undefined, 9), 1);
  assert.is(neededMembers({ members: 3 }, 2), 3);
  assert.is(neededMembers({ percent: 50 }, 4), 2);
  assert.is(neededMembers({ percent: 50 }, 5), 3);
  assert.is(neededMembers({ percent: 1 }, 0), 1);
  assert.is(neededMembers({ percent: 100 }, 7), 7);
});

test('whatever fails: who can serve is held back only as a backup of enough others', () => {
  const candidate: fc.Arbitrary<Candidate> = fc.record({
    can: fc.constantFrom('serve', 'at-need', 'no'),
    backup: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(candidate, { maxLength: 8 }),
      fc.integer({ min: 1, max: 5 }),
      fc.boolean(),
      (members, needed, serveAll) => {
        const { takes, muster } = quorum(members, needed, serveAll);
        const own = members.filter((one) => one.can === 'serve' && !one.backup).length;
        members.forEach((one, index) => {
          if (one.can === 'no') assert.not(takes[index]);
          if (one.can === 'serve') assert.is(takes[index], !one.backup || own < needed);
          if (one.can === 'at-need') assert.is(takes[index], muster === 'all');
        });
        assert.is(muster === 'none', !takes.includes(true));
        if (muster === 'all') assert.ok(serveAll);
      },
    ),
  );
});

test.run();
