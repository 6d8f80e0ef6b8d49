/** When addresses are announced. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Announcer } from '../../../appliance/ha/vrrp/announcer.js';

const test = suite('when addresses are announced');

/** The moments of rounds up to `until`, by one who is never late. */
function rounds(announcer: Announcer, until: number): number[] {
  const made: number[] = [];
  while (announcer.deadline <= until) {
    const at = announcer.deadline;
    if (announcer.take(at)) made.push(at);
  }
  return made;
}

test('at the takeover, some times after it, and from then on now and again', () => {
  const announcer = new Announcer({ repeats: [100, 1000], refresh: 10_000 });
  assert.is(announcer.deadline, Infinity);
  announcer.taken(50);
  assert.equal(rounds(announcer, 32_000), [50, 150, 1050, 11_050, 21_050, 31_050]);
  announcer.released();
  assert.is(announcer.deadline, Infinity);
});

test('rounds that are late are one', () => {
  const announcer = new Announcer({ repeats: [100, 1000, 5000], refresh: null });
  announcer.taken(0);
  assert.ok(announcer.take(60_000));
  assert.not(announcer.take(60_000));
  assert.is(announcer.deadline, Infinity);
});

test('after a conflict at once and a second later', () => {
  const announcer = new Announcer({ repeats: [], refresh: null });
  announcer.taken(0);
  assert.equal(rounds(announcer, 4000), [0]);
  announcer.contested(5000);
  assert.equal(rounds(announcer, 60_000), [5000, 6000]);
  announcer.contested(60_000);
  assert.equal(rounds(announcer, 100_000), [60_000, 61_000], 'peace makes it as quick again');
});

test('a conflict that lasts is answered ever less often', () => {
  const announcer = new Announcer({ repeats: [], refresh: null });
  announcer.taken(0);
  const made: number[] = [];
  for (let now = 0; now < 120_000; now += 10) {
    announcer.contested(now);
    if (announcer.take(now)) made.push(now);
  }
  const within = (from: number, to: number): number =>
    made.filter((at) => at >= from && at < to).length;
  assert.ok(within(0, 1000) >= 2, `${within(0, 1000)} in the first second`);
  assert.ok(within(60_000, 120_000) <= 13, `${within(60_000, 120_000)} in the second minute`);
  assert.ok(within(60_000, 120_000) >= 5, 'but it goes on');
});

test('who gives addresses up is answered at once, however long a conflict lasted', () => {
  const announcer = new Announcer({ repeats: [], refresh: null });
  announcer.taken(0);
  for (let now = 0; now < 60_000; now += 10) {
    announcer.contested(now);
    announcer.take(now);
  }
  announcer.take(60_000);
  announcer.vacated(60_030);
  assert.equal(rounds(announcer, 60_031), [60_030]);
  announcer.vacated(60_035);
  assert.equal(rounds(announcer, 60_060), [60_050], 'two rounds are never closer');
});

test('nobody who gives up what he never had makes it talk for long', () => {
  const announcer = new Announcer({ repeats: [], refresh: null });
  announcer.taken(0);
  let made = 0;
  for (let now = 0; now < 60_000; now += 1) {
    announcer.vacated(now);
    if (announcer.take(now)) made += 1;
  }
  assert.ok(made < 650, `${made} rounds in a minute`);
  announcer.vacated(60_000);
  assert.ok(rounds(announcer, 60_100).length > 0, 'but who really gave up is still answered');
});

test.run();
