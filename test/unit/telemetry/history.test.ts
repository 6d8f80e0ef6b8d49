import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import { Archive } from '../../../appliance/telemetry/history/archive.js';
import { HistoryStore } from '../../../appliance/telemetry/history/history-store.js';
import { History } from '../../../appliance/telemetry/history/history.js';
import { HistoryKeeper } from '../../../appliance/telemetry/history/keeper.js';
import type { Sample } from '../../../appliance/telemetry/history/series.js';
import { memoryOf, timesOf } from '../../../appliance/telemetry/history/unit-load.js';

const T = Date.UTC(2026, 2, 1, 12, 0, 0);
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const archive = suite('history: one archive');

function seconds(slots: number): Archive {
  return new Archive({ stepMs: SECOND, slots }, 1);
}

archive('a slot has the average over the time that was seen of it', () => {
  const one = new Archive({ stepMs: MINUTE, slots: 3 }, 1);
  one.add(T, T + 10_000, [30]);
  one.add(T + 10_000, T + 30_000, [60]);
  assert.deepEqual(one.read(T + 30_000, 0), [null, null, 50]);
});

archive('an interval over a bound counts in both slots', () => {
  const one = new Archive({ stepMs: MINUTE, slots: 2 }, 1);
  one.add(T + 30_000, T + 90_000, [10]);
  one.add(T + 90_000, T + 120_000, [40]);
  assert.deepEqual(one.read(T + 119_999, 0), [10, 25]);
});

archive('the oldest slots give way, and time without samples is not known rather than zero', () => {
  const one = seconds(4);
  for (let second = 0; second < 6; second += 1) {
    one.add(T + second * SECOND, T + (second + 1) * SECOND, [second + 1]);
  }
  assert.deepEqual(one.read(T + 5 * SECOND, 0), [3, 4, 5, 6]);
  one.add(T + 8 * SECOND, T + 9 * SECOND, [9]);
  assert.deepEqual(one.read(T + 8 * SECOND, 0), [6, null, null, 9]);
  assert.deepEqual(one.read(T + 10 * SECOND, 0), [null, 9, null, null]);
  assert.deepEqual(one.read(T + 100 * SECOND, 0), [null, null, null, null]);
});

archive('zero is a value', () => {
  const one = seconds(2);
  one.add(T, T + SECOND, [0]);
  assert.deepEqual(one.read(T, 0), [null, 0]);
});

archive('a measure that is not known leaves the others alone', () => {
  const one = new Archive({ stepMs: SECOND, slots: 1 }, 2);
  one.add(T, T + 500, [NaN, 2]);
  one.add(T + 500, T + 1000, [5, 4]);
  assert.deepEqual([one.read(T, 0), one.read(T, 1)], [[5], [3]]);
});

archive('where the clock goes back, the time that comes again counts once', () => {
  const one = seconds(10);
  for (let second = 0; second < 8; second += 1) {
    one.add(T + second * SECOND, T + (second + 1) * SECOND, [100]);
  }
  one.add(T + 2 * SECOND, T + 3 * SECOND, [1]);
  assert.deepEqual(one.read(T + 7 * SECOND, 0), [
    ...[null, null, 100, 100, 1],
    ...[null, null, null, null, null],
  ]);
});

archive('a clock that went far ahead and comes back leaves what is older than both', () => {
  const one = seconds(100);
  for (let second = 0; second < 10; second += 1) {
    one.add(T + second * SECOND, T + (second + 1) * SECOND, [100]);
  }
  one.add(T + 50 * SECOND, T + 51 * SECOND, [7]);
  one.add(T + 10 * SECOND, T + 11 * SECOND, [8]);
  const values = one.read(T + 10 * SECOND, 0).slice(-12);
  assert.deepEqual(values, [null, ...Array.from({ length: 10 }, () => 100), 8]);
  assert.equal(one.read(T + 60 * SECOND, 0)[90], null, 'the future is not known');
});

archive('intervals that overlap by a moment, as with a slewed clock, forget nothing', () => {
  const one = seconds(3);
  one.add(T, T + 1003, [4]);
  one.add(T + 998, T + 2001, [6]);
  assert.deepEqual(one.read(T + 1500, 0), [null, 4, 5.99402]);
});

archive('an interval that is none is refused', () => {
  const one = seconds(3);
  assert.throws(() => one.add(T, T, [1]), /ends after it began/);
  assert.throws(() => one.add(NaN, T, [1]), RangeError);
  assert.throws(() => one.add(T, Infinity, [1]), RangeError);
});

archive('goes on in the middle of a slot from what a file had', () => {
  const shape = { stepMs: MINUTE, slots: 3 };
  const one = new Archive(shape, 1);
  one.add(T, T + 20_000, [30]);
  const two = Archive.restore(shape, 1, one.state);
  two?.add(T + 20_000, T + 60_000, [60]);
  assert.deepEqual(two?.read(T + 50_000, 0), [null, null, 50]);
  assert.equal(Archive.restore({ stepMs: MINUTE, slots: 4 }, 1, one.state), null);
  assert.equal(Archive.restore(shape, 1, { ...one.state, newest: 1.5 }), null);
  const values = one.state.values.fill(-1);
  assert.equal(Archive.restore(shape, 1, { ...one.state, values }), null);
});

