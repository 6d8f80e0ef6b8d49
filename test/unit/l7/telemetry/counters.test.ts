/** Counters and durations: what workers count is what the daemon reads, also across changes of hands. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import {
  counter,
  counterRegion,
  counterRegionBytes,
  durationBuckets,
  durationMax,
  durationSum,
  rowDoubles,
} from '../../../../appliance/l7/telemetry/counter-layout.js';
import {
  clearGauges,
  CounterReader,
  difference,
  readCounters,
  readRow,
} from '../../../../appliance/l7/telemetry/counter-reader.js';
import {
  bucketCount,
  bucketOf,
  bucketStart,
  bucketValue,
  durationsOf,
} from '../../../../appliance/l7/telemetry/histogram.js';
import { RowRegistry } from '../../../../appliance/l7/telemetry/row-registry.js';
import { memberTraffic, poolTraffic, trafficOf } from '../../../../appliance/l7/telemetry/views.js';
import { WorkerCounters } from '../../../../appliance/l7/telemetry/worker-counters.js';

const test = suite('l7 telemetry: counters');
const rows = 16;

function region(): ReturnType<typeof counterRegion> {
  return counterRegion(new ArrayBuffer(counterRegionBytes(rows) + 64), 64, rows);
}

test('buckets follow each other without a gap, and each duration is in its own', () => {
  for (let i = 0; i < bucketCount; i += 1) {
    const from = bucketStart(i);
    assert.is(bucketOf(from), i, `the beginning of bucket ${i}`);
    if (i + 1 < bucketCount) assert.ok(bucketStart(i + 1) > from, `bucket ${i} has no width`);
  }
  for (const odd of [-1, Number.NaN, -Infinity]) assert.is(bucketOf(odd), 0);
  for (const long of [134_217_728, 1e12, Infinity]) assert.is(bucketOf(long), bucketCount - 1);
});

test('from 1 µs to 100 s a duration is told with an error of at most 6 %', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 8, noNaN: true }), (power) => {
      const micros = 10 ** power;
      const told = bucketValue(bucketOf(micros));
      const error = Math.abs(told - micros) / micros;
      assert.ok(error <= 0.06, `${micros} µs became ${told} µs`);
    }),
    { numRuns: 5000 },
  );
});

test('percentiles are those of the sorted list, within the error', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 100_000_000 }), { minLength: 1, maxLength: 400 }),
      (list) => {
        const one = region();
        const counters = new WorkerCounters(one);
        for (const micros of list) counters.record(3, micros);
        const row = readRow([one], 3);
        const seen = durationsOf(
          row,
          durationBuckets,
          row[durationSum] ?? 0,
          row[durationMax] ?? 0,
        );
        if (seen === null) throw new Error('nothing was counted');
        const sorted = list.toSorted((a, b) => a - b);
        const wanted = (share: number): number =>
          sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
        for (const [share, told] of [
          [0.5, seen.p50],
          [0.9, seen.p90],
          [0.99, seen.p99],
          [0.999, seen.p999],
        ] as const) {
          const exact = wanted(share);
          assert.ok(Math.abs(told - exact) / exact <= 0.06, `p${share}: ${told}, exactly ${exact}`);
        }
        assert.is(seen.max, sorted.at(-1));
        assert.is(seen.count, list.length);
        const sum = list.reduce((a, b) => a + b, 0);
        assert.ok(Math.abs(seen.mean - sum / list.length) < 0.01);
      },
    ),
    { numRuns: 100 },
  );
});

test('the longest of a time is exact when it is the longest of all, else the end of its bucket', () => {
  const one = region();
  const counters = new WorkerCounters(one);
  counters.record(1, 50_000);
  const before = readRow([one], 1);
  counters.record(1, 1000);
  const middle = readRow([one], 1);
  const max = (a: Float64Array, b: Float64Array): number | undefined => {
    const gained = difference(a, b);
    return durationsOf(gained, durationBuckets, gained[durationSum] ?? 0, gained[durationMax] ?? 0)
      ?.max;
  };
  const bound = max(before, middle) ?? 0;
  assert.ok(bound >= 1000 && bound < 1130, `1000 µs became at most ${bound} µs`);
  counters.record(1, 70_001);
  assert.is(max(middle, readRow([one], 1)), 70_001);
  assert.is(difference(before, before)[durationBuckets + bucketOf(50_000)], 0);
});

test('what several workers count is added up by name', () => {
  const regions = [region(), region()];
  const [a, b] = regions.map((one) => new WorkerCounters(one));
  const registry = new RowRegistry(rows);
  const names = registry.assign(['service/web', 'member/web/m']).rows;
  const row = registry.rowOf('service/web');
  for (const worker of [a, b, b]) {
    worker?.opened(row);
    worker?.begun(row);
    worker?.finished(row, 204, 100, 250, 1500);
  }
  b?.begun(row);
  b?.answered(row, 100);
  b?.answered(row, 0);
  b?.answered(row, 999);
  a?.closed(row);
  a?.add(row, counter.refusedRate, 2);
  const seen = readCounters(regions, names).get('service/web');
  const of = (which: number): number | undefined => seen?.[which];
  assert.is(of(counter.opened), 3);
  assert.is(of(counter.active), 2);
  assert.is(of(counter.requests), 4);
  assert.is(of(counter.underWay), 1);
  assert.is(of(counter.status2xx), 3);
  assert.is(of(counter.status1xx), 1);
  assert.is(of(counter.bytesIn), 300);
  assert.is(of(counter.bytesOut), 750);
  assert.is(of(counter.refusedRate), 2);
});

test('a row that is none counts as nobody’s and harms no other', () => {
  const one = region();
  const counters = new WorkerCounters(one);
  for (const row of [-1, rows, 1e9, Number.NaN]) counters.add(row, counter.requests, 1);
  assert.is(readRow([one], 0)[counter.requests], 4);
  assert.is(
    one.values.reduce((a, b) => a + b, 0),
    4,
  );
});

test('the next owner of a row begins at zero', () => {
  const one = region();
  const counters = new WorkerCounters(one);
  const registry = new RowRegistry(2);
  const reader = new CounterReader();
  reader.assigned(registry.assign(['a']), [one]);
  counters.begun(1);
  counters.finished(1, 500, 10, 20, 9000);
  assert.is(reader.read([one], 0).rows.get('a')?.[counter.requests], 1);
  reader.assigned(registry.assign(['b']), [one]);
  counters.begun(1);
  counters.finished(1, 200, 1, 2, 1000);
  const sample = reader.read([one], 1000);
  assert.equal([...sample.rows.keys()], ['b']);
  const seen = trafficOf(null, sample, ['b']);
  assert.is(seen.totals.requests, 1);
  assert.is(seen.totals.responses['5xx'], 0);
  assert.is(seen.totals.bytesIn, 1);
  assert.is(seen.underWay, 0);
});

test('a worker that died has nothing open any more, and what it counted stays', () => {
  const dead = region();
  const alive = region();
  for (const [one, times] of [
    [dead, 3],
    [alive, 2],
  ] as const) {
    const counters = new WorkerCounters(one);
    for (let i = 0; i < times; i += 1) {
      counters.opened(2);
      counters.begun(2);
    }
  }
  clearGauges(dead, 4);
  const row = readRow([dead, alive], 2);
  assert.is(row[counter.active], 2);
  assert.is(row[counter.underWay], 2);
  assert.is(row[counter.requests], 5);
});

test('rates and durations are those of the time between two samples', () => {
  const one = region();
  const counters = new WorkerCounters(one);
  const registry = new RowRegistry(rows);
  const reader = new CounterReader();
  reader.assigned(registry.assign(['member/p/a', 'member/p/b']), [one]);
  const spend = (row: number, status: number, micros: number): void => {
    counters.begun(row);
    counters.finished(row, status, 100, 900, micros);
  };
  spend(1, 200, 5_000_000);
  const before = reader.read([one], 10_000);
  for (let i = 0; i < 10; i += 1) spend(1, 200, 2000);
  for (let i = 0; i < 10; i += 1) spend(2, 503, 8000);
  const now = reader.read([one], 12_000);
  const pool = poolTraffic(before, now, ['p/a', 'p/b']);
  assert.is(pool.rates.requestsPerSecond, 10);
  assert.is(pool.rates.errorsPerSecond, 5);
  assert.is(pool.rates.bitsPerSecond, 80_000);
  assert.is(pool.totals.requests, 21);
  const near = (seen: number | undefined, wanted: number): void =>
    assert.ok(Math.abs((seen ?? 0) - wanted) / wanted <= 0.06, `${seen} ms, not ${wanted} ms`);
  near(pool.latency?.p50, 2);
  near(pool.latency?.p99, 8);
  assert.is(pool.latency?.max, 8);
  assert.is(pool.latency?.mean, 5);
  const quiet = memberTraffic(now, now, 'p/a');
  assert.is(quiet.latency, null);
  assert.is(quiet.rates.requestsPerSecond, 0);
  assert.is(trafficOf(null, now, ['member/none']).totals.requests, 0);
});

test('memory of another layout is not counted in', () => {
  const memory = new ArrayBuffer(counterRegionBytes(rows));
  counterRegion(memory, 0, rows);
  counterRegion(memory, 0, rows);
  assert.throws(() => counterRegion(memory, 0, rows - 1), /restart all workers/);
  assert.is((rowDoubles * 8) % 64, 0, 'a row is whole cache lines');
});

test('counting allocates nothing', () => {
  const counters = new WorkerCounters(region());
  const micros = Int32Array.from({ length: 64 }, (_, i) => 1.7 ** (i % 30));
  const round = (i: number): void => {
    const took = micros[i & 63] ?? 0;
    counters.opened(1);
    counters.begun(1);
    counters.finished(1, 200, 300 + (i & 7), 9000, took);
    counters.finished(2, 404, 300 + (i & 7), 9000, took);
    counters.add(2, counter.retries, 1);
    counters.closed(1);
  };
  const rounds = 50_000;
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 8; run += 1) {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < rounds; i += 1) round(i);
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  assert.ok(least / rounds < 1, `${(least / rounds).toFixed(1)} bytes of heap a round`);
});

test.run();
