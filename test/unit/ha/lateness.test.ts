import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TurnClock } from '../../../appliance/ha/vrrp/speaker/lateness.js';

/** A clock of turns, and the time that passes and that the process runs. */
function stage() {
  const time = { now: 1000, ran: 50 };
  const clock = new TurnClock(
    () => time.now,
    () => time.ran,
  );
  const pass = (ms: number, ran = ms): void => {
    time.now += ms;
    time.ran += ran;
  };
  return { clock, pass, time };
}

test('a turn in time is not late, however long nothing was due', () => {
  const { clock, pass } = stage();
  clock.begin();
  clock.end(1030);
  pass(30, 0);
  clock.begin();
  clock.mark('telling');
  assert.is(clock.end(1060), 0);
  assert.is(clock.lateness.worst, null);
  assert.is(clock.lateness.turns[0], 2);
});

test('what held a turn up: the CPU, other work of the process, or a part of the turn itself', () => {
  for (const { ran, sending, part } of [
    { ran: 1, sending: 2, part: 'waiting' },
    { ran: 19, sending: 2, part: 'other' },
    { ran: 10, sending: 25, part: 'sending' },
  ]) {
    const { clock, pass } = stage();
    clock.begin();
    clock.end(1030);
    pass(50, ran);
    clock.begin();
    pass(1);
    clock.mark('deciding');
    pass(sending);
    clock.mark('sending');
    assert.is(clock.end(1090), 21 + sending);
    assert.is(clock.lateness.worst?.part, part);
    assert.equal(clock.last.parts, {
      ...{ waiting: 20 - ran, other: ran, receiving: 0, deciding: 1, placing: 0, telling: 0 },
      sending,
    });
  }
});

test('a turn that a message brought is late by what it takes itself', () => {
  const { clock, pass } = stage();
  clock.begin();
  clock.end(1030);
  pass(10, 0);
  clock.begin();
  pass(4);
  clock.mark('receiving');
  assert.is(clock.end(1030), 4);
});

test('the worst turn stays, the last one goes; turns are counted by how late they were', () => {
  const { clock, pass } = stage();
  let due = 1000;
  for (const late of [0.05, 0.2, 50, 2]) {
    clock.begin();
    clock.mark('telling');
    due += 100;
    clock.end(due);
    pass(100 + late, 0);
  }
  clock.begin();
  clock.mark('telling');
  clock.end(due);
  const { turns, worst } = clock.lateness;
  assert.ok(Math.abs((worst?.late ?? 0) - 52.25) < 0.01, String(worst?.late));
  assert.is(
    turns.reduce((sum, count) => sum + count, 0),
    5,
  );
  assert.is(turns.at(-1), 2, 'what came late stays late until it has caught up');
});

test('the least that was left of the lease; counting anew forgets it, and the worst turn', () => {
  const { clock, pass } = stage();
  for (const left of [60, 40, 55]) clock.renewed(left);
  assert.is(clock.lateness.leastLease, 40);
  clock.begin();
  clock.end(1001);
  pass(100, 0);
  clock.begin();
  clock.mark('telling');
  clock.end(1200);
  assert.is(clock.lateness.worst?.part, 'waiting');
  clock.reset();
  assert.equal(clock.lateness, { turns: [0, 0, 0, 0, 0, 0, 0], worst: null, leastLease: null });
});

test.run();
