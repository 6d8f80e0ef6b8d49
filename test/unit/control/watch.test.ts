/** What is told of limits, disks, clocks and members that flap: when it begins, when it is over, once each. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kernelClock } from '../../../native/ffi/clock.js';
import { ClockWatch, UNSYNCHRONISED_GRACE_MS } from '../../../appliance/control/watch/clock.js';
import { diskSpace, DiskWatch } from '../../../appliance/control/watch/disk.js';
import {
  FLAPPING_CHANGES,
  FLAPPING_WINDOW_MS,
  FlappingWatch,
} from '../../../appliance/control/watch/flapping.js';
import { CALM_MS, FillWatch, LimitWatch } from '../../../appliance/control/watch/limits.js';
import { refusals } from '../../../appliance/control/watch/refusals.js';
import { clockDifference } from '../../../appliance/ha/pair/clock.js';
import type { NewEvent } from '../../../appliance/telemetry/event-log.js';

const test = suite('watches');

const told = (events: readonly NewEvent[]): string[] =>
  events.map(({ kind, severity, message }) => `${kind} ${severity}: ${message}`);

function change(before: string, after: string): Pick<NewEvent, 'kind' | 'subject'> {
  return {
    kind: 'member-state',
    subject: { pool: 'web', member: '10.0.0.1:80', before, after },
  };
}

function flap(watch: FlappingWatch, times: number, from: number, apart: number): NewEvent[] {
  return Array.from({ length: times }, (_, index) =>
    watch.hear(index % 2 === 0 ? change('UP', 'DOWN') : change('DOWN', 'UP'), from + index * apart),
  ).flatMap((event) => event ?? []);
}

test('a member that changes often within the window flaps, which is told once and until it is calm', () => {
  const watch = new FlappingWatch();
  assert.equal(flap(watch, FLAPPING_CHANGES - 1, 0, 1000), []);
  assert.equal(watch.alarms(), []);
  assert.equal(told(flap(watch, 3, 4000, 1000)), [
    'member-flapping warning: 10.0.0.1:80 of pool web is flapping: it changed 5 times within 4 s',
  ]);
  assert.match(watch.alarms()[0]?.message ?? '', /is flapping: 7 changes so far/);
  assert.is(watch.alarms()[0]?.since, 4000);
  const there = (): boolean => true;
  assert.equal(watch.step(6000 + FLAPPING_WINDOW_MS, there), []);
  assert.equal(told(watch.step(6001 + FLAPPING_WINDOW_MS, there)), [
    'member-flapping info: 10.0.0.1:80 of pool web is calm again after 7 changes',
  ]);
  assert.equal(watch.alarms(), []);
});

test('changes over a longer time, and those that an administrator makes, are no flapping', () => {
  const slow = new FlappingWatch();
  assert.equal(flap(slow, 20, 0, FLAPPING_WINDOW_MS / (FLAPPING_CHANGES - 1) + 1), []);
  const ordered = new FlappingWatch();
  for (let index = 0; index < 20; index += 1) {
    assert.is(ordered.hear(change('UP', 'DISABLED'), index), null);
    assert.is(ordered.hear(change('DISABLED', 'UP'), index), null);
  }
});

test('a member that is gone flaps no more, and nothing is said of it', () => {
  const watch = new FlappingWatch();
  flap(watch, FLAPPING_CHANGES, 0, 1);
  assert.equal(
    watch.step(10, () => false),
    [],
  );
  assert.equal(watch.alarms(), []);
});

const counts = (rate: number, dropped = 0): Parameters<typeof refusals>[0] => ({
  drops: { 'rate-limit': dropped },
  proxied: new Map([['shop', { rate, connections: 0, queueFull: 0, queueTimeout: 0 }]]),
});

test('a limit that is hit is one event at its begin and one at its end, with how much was refused', () => {
  const watch = new LimitWatch();
  // What was refused before anybody looked is no news.
  assert.equal(watch.step(refusals(counts(100)), 0), []);
  assert.equal(told(watch.step(refusals(counts(103)), 1000)), [
    'limit warning: service shop: requests are refused: they come faster than limits allow',
  ]);
  assert.equal(watch.step(refusals(counts(150)), 2000), []);
  assert.match(watch.alarms()[0]?.message ?? '', /^Service shop: .*; 50 so far\.$/);
  assert.equal(watch.step(refusals(counts(150)), 2000 + CALM_MS - 1), []);
  const [over, ...more] = watch.step(refusals(counts(150)), 2000 + CALM_MS);
  assert.equal(more, []);
  assert.is(over?.severity, 'info');
  assert.match(over?.message ?? '', /^over: service shop: .*; 50 were, within 1 s$/);
  assert.equal(over?.subject, { service: 'shop', reason: 'rate-limit' });
  assert.equal(watch.alarms(), []);
});

test('each limit is told by itself; counters that begin anew hit nothing; a service that is gone is over', () => {
  const watch = new LimitWatch();
  watch.step(refusals(counts(0)), 0);
  assert.is(watch.step(refusals(counts(5, 7)), 1).length, 2);
  assert.equal(watch.step(refusals(counts(0, 0)), 2), []);
  const gone = watch.step(refusals({ ...counts(0), proxied: new Map() }), 3);
  assert.equal(
    gone.map(({ subject }) => subject),
    [{ service: 'shop', reason: 'rate-limit' }],
  );
});

test('a table is told at nine tenths, and again when it is below eight', () => {
  const watch = new FillWatch();
  const at = (entries: number | null): string[] =>
    told(watch.step([{ name: 'flows', entries, limit: 1000 }]));
  assert.equal(at(null), []);
  assert.equal(at(899), []);
  assert.equal(at(900), [
    'limit warning: the table flows of the fast path is nearly full: 900 of 1000 entries',
  ]);
  assert.equal(at(850), []);
  assert.equal(at(799), [
    'limit info: the table flows of the fast path has room again: 799 of 1000 entries',
  ]);
});

const MIB = 2 ** 20;
const disk = (freeMib: number, sizeMib: number): Parameters<DiskWatch['step']>[0] => [
  { directory: '/var/lib/weir', free: freeMib * MIB, size: sizeMib * MIB },
];

test('a disk is told when it fills up, when it gets worse, and when there is room again', () => {
  const watch = new DiskWatch();
  const at = (free: number): string[] =>
    watch.step(disk(free, 20_480), 5).map(({ severity }) => severity);
  assert.equal(at(1025), []);
  assert.equal(at(1023), ['warning']);
  assert.equal(at(1100), [], 'a little more is no news');
  assert.equal(at(199), ['error']);
  assert.is(watch.alarms()[0]?.severity, 'error');
  assert.match(watch.alarms()[0]?.message ?? '', /199 MiB of 20\.0 GiB are free \(1\.0 %\)/);
  assert.equal(at(300), ['warning']);
  assert.equal(at(1300), ['info']);
  assert.equal(watch.alarms(), []);
});

test('of a small disk a tenth counts, not a GiB; one that nobody writes to any more is forgotten', () => {
  const watch = new DiskWatch();
  assert.equal(watch.step(disk(500, 4000), 0), []);
  assert.is(watch.step(disk(399, 4000), 0).length, 1);
  assert.is(watch.step(disk(119, 4000), 0)[0]?.severity, 'error');
  assert.equal(watch.step([], 0), []);
  assert.equal(watch.alarms(), []);
});

test('the space of a file system is read', async () => {
  const { free, size } = await diskSpace('/');
  assert.ok(size > 0 && free >= 0 && free <= size);
  await diskSpace('/nowhere/at/all').then(
    () => assert.unreachable(),
    (error: NodeJS.ErrnoException) => assert.is(error.code, 'ENOENT'),
  );
});

test('a clock that never was synchronised is nobody’s alarm; one that was, after a while', () => {
  const never = new ClockWatch();
  const look = (synchronised: boolean | null) => ({ synchronised, difference: null });
  assert.equal(never.step(look(false), 0, 0), []);
  assert.equal(never.step(look(false), 10 * UNSYNCHRONISED_GRACE_MS, 0), []);

  const watch = new ClockWatch();
  watch.step(look(true), 0, 0);
  assert.equal(watch.step(look(false), 1000, 0), []);
  assert.equal(watch.step(look(null), 2000, 0), []);
  assert.equal(watch.step(look(false), 3000, 0), []);
  assert.equal(watch.step(look(false), 2999 + UNSYNCHRONISED_GRACE_MS, 0), []);
  assert.equal(told(watch.step(look(false), 3000 + UNSYNCHRONISED_GRACE_MS, 77)), [
    'clock warning: the clock is not synchronised any more',
  ]);
  assert.equal(
    watch.alarms().map(({ code, since }) => [code, since]),
    [['clock-unsynchronised', 77]],
  );
  assert.equal(told(watch.step(look(true), 1e7, 0)), [
    'clock info: the clock is synchronised again',
  ]);
  assert.equal(watch.alarms(), []);
});

test('clocks of a pair that differ by more than a second for a while are told', () => {
  const watch = new ClockWatch();
  const at = (ms: number | null, now: number, errorMs = 1): string[] =>
    told(
      watch.step(
        { synchronised: null, difference: ms === null ? null : { ms, errorMs, peer: 'unit-b' } },
        now,
        now,
      ),
    );
  assert.equal(at(-1500, 0), []);
  assert.equal(at(-900, 5000), [], 'it must last');
  assert.equal(at(-1500, 6000), []);
  assert.equal(at(-1500, 16_000), [
    "clock warning: the clock of unit-b is 1.5 s behind this unit's",
  ]);
  assert.is(watch.alarms()[0]?.code, 'clock-difference');
  assert.equal(at(null, 20_000), [], 'while it is not heard, nothing new is known');
  assert.is(watch.alarms().length, 1);
  assert.equal(at(-700, 21_000), []);
  assert.equal(at(-400, 22_000), ['clock info: the clocks of this unit and unit-b agree again']);
  assert.equal(watch.alarms(), []);
  // What may be due to a slow round trip is no difference.
  assert.equal(at(1500, 30_000, 600), []);
  assert.equal(at(1500, 90_000, 600), []);
});

test('the difference of two clocks is measured from the middle of the round trip', () => {
  assert.equal(clockDifference(10_050, 8100, 100), { ms: 2000, errorMs: 50 });
  assert.equal(clockDifference(0, 0, 0), { ms: 0, errorMs: 0 });
});

test('the kernel says whether its clock is synchronised', () => {
  const { synchronised, offset, maximumError } = kernelClock();
  assert.type(synchronised, 'boolean');
  // The kernel counts it as lost from 16 s on.
  assert.ok(maximumError >= 0 && maximumError <= 16.1, String(maximumError));
  assert.ok(Math.abs(offset) <= 1, String(offset));
});

test.run();
