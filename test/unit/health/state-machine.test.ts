/** Rise and fall: each row is a history of probes and the states that must follow. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  afterProbe,
  initialStatus,
  seededStatus,
  type HealthState,
  type HealthStatus,
} from '../../../appliance/health/state-machine.js';

const outcomes = { '+': 'pass', '-': 'fail', '?': 'inconclusive' } as const;
const letters: Readonly<Record<HealthState, string>> = { unknown: 'u', up: 'U', down: 'D' };

function play(history: string, rise: number, fall: number, start: HealthStatus): HealthStatus[] {
  let status = start;
  return [...history].map((letter, index) => {
    const outcome = outcomes[letter as keyof typeof outcomes];
    status = afterProbe(
      status,
      { outcome, reason: letter },
      { rise, fall },
      { wall: 1000 + index, monotonic: index },
    );
    return status;
  });
}

const rows: readonly {
  readonly what: string;
  readonly rise: number;
  readonly fall: number;
  readonly start?: HealthState;
  readonly history: string;
  readonly states: string;
}[] = [
  { what: 'first good probe decides', rise: 3, fall: 3, history: '+', states: 'U' },
  { what: 'first failed probe decides', rise: 3, fall: 3, history: '-', states: 'D' },
  { what: 'falls after fall failures', rise: 2, fall: 3, history: '+---', states: 'UUUD' },
  {
    what: 'a good probe between starts again',
    rise: 2,
    fall: 3,
    history: '+--+---',
    states: 'UUUUUUD',
  },
  { what: 'rises after rise successes', rise: 2, fall: 3, history: '-++', states: 'DDU' },
  { what: 'a failure between starts again', rise: 2, fall: 1, history: '-+-++', states: 'DDDDU' },
  { what: 'rise and fall of one', rise: 1, fall: 1, history: '+-+-', states: 'UDUD' },
  { what: 'inconclusive decides nothing', rise: 1, fall: 1, history: '??+', states: 'uuU' },
  { what: 'inconclusive breaks no streak', rise: 2, fall: 2, history: '+-?-', states: 'UUUD' },
  {
    what: 'seeded up needs fall failures',
    rise: 2,
    fall: 2,
    start: 'up',
    history: '--',
    states: 'UD',
  },
  {
    what: 'seeded down needs rise successes',
    rise: 2,
    fall: 2,
    start: 'down',
    history: '++',
    states: 'DU',
  },
];

for (const { what, rise, fall, start, history, states } of rows) {
  test(`rise ${rise}, fall ${fall}, ${history}: ${what}`, () => {
    const first = start === undefined ? initialStatus(1) : seededStatus(start, 1);
    const seen = play(history, rise, fall, first).map(({ state }) => letters[state]);
    assert.is(seen.join(''), states);
  });
}

test('since changes with the state and only then', () => {
  const seen = play('+-+--', 2, 2, initialStatus(1)).map(({ since }) => since);
  assert.equal(seen, [1000, 1000, 1000, 1000, 1004]);
});

test('the reason tells how far a change is', () => {
  const reasons = play('+--', 2, 3, initialStatus(1)).map(({ reason }) => reason);
  assert.equal(reasons, [
    '+',
    '- (1 of 3 until it is taken out)',
    '- (2 of 3 until it is taken out)',
  ]);
});

test('a probe that could not be made is told until one could', () => {
  const seen = play('+?-', 2, 2, initialStatus(1)).map(({ state, blind }) => `${state} ${blind}`);
  assert.equal(seen, ['up undefined', 'up ?', 'up undefined']);
});

test('the response time is an average that forgets', () => {
  let status = initialStatus(1);
  const seen = [8, 16, 16, 0].map((latencyMs, index) => {
    const result = { outcome: 'pass', reason: '', latencyMs } as const;
    status = afterProbe(status, result, { rise: 1, fall: 1 }, { wall: index, monotonic: index });
    return status.responseTimeUs;
  });
  assert.equal(seen, [8000, 9000, 9875, 8641]);
  const failed = { outcome: 'fail', reason: '' } as const;
  const after = afterProbe(status, failed, { rise: 1, fall: 1 }, { wall: 9, monotonic: 9 });
  assert.is(after.responseTimeUs, 8641, 'a failed probe has no response time');
});

test('an up member always had a good probe or a seed, and changes only after enough in a row', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('+', '-', '?'), { maxLength: 40 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      (history, rise, fall) => {
        let before = initialStatus(1);
        play(history.join(''), rise, fall, before).forEach((status, index) => {
          if (status.state !== before.state && before.state !== 'unknown') {
            const conclusive = history.slice(0, index + 1).filter((letter) => letter !== '?');
            const [letter, needed] =
              status.state === 'up' ? (['+', rise] as const) : (['-', fall] as const);
            assert.equal(conclusive.slice(-needed), Array<string>(needed).fill(letter));
          }
          before = status;
        });
      },
    ),
  );
});

test.run();
