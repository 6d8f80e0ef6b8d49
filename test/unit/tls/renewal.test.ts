/** When certificates are renewed and failed orders tried again, as tables. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backoff, DAY, fractionOf, renewAt, retryAfter } from '../../../appliance/tls/renewal.js';

const START = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
const names = Array.from({ length: 200 }, (_, i) => `shop${i}.example.com`);

for (const [days, share] of [
  [365, 2 / 3],
  [90, 2 / 3],
  [10, 2 / 3],
  [9.99, 1 / 2],
  [6, 1 / 2],
  [1, 1 / 2],
] as const) {
  test(`of ${days} days, a certificate is renewed at ${share.toFixed(2)} or up to 1/20 of them earlier`, () => {
    const lifetime = days * DAY;
    for (const name of names) {
      const at = renewAt({ notBefore: START, notAfter: START + lifetime }, name) - START;
      const seen = at / lifetime;
      assert.ok(
        seen <= share && seen > share - 1 / 20 - 1e-6,
        `${name}: expected within (${share - 1 / 20}, ${share}], seen ${seen}`,
      );
    }
  });
}

test('names are spread evenly, and each name always has the same place', () => {
  const quarters = [0, 0, 0, 0];
  for (const name of names) {
    const quarter = Math.floor(fractionOf(name) * 4);
    quarters[quarter] = (quarters[quarter] ?? 0) + 1;
    assert.is(fractionOf(name), fractionOf(name));
  }
  for (const count of quarters) {
    assert.ok(
      count > 25 && count < 75,
      `expected near 50 in each quarter, seen ${quarters.join(' ')}`,
    );
  }
});

test('a certificate that ends before it begins is renewed at once', () => {
  assert.is(renewAt({ notBefore: START, notAfter: START - 1 }, 'a.example'), START);
});

for (const [failures, asked, expected] of [
  [0, null, MINUTE],
  [1, null, MINUTE],
  [2, null, 2 * MINUTE],
  [3, null, 4 * MINUTE],
  [11, null, 1024 * MINUTE],
  [12, null, DAY],
  [1_000_000, null, DAY],
  [1, 10 * 1000, MINUTE],
  [1, 3 * 60 * MINUTE, 180 * MINUTE],
  [12, 2 * DAY, 2 * DAY],
  [1, 1000 * DAY, 7 * DAY],
  [1, -5, MINUTE],
] as const) {
  test(`after ${failures} failures and Retry-After of ${String(asked)} ms, the next try is ${expected} ms later`, () => {
    assert.is(backoff(failures, asked), expected);
  });
}

const now = Date.UTC(2026, 10, 26, 1, 0, 0);
for (const [value, expected] of [
  [undefined, undefined],
  ['', undefined],
  ['0', 0],
  [' 120 ', 120_000],
  ['-1', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['2027', 2_027_000],
  ['Thu, 26 Nov 2026 01:02:00 GMT', 120_000],
  ['Thu, 26 Nov 2026 00:00:00 GMT', 0],
  ['Thu, 99 Nov 2026 00:00:00 GMT', undefined],
  ['2026-11-26', undefined],
  ['99999999999', undefined],
] as const) {
  test(`Retry-After: ${String(value)} is ${String(expected)} ms`, () => {
    assert.is(retryAfter(value, now), expected);
  });
}

test.run();
