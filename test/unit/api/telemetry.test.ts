/** Rates from samples, and the event log. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Counters, CounterSet } from '../../../appliance/api/contract.js';
import { EventLog } from '../../../appliance/telemetry/event-log.js';
import {
  NO_COUNTERS,
  deltas,
  NO_RATES,
  rateOf,
  rates,
  sum,
} from '../../../appliance/telemetry/rates.js';

const test = suite('telemetry');

function set(
  flows: number,
  packets: number,
  bytes: number,
  replyPackets = 0,
  replyBytes = 0,
): CounterSet {
  return { ...NO_COUNTERS, flows, packets, bytes, replyPackets, replyBytes };
}

function sample(
  time: number,
  services: Record<string, CounterSet>,
  drops: Record<string, number> = {},
): Counters {
  return {
    time,
    since: 0,
    totals: { passed: time, echoReplies: 0, eventsLost: 0, errorsSent: 0 },
    drops,
    services,
    members: Object.fromEntries(
      Object.entries(services).map(([id, row]) => [id, { ...row, active: 0 }]),
    ),
  };
}

test('differences: only what changed, with what began again and what is new', () => {
  const before = sample(
    1000,
    { same: set(1, 1, 1), more: set(1, 10, 100), again: set(9, 90, 900), gone: set(1, 1, 1) },
    { malformed: 5, 'no-flow': 2 },
  );
  const now = sample(
    3000,
    {
      same: set(1, 1, 1),
      more: set(3, 30, 300, 4, 40),
      again: set(10, 20, 200),
      fresh: set(2, 4, 8),
    },
    { malformed: 7, 'no-flow': 2 },
  );
  const delta = deltas(before, now);
  assert.is(delta.intervalMs, 2000);
  assert.equal(delta.drops, { malformed: 2 });
  assert.equal(delta.totals, { passed: 2000, echoReplies: 0, eventsLost: 0, errorsSent: 0 });
  assert.equal(delta.services, {
    more: set(2, 20, 200, 4, 40),
    // Its packets went back, so all of the row is new, its flows too.
    again: set(10, 20, 200),
    fresh: set(2, 4, 8),
  });
});

test('names of the language are names like others', () => {
  const now = sample(
    1000,
    Object.fromEntries([
      ['__proto__', set(1, 1, 1)],
      ['constructor', set(2, 2, 2)],
    ]),
  );
  const delta = deltas(sample(0, {}), now);
  assert.equal(Object.keys(delta.services).sort(), ['__proto__', 'constructor']);
  assert.equal(
    rateOf(deltas(sample(0, {}), sample(1000, {})), 'services', 'constructor'),
    NO_RATES,
  );
});

test('rates: both directions, per second', () => {
  assert.equal(rates(set(10, 100, 1000, 50, 500), 500), {
    flowsPerSecond: 20,
    packetsPerSecond: 300,
    bitsPerSecond: 24_000,
  });
  const delta = deltas(sample(0, {}), sample(2000, { a: set(4, 0, 0) }));
  assert.is(rateOf(delta, 'services', 'a').flowsPerSecond, 2);
  assert.equal(rateOf(null, 'members', 'a'), NO_RATES);
  assert.throws(() => rates(set(1, 1, 1), 0), /positive interval/);
  assert.equal(sum([set(1, 2, 3, 4, 5), set(10, 20, 30, 40, 50)]), set(11, 22, 33, 44, 55));
});

test('two samples of one instant divide by something', () => {
  assert.is(deltas(sample(5, {}), sample(5, {})).intervalMs, 1);
});

function failing(): EventLog {
  return new EventLog({
    capacity: 3,
    now: () => 77,
    onListenerError: (error) => {
      throw error;
    },
  });
}

test('events: the newest, numbered without gaps', () => {
  const log = failing();
  assert.equal(log.latest(10), []);
  for (const message of ['a', 'b', 'c', 'd', 'e'])
    log.append({ kind: 'daemon', severity: 'info', message });
  assert.equal(
    log.latest(10).map(({ sequence, message }) => [sequence, message]),
    [
      [3, 'c'],
      [4, 'd'],
      [5, 'e'],
    ],
  );
  assert.equal(
    log.latest(2).map(({ message }) => message),
    ['d', 'e'],
  );
  assert.equal(log.latest(0), []);
  assert.is(log.lastSequence, 5);
  assert.equal(log.latest(1)[0], {
    sequence: 5,
    time: 77,
    kind: 'daemon',
    severity: 'info',
    message: 'e',
    subject: {},
  });
});

test('events of flows push out no others, and kinds can be asked for', () => {
  const log = failing();
  log.append({ kind: 'daemon', severity: 'info', message: 'start' });
  for (const message of ['1', '2', '3', '4', '5']) {
    log.append({ kind: 'flow-new', severity: 'info', message });
  }
  log.append({ kind: 'member-state', severity: 'warning', message: 'down' });
  const messages = (...args: Parameters<EventLog['latest']>): string[] =>
    log.latest(...args).map(({ message }) => message);
  assert.equal(messages(10), ['start', '3', '4', '5', 'down']);
  assert.equal(messages(2), ['5', 'down']);
  assert.equal(messages(10, ['daemon', 'member-state']), ['start', 'down']);
  assert.equal(messages(1, ['flow-new']), ['5']);
  assert.equal(messages(10, undefined, 'warning'), ['down']);
  assert.equal(messages(10, ['daemon'], 'warning'), []);
  assert.equal(messages(10, undefined, 'error'), []);
});

test('subscribers: each hears all, may leave at any time, and cannot harm the others', () => {
  const errors: unknown[] = [];
  const log = new EventLog({ onListenerError: (error) => errors.push(error) });
  const heard: string[] = [];
  const leave = log.subscribe(({ message }) => {
    heard.push(`first ${message}`);
    leave();
  });
  log.subscribe(() => {
    throw new Error('bad listener');
  });
  const last = log.subscribe(({ message }) => heard.push(`last ${message}`));
  log.append({ kind: 'daemon', severity: 'info', message: '1' });
  log.append({ kind: 'daemon', severity: 'info', message: '2', time: 5 });
  last();
  last();
  log.append({ kind: 'daemon', severity: 'info', message: '3' });
  assert.equal(heard, ['first 1', 'last 1', 'last 2']);
  assert.is(errors.length, 3);
  assert.throws(() => new EventLog({ capacity: 0, onListenerError: () => {} }), /at least 1/);
});

test.run();