archive.run();

const history = suite('history: of unit and services');

history('every span tells the same traffic, each in its steps', () => {
  const all = new History();
  for (let second = 0; second < 120; second += 1) {
    const at = T + second * SECOND;
    const bitsIn = second < 60 ? 1e9 : 3e9;
    all.add(at, at + SECOND, new Map([['unit', { bitsIn }]]));
  }
  const now = T + 119 * SECOND;
  const read = (span: '10m' | '1h' | '24h' | '30d' | '1y'): (number | null)[] =>
    [...(all.read('unit', span, now)?.values.bitsIn ?? [])].filter((one) => one !== null);
  assert.equal(read('10m').length, 120);
  assert.deepEqual(read('1h'), [...Array<number>(6).fill(1e9), ...Array<number>(6).fill(3e9)]);
  assert.deepEqual(read('24h'), [1e9, 3e9]);
  assert.deepEqual([read('30d'), read('1y')], [[2e9], [2e9]]);
  assert.equal(all.read('unit', '24h', now)?.newest, T + MINUTE);
  assert.deepEqual(all.read('unit', '24h', now)?.values.requests?.filter(Boolean), []);
});

history('is bounded: the service that was recorded longest ago gives way', () => {
  const all = new History(2);
  const sample: Sample = { connections: 1 };
  const record = (at: number, ...names: string[]): string[] =>
    all.add(at, at + SECOND, new Map(names.map((name) => [name, sample])));
  record(T, 'unit', 'service:a', 'service:b');
  record(T + SECOND, 'unit', 'service:b');
  assert.deepEqual(record(T + 2 * SECOND, 'unit', 'service:b', 'service:c'), ['service:a']);
  assert.equal(all.read('service:a', '1h', T), null);
  // All are recorded now: the newcomer waits.
  assert.deepEqual(record(T + 3 * SECOND, 'service:b', 'service:c', 'service:d'), []);
  assert.deepEqual([...all.names], ['unit', 'service:b', 'service:c']);
});

history.run();

const file = suite('history: on the disk');

interface Disk {
  readonly path: string;
  readonly damages: string[];
  readonly errors: unknown[];
  readonly open: () => HistoryStore;
}

