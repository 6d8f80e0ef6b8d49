/** What two units have in common, in one answer: rates from samples, what was lost, what waits. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Standing, type StandingParts } from '../../../appliance/control/pair-standing.js';
import type { FlowMirrorState } from '../../../appliance/ha/flows/flow-mirror.js';
import type { ReplicaState } from '../../../appliance/ha/shared/replica.js';

const test = suite('the standing of a pair');

const flows: FlowMirrorState = {
  ...{ synchronised: true, complete: false, pass: 1, passes: 1, told: 100, lag: 0, untold: 2 },
  received: { stored: 10, refreshed: 5, own: 3, member: 4, removed: 0 },
  ...{ adopted: 0, takenOver: 7, known: 9, problem: null },
};
const replica: ReplicaState = {
  ...{ inStep: true, waiting: 0, sent: 3, taken: 2, old: 1, notTaken: 0, malformed: 0 },
  kinds: [{ name: 'certificate', entries: 1 }],
};

function standing(state: 'in-step' | 'away' | null, now = { at: 0 }, mirror = { ...flows }) {
  const view = state && {
    ...{ peer: 'b', state, since: null, lacking: 0, message: 'so it is' },
  };
  const head = { number: 12 } as ReturnType<StandingParts['store']['head']>;
  const log = { superseded: () => [], head: () => null } as never;
  return new Standing({
    store: { head: () => head, log },
    replication: { view: () => view },
    flows: { state: () => mirror },
    sticky: { state: { told: 1, taken: 2 } },
    shared: { state: replica },
    roles: { summary: { master: 1, backup: 0, down: 0 }, failovers: [] },
    now: () => now.at,
  });
}

test('a unit in no pair has none', () => {
  assert.is(standing(null).view(), null);
});

test('rates are those between the last two samples; what found no place is named, what was known better is not', () => {
  const now = { at: 0 };
  const mirror: { -readonly [K in keyof FlowMirrorState]: FlowMirrorState[K] } = { ...flows };
  const one = standing('in-step', now, mirror);
  assert.is(one.view()?.flows.toldPerSecond, 0);
  one.sample();
  assert.is(one.view()?.flows.toldPerSecond, 0, 'one sample is no rate');
  now.at = 2000;
  mirror.told = 300;
  mirror.received = { ...flows.received, stored: 20, refreshed: 15 };
  one.sample();
  const seen = one.view()?.flows;
  assert.equal([seen?.toldPerSecond, seen?.takenPerSecond], [100, 10]);
  assert.equal(seen?.refused, { member: 4 });
});

test('what is shared is as well known as the other unit is heard', () => {
  assert.is(standing('in-step').view()?.shared.state, 'in-step');
  assert.is(standing('away').view()?.shared.state, 'away');
});

test.run();
