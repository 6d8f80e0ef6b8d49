/** Members that come and go: when they are held down, how they are freed, and what people read. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  afterProbe,
  initialStatus,
  type HealthStatus,
  type Rule,
} from '../../../appliance/health/state-machine.js';

const damping = { changes: 2, within: 60_000, hold: 10_000 };
const rule: Rule = { rise: 1, fall: 1, damping };

/** One probe a second: `+` good, `-` failed. */
function play(history: string, by: Rule = rule, skew = 0): HealthStatus[] {
  let status = initialStatus(0);
  return [...history].map((letter, second) => {
    status = afterProbe(
      status,
      { outcome: letter === '+' ? 'pass' : 'fail', reason: letter },
      by,
      // The wall clock is set back in the middle: it must not matter.
      { wall: second * 1000 - (second > 5 ? skew : 0), monotonic: second * 1000 },
    );
    return status;
  });
}

const letters = (seen: readonly HealthStatus[]): string =>
  seen.map(({ state }) => (state === 'up' ? 'U' : 'D')).join('');

const rows: readonly (readonly [what: string, history: string, states: string])[] = [
  ['two changes are tolerated', '+-+++', 'UDUUU'],
  ['the first verdict is no change', '-+-', 'DUD'],
  ['the third holds it down', '+-+-+', 'UDUDD'],
  ['it comes back after ten good seconds', '+-+-+++++++++++', 'UDUDDDDDDDDDDDU'],
  ['a failure begins the hold anew', '+-+-+++++-+++++++++++', 'UDUDDDDDDDDDDDDDDDDDU'],
];

for (const [what, history, states] of rows) {
  test(`damping: ${what}`, () => {
    assert.is(letters(play(history)), states);
    assert.is(letters(play(history, rule, 3_600_000)), states, 'with a clock that is set back');
  });
}

test('damping: changes far apart are never too many', () => {
  const rare = { ...rule, damping: { ...damping, within: 2000 } };
  assert.is(letters(play('++--++--++--', rare)), 'UUDDUUDDUUDD');
});

test('damping: without it every change counts', () => {
  assert.is(letters(play('+-+-+-+-', { rise: 1, fall: 1 })), 'UDUDUDUD');
});

test('damping: the reason says what, how often and until when', () => {
  assert.is(
    play('+-+-+').at(-1)?.reason,
    'held down: flapped 3 times in 1m, until it was good for 10s',
  );
  assert.is(play('+-+-+++++++++++').at(-1)?.reason, '+');
});

test('damping: it is counted anew once it was freed', () => {
  const seen = letters(play('+-+-+++++++++++-+'));
  assert.is(seen.slice(-3), 'UDU', 'two changes after it are tolerated again');
});

test('damping: a held member is down, and an up one passed its last probe', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('+', '-'), { maxLength: 80 }), (history) => {
      for (const [index, status] of play(history.join('')).entries()) {
        if (status.flapping?.held) assert.is(status.state, 'down');
        if (status.state === 'up') assert.is(history[index], '+');
        assert.ok((status.flapping?.changes.length ?? 0) <= damping.changes);
      }
    }),
  );
});

test.run();