function withDisk(act: (disk: Disk) => void): () => void {
  return () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-history-'));
    try {
      const path = join(folder, 'history.db');
      const damages: string[] = [];
      const errors: unknown[] = [];
      const open = (): HistoryStore =>
        new HistoryStore(path, {
          busyTimeout: 1,
          onDamage: (sentence) => damages.push(sentence),
          onError: (error) => errors.push(error),
        });
      act({ path, damages, errors, open });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

const gather = (connections: number) => (): ReadonlyMap<string, Sample> =>
  new Map([
    ['unit', { connections }],
    ['service:shop', { connections }],
  ]);

function last(keeper: HistoryKeeper, of: string, time: number): (number | null)[] {
  return keeper.read(of, '10m', time)?.values.connections?.slice(-4) ?? [];
}

file(
  'goes on after a restart, with a gap for the time between',
  withDisk(({ open, damages, errors }) => {
    const first = new HistoryKeeper(open());
    for (let second = 0; second <= 2; second += 1) {
      first.step({ time: T + second * SECOND, monotonic: second * SECOND }, gather(5));
    }
    first.close();
    const next = new HistoryKeeper(open());
    assert.deepEqual(last(next, 'unit', T + 1500), [null, null, 5, 5]);
    // Its monotonic clock has nothing to do with that of the one before.
    next.step({ time: T + 4 * SECOND, monotonic: 99 }, gather(1000));
    next.step({ time: T + 5 * SECOND, monotonic: 1099 }, gather(7));
    assert.deepEqual(last(next, 'unit', T + 4500), [5, null, null, 7]);
    assert.equal(last(next, 'service:shop', T + 4500)[3], 5.66667, 'two seconds of 5, one of 7');
    next.close();
    assert.deepEqual([damages, errors], [[], []]);
  }),
);

file(
  'is written seldom, a little at a time, and nothing is lost but that',
  withDisk(({ path, open }) => {
    const keeper = new HistoryKeeper(open());
    for (let second = 0; second <= 605; second += 1) {
      keeper.step({ time: T + second * SECOND, monotonic: second * SECOND }, gather(5));
    }
    // As after a crash: nobody closed the first one.
    const next = new HistoryKeeper(open());
    const kept = next.read('unit', '24h', T + 10 * MINUTE)?.values.connections ?? [];
    assert.equal(kept.filter((one) => one === 5).length, 11);
    next.close();
    keeper.close();
    const size = statSync(path).size;
    const again = new HistoryKeeper(open());
    for (let hour = 1; hour < 50; hour += 1) {
      again.step({ time: T + hour * HOUR, monotonic: 0 }, gather(5));
      again.step({ time: T + hour * HOUR + SECOND, monotonic: SECOND }, gather(5));
    }
    again.close();
    assert.equal(statSync(path).size, size, 'the size does not follow from time');
  }),
);

file(
  'a clock that jumps, and a unit that slept, leave a gap and no peak',
  withDisk(({ open }) => {
    const keeper = new HistoryKeeper(open());
    keeper.step({ time: T, monotonic: 0 }, gather(1));
    keeper.step({ time: T + SECOND, monotonic: SECOND }, gather(1));
    keeper.step({ time: T + HOUR, monotonic: 2 * SECOND }, gather(999));
    keeper.step({ time: T + HOUR + SECOND, monotonic: 3 * SECOND }, gather(2));
    assert.deepEqual(last(keeper, 'unit', T + HOUR + 500), [null, null, null, 2]);
    keeper.step({ time: T + 2 * SECOND, monotonic: 4 * SECOND }, gather(999));
    keeper.step({ time: T + 3 * SECOND, monotonic: 5 * SECOND }, gather(3));
    assert.deepEqual(last(keeper, 'unit', T + 2500).slice(1), [null, null, 3]);
    keeper.step({ time: T + 63 * SECOND, monotonic: 65 * SECOND }, gather(999));
    assert.deepEqual(last(keeper, 'unit', T + 62_500), [null, null, null, null]);
    keeper.close();
  }),
);

for (const [what, damage] of [
  ['is no database', (path: string) => writeFileSync(path, 'x'.repeat(8192))],
  ['is empty', (path: string) => writeFileSync(path, '')],
  [
    'is damaged inside',
    (path: string) => {
      const bytes = readFileSync(path);
      bytes.fill(0xa5, 4096, 4096 * 4);
      writeFileSync(path, bytes);
    },
  ],
] as const) {
  file(
    `a file that ${what} is put aside, told, and begun anew`,
    withDisk(({ path, open, damages }) => {
      const before = new HistoryKeeper(open());
      before.step({ time: T, monotonic: 0 }, gather(5));
      before.step({ time: T + SECOND, monotonic: SECOND }, gather(5));
      before.close();
      damage(path);
      const keeper = new HistoryKeeper(open());
      assert.equal(damages.length, 1);
      assert.match(damages[0] ?? '', /begins anew/);
      keeper.step({ time: T, monotonic: 0 }, gather(6));
      keeper.step({ time: T + SECOND, monotonic: SECOND }, gather(6));
      keeper.close();
      const again = new HistoryKeeper(open());
      assert.deepEqual(last(again, 'unit', T + 500).slice(-1), [6]);
      again.close();
      assert.equal(damages.length, 1);
    }),
  );
}

file(
  'an archive in it that makes no sense begins anew, and the others go on',
  withDisk(({ path, open, damages, errors }) => {
    const before = new HistoryKeeper(open());
    before.step({ time: T, monotonic: 0 }, gather(5));
    before.step({ time: T + SECOND, monotonic: SECOND }, gather(5));
    before.close();
    const database = new Database(path);
    database.exec(`UPDATE archives SET content = x'00ff' WHERE span = '10m' AND series = 'unit'`);
    database.exec(`UPDATE archives SET span = '9m' WHERE span = '1h' AND series = 'unit'`);
    database.close();
    const keeper = new HistoryKeeper(open());
    const known = (span: '10m' | '1h' | '24h'): number =>
      keeper.read('unit', span, T)?.values.connections?.filter((one) => one !== null).length ?? -1;
    assert.deepEqual([known('10m'), known('1h'), known('24h')], [0, 0, 1]);
    keeper.close();
    assert.deepEqual([damages, errors], [[], []]);
  }),
);

file(
  'a file that cannot be written is told once and hinders nothing; later all of it is written',
  withDisk(({ path, open, errors }) => {
    const keeper = new HistoryKeeper(open());
    const other = new Database(path);
    other.exec('BEGIN IMMEDIATE');
    let second = 0;
    const go = (until: number): void => {
      for (; second <= until; second += 1) {
        keeper.step({ time: T + second * SECOND, monotonic: second * SECOND }, gather(5));
      }
    };
    go(1300);
    assert.equal(errors.length, 1);
    assert.deepEqual(last(keeper, 'unit', T + 1299.5 * SECOND), [5, 5, 5, 5]);
    other.exec('COMMIT');
    other.close();
    go(1900);
    const next = new HistoryKeeper(open());
    const kept = next.read('unit', '24h', T + 1900 * SECOND)?.values.connections ?? [];
    assert.ok(kept.filter((one) => one === 5).length >= 30);
    next.close();
    keeper.close();
    assert.equal(errors.length, 1);
  }),
);

file.run();

const load = suite('history: load of the unit');

load('CPU time is that of all CPUs without idle and waiting, memory what is not available', () => {
  assert.deepEqual(timesOf('cpu  10 1 5 80 4 0 0 0 3 0\ncpu0 1 2 3 4\n'), { busy: 16, all: 100 });
  assert.equal(timesOf('intr 1\n'), null);
  assert.equal(memoryOf('MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  250 kB\n'), 0.75);
  assert.equal(memoryOf('MemTotal:  1000 kB\n'), null);
});

load.run();
