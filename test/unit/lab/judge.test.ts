/** The lab's judgement: a lost connection must never pass for a good one. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { explainedBy, type Death, type Failure, type LoadReport } from '../../lab/clients.js';
import { judge, share, unlike } from '../../lab/stage.js';

const test = suite('judge');
const death: Death = { member: 'member-1', from: 10_000, to: 11_000 };
const lost: Failure = {
  ...{ time: 10_500, began: 9_000, kind: 'long', reason: 'ECONNRESET', member: 'member-1' },
};
const report = (failures: Failure[], more: Partial<LoadReport> = {}): LoadReport => ({
  ...{ window: 'w', seconds: 1, requests: 10, connections: 10, open: 1 },
  ...{ failed: failures.length, failures, byMember: { 'member-1': 6, 'member-2': 4 } },
  ...{ longestGap: 1, slowest: 1 },
  ...more,
});

for (const [what, failure, explained] of [
  ['a connection of the dead member', lost, true],
  ['a new one begun while it was dying', { ...lost, member: null, began: 10_200 }, true],
  ['a connection of another member', { ...lost, member: 'member-2' }, false],
  ['a failure before the death', { ...lost, time: 9_500 }, false],
  ['a new one begun long before', { ...lost, member: null, began: 8_000 }, false],
  [
    'a new one begun after it was out',
    { ...lost, member: null, began: 11_001, time: 11_002 },
    false,
  ],
  ['one begun after its return', { ...lost, began: 20_000, time: 20_001 }, false],
  ['a garbled answer', { ...lost, reason: 'garbled' }, false],
] as const) {
  test(`${what} is ${explained ? '' : 'not '}explained`, () => {
    assert.is(explainedBy(death, failure), explained);
    const seen = judge(new Map([['web', report([failure])]]), [death]);
    assert.is(seen.troubles.length, explained ? 0 : 1);
    assert.is(seen.explained, explained ? 1 : 0);
  });
}

test('without a death nothing is explained', () => {
  assert.is(judge(new Map([['web', report([lost])]]), []).troubles.length, 1);
});

test('silence and failures beyond the list are troubles', () => {
  assert.is(judge(new Map([['web', report([], { requests: 0 })]]), []).troubles.length, 1);
  assert.is(judge(new Map([['web', report([], { failed: 7 })]]), []).troubles.length, 1);
});

test('shares are held against the weights', () => {
  const reports = new Map([['web', report([])]]);
  assert.is(share(reports, 'member-1'), 0.6);
  const weights = { 'member-1': 3, 'member-2': 2, 'member-3': 0 };
  assert.equal(unlike(reports, weights, 0.01), []);
  assert.is(unlike(reports, { ...weights, 'member-3': 5 }, 0.01).length, 3);
});

test.run();
