/** When the other unit's word counts for a member: while this unit sees nothing, and not longer. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ownVerdict,
  PeerView,
  withPeer,
  type Verdict,
} from '../../../appliance/health/peer-view.js';
import {
  afterProbe,
  initialStatus,
  seededStatus,
  type HealthStatus,
} from '../../../appliance/health/state-machine.js';

const test = suite('what the other unit sees');
const outcomes = { '+': 'pass', '-': 'fail', '?': 'inconclusive' } as const;
const damping = { changes: 100, within: 1000, hold: 1000 };

/** `+-?`: probes of this unit. `ud`: the other one says up or down. Rise and fall are 2. */
function play(history: string, start = initialStatus(0), damped = false): string {
  let status: HealthStatus = start;
  return [...history]
    .map((letter, index) => {
      if (letter === 'u' || letter === 'd') {
        status = withPeer(status, letter === 'u' ? 'up' : 'down', index);
      } else {
        const outcome = outcomes[letter as keyof typeof outcomes];
        const rule = { rise: 2, fall: 2, ...(damped ? { damping } : {}) };
        const moment = { wall: index, monotonic: index };
        status = afterProbe(status, { outcome, reason: letter }, rule, moment);
      }
      return { unknown: '.', up: 'U', down: 'D' }[status.state];
    })
    .join('');
}

for (const [what, history, states] of [
  ['a unit that has just started believes it', 'du', 'DU'],
  ['its own first probe decides at once', 'd+-', 'DUU'],
  ['in both directions', 'u-+', 'UDD'],
  ['what it sees itself is never overruled', '+d-d-u', 'UUUUDD'],
  ['while it is blind it believes it', '+?d?du', 'UUDDDU'],
  ['and its own eyes decide when they open', '+?d-', 'UUDD'],
  ['against the other unit too', '+?d+', 'UUDU'],
  ['blind from the first probe', '?d?u', '.DDU'],
] as const) {
  test(what, () => {
    assert.is(play(history), states);
    assert.is(play(history, initialStatus(0), true), states, 'damped');
  });
}

test('what an earlier run of the daemon knew goes before it', () => {
  assert.is(play('d-', seededStatus('up', 0)), 'UU');
});

test('only what was probed is told on: never what the other unit said', () => {
  const verdictAfter = (history: string): Verdict | null => {
    let status = initialStatus(0);
    for (const letter of history) {
      if (letter === 'd') status = withPeer(status, 'down', 1);
      else {
        const outcome = outcomes[letter as keyof typeof outcomes];
        status = afterProbe(
          status,
          { outcome, reason: '' },
          { rise: 2, fall: 2 },
          { wall: 1, monotonic: 1 },
        );
      }
    }
    return ownVerdict(status);
  };
  assert.equal(['', 'd', '+', '-', '+?', '+?d', '+?d+', '?d'].map(verdictAfter), [
    null,
    null,
    'up',
    'down',
    null,
    null,
    'up',
    null,
  ]);
});

test('a unit that sees nothing up has lost its way, and speaks against nobody', () => {
  const view = new PeerView();
  view.set('a', 'down', 1);
  view.set('b', 'down', 1);
  assert.is(view.credible('a'), undefined);
  view.set('b', 'up', 2);
  assert.equal([view.credible('a'), view.credible('b')], ['down', 'up']);
  view.set('b', null, 3);
  assert.is(view.credible('a'), undefined);
  view.set('b', 'up', 4);
  view.clear();
  view.set('a', 'down', 5);
  assert.is(view.credible('a'), undefined, 'what it saw before is forgotten');
  assert.equal(view.get('a'), { verdict: 'down', since: 5 }, 'but it is shown');
});

test.run();
