/** The histogram of the layer-7 benchmark, against sorting. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Histogram } from '../../bench/l7-histogram.js';
import { generator } from '../../support/random.js';

const test = suite('histogram of latencies');

/** What 128 buckets for each doubling may be off by, and one tenth of a microsecond. */
const near = (seen: number, wanted: number): boolean =>
  seen >= Math.floor(wanted * 10) / 10 && seen <= wanted * (1 + 1 / 128) + 0.1;

test('quantiles are those of the sorted values, to 1/128', () => {
  const random = generator(7);
  const histogram = new Histogram();
  const values = Array.from({ length: 10_000 }, () => 10 ** (1 + random(50_000) / 10_000));
  for (const value of values) histogram.record(value);
  values.sort((a, b) => a - b);
  for (const part of [0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1]) {
    const wanted = values[Math.max(0, Math.ceil(part * values.length) - 1)] ?? NaN;
    const seen = histogram.quantile(part);
    assert.ok(near(seen, wanted), `${part}: ${seen} where sorting gives ${wanted}`);
  }
  assert.is(histogram.count, 10_000);
});

test('every value falls into a bucket that stands for it', () => {
  for (let tenths = 0; tenths < 100_000; tenths += 1) {
    const histogram = tenths % 1000 === 0 ? new Histogram() : shared;
    histogram.reset();
    histogram.record(tenths / 10 + 0.01);
    const seen = histogram.quantile(1);
    assert.ok(near(seen, tenths / 10), `${tenths / 10} is told as ${seen}`);
  }
});
const shared = new Histogram();

test('one slow answer of a thousand shows at 99.9 % and not at 99 %', () => {
  const histogram = new Histogram();
  for (let i = 0; i < 998; i += 1) histogram.record(100);
  histogram.record(50_000);
  histogram.record(50_000);
  assert.ok(near(histogram.quantile(0.99), 100));
  assert.ok(near(histogram.quantile(0.999), 50_000));
});

test('what is too long for it counts as the longest, and nothing is negative', () => {
  const histogram = new Histogram();
  histogram.record(1e12);
  histogram.record(-3);
  assert.is(histogram.quantile(0.5), 0);
  assert.ok(histogram.quantile(1) >= 107_000_000);
});

test('an empty one has no quantiles, and reset empties it', () => {
  const histogram = new Histogram();
  histogram.record(1);
  histogram.reset();
  assert.is(histogram.count, 0);
  assert.throws(() => histogram.quantile(0.5), /without values/);
});

test.run();
