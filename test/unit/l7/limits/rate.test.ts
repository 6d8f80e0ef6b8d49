/** The numbers of a bucket: how exact they are, and what is cut. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bucketRate, MOST_AHEAD, MOST_SHIFT } from '../../../../appliance/l7/limits/rate.js';
import { slowBodyLeft } from '../../../../appliance/l7/limits/slow-body.js';

const test = suite('rates');

test('the rate is right to a thousandth, and the burst exact', () => {
  for (const perSecond of [1 / 3600, 1 / 60, 0.5, 1, 3, 7, 100, 999, 1000, 3333, 50_000, 250_000]) {
    for (const burst of [1, 2, 10, 200]) {
      const { shift, cost, tolerance } = bucketRate(perSecond, burst);
      const seen = (1000 * 2 ** shift) / cost;
      assert.ok(Math.abs(seen / perSecond - 1) < 1 / 1000, `${perSecond}/s became ${seen}`);
      const inTick = Math.floor(2 ** shift / cost);
      const atOnce = Math.floor(tolerance / cost) + 1;
      assert.is(atOnce, Math.max(burst, inTick), `${perSecond}/s, burst ${burst}`);
    }
  }
});

test('no bucket can be further ahead than its words carry', () => {
  for (const perSecond of [1e-9, 1 / 86_400, 1, 1000, 1e6, 1e9]) {
    for (const burst of [1, 1.5, 1000, 1e6, 1e12]) {
      const { shift, cost, tolerance } = bucketRate(perSecond, burst);
      assert.ok(Number.isInteger(cost) && cost >= 1, `cost ${cost}`);
      assert.ok(Number.isInteger(tolerance) && tolerance >= 0, `tolerance ${tolerance}`);
      assert.ok(shift >= 0 && shift <= MOST_SHIFT, `shift ${shift}`);
      assert.ok(tolerance + cost <= MOST_AHEAD, `${perSecond}/s, burst ${burst}`);
    }
  }
});

test('a body has its grace and what its bytes bought', () => {
  assert.is(slowBodyLeft(0, 0, 0, 1000, 5000), 5000);
  assert.is(slowBodyLeft(0, 0, 4999, 1000, 5000), 1);
  assert.is(slowBodyLeft(0, 0, 5000, 1000, 5000), 0);
  assert.is(slowBodyLeft(1, 0, 5000, 1000, 5000), 1);
  assert.is(slowBodyLeft(10_000, 0, 15_000, 1000, 5000), 0);
  assert.is(slowBodyLeft(10_001, 0, 15_000, 1000, 5000), 1);
  assert.is(slowBodyLeft(1e12, 0, 15_000, 1, 5000), 0x7fff_ffff);
  assert.is(slowBodyLeft(0, 0, 1e9, 0, 5000), 0x7fff_ffff, 'no rate is asked for');
});

test('one byte just before each timeout of idleness is too slow in the end', () => {
  let bytes = 0;
  let now = 0x7fff_f000;
  const begun = now;
  let rounds = 0;
  for (; slowBodyLeft(bytes, begun, now, 500, 30_000) > 0; rounds += 1) {
    bytes += 1;
    now = (now + 9900) | 0;
  }
  assert.is(rounds, 4);
});

test.run();
