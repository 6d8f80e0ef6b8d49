/** Passive health: rows of intervals of one second, and what must follow. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PassiveRule } from '../../../appliance/config/passive.js';
import {
  afterInterval,
  UNSUSPICIOUS,
  type PassiveStatus,
  type TrafficDelta,
} from '../../../appliance/health/passive.js';

const rule: PassiveRule = {
  resets: 0.5,
  unanswered: 0.5,
  minimum: 20,
  within: 10_000,
  hold: 30_000,
};

const delta = (opens: number, answers: number, resets = 0): TrafficDelta => ({
  opens,
  answers,
  resets,
});

function play(...intervals: readonly TrafficDelta[]): PassiveStatus[] {
  let status = UNSUSPICIOUS;
  return intervals.map((interval, index) => {
    status = afterInterval(status, interval, rule, (index + 1) * 1000);
    return status;
  });
}

const rows: readonly (readonly [what: string, intervals: readonly TrafficDelta[], last: string])[] =
  [
    ['nothing happens', [delta(0, 0)], ''],
    ['all is answered', [delta(100, 100), delta(100, 100)], ''],
    ['too few connections', [delta(19, 0, 19), delta(0, 0)], ''],
    [
      'half of them are reset',
      [delta(20, 10, 10)],
      'suspect: reset 10 of 20 new connections within 10s',
    ],
    ['fewer than half are reset', [delta(100, 51, 49)], ''],
    ['the newest may still be answered', [delta(100, 0)], ''],
    [
      'and then they are not',
      [delta(100, 0), delta(10, 0)],
      'suspect: left 100 of 100 new connections unanswered within 10s',
    ],
    ['and then they are, late', [delta(100, 0), delta(0, 100)], ''],
    [
      'few in each second are enough together',
      Array.from({ length: 5 }, () => delta(5, 1, 4)),
      'suspect: reset 16 of 20 new connections within 10s',
    ],
    ['few over a long time are not', Array.from({ length: 30 }, () => delta(1, 0, 1)), ''],
  ];

for (const [what, intervals, last] of rows) {
  test(`passive: ${what}`, () => {
    const seen = play(...intervals);
    const suspicion = seen.find(({ suspect }) => suspect);
    assert.is(suspicion?.reason ?? '', last);
    assert.is(seen.at(-1)?.suspect, last !== '');
  });
}

test('passive: a suspicion lasts for the hold time and leaves nothing behind', () => {
  const calm = Array.from({ length: 31 }, () => delta(0, 0));
  const seen = play(delta(20, 0, 20), ...calm).map(({ suspect }) => suspect);
  assert.equal(seen.indexOf(false), 30, 'suspect in the intervals that end before 31 s');
  assert.equal(play(delta(20, 0, 20), ...calm).at(-1), UNSUSPICIOUS);
});

test('passive: a member that resets again is suspect again', () => {
  const calm = Array.from({ length: 30 }, () => delta(0, 0));
  assert.is(play(delta(20, 0, 20), ...calm, delta(20, 0, 20)).at(-1)?.suspect, true);
});

test('passive: whatever comes, the window is bounded and a suspicion has a sentence and an end', () => {
  const any = fc.record({ opens: fc.nat(1000), answers: fc.nat(1000), resets: fc.nat(1000) });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 60 }), (intervals) => {
      for (const status of play(...intervals)) {
        assert.ok(status.window.length <= 10);
        assert.is(status.suspect, status.until !== null);
        assert.is(status.suspect, status.reason !== '');
      }
    }),
  );
});

test.run();
