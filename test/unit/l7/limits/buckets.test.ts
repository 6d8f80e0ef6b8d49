/**
 * Shared buckets against an exact simulation: several workers, every order of their steps, a clock
 * that wraps, a table that is full, workers that die.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NO_ENTRY, TokenBuckets } from '../../../../appliance/l7/limits/buckets.js';
import { bucketRate, type BucketRate } from '../../../../appliance/l7/limits/rate.js';
import { generator } from '../../../support/random.js';

const test = suite('token buckets');

const sizes = { keyed: 16, single: 1 } as const;
type Sizes = { readonly keyed: number; readonly single: number };

function tables(workers: number, of: Sizes = sizes): { all: TokenBuckets[]; words: Int32Array } {
  const buffer = new ArrayBuffer(TokenBuckets.bytes(of));
  TokenBuckets.prepare(buffer, 0, Int32Array.of(11, 22));
  const all = Array.from(
    { length: workers },
    (_, worker) => new TokenBuckets(buffer, 0, of, worker),
  );
  return { all, words: new Int32Array(buffer) };
}

interface Key {
  readonly low: number;
  readonly high: number;
  readonly rate: BucketRate;
}

/** The exact bucket, in time that does not wrap. */
class Model {
  readonly #due = new Map<Key, number>();

  #ahead(key: Key, now: number): number {
    return Math.max(0, (this.#due.get(key) ?? 0) - now * 2 ** key.rate.shift);
  }
  wait(key: Key, now: number): number {
    const over = this.#ahead(key, now) - key.rate.tolerance;
    return over <= 0 ? 0 : Math.ceil(over / 2 ** key.rate.shift);
  }
  take(key: Key, now: number): void {
    this.#due.set(key, now * 2 ** key.rate.shift + this.#ahead(key, now) + key.rate.cost);
  }
  giveBack(key: Key): void {
    this.#due.set(key, (this.#due.get(key) ?? 0) - key.rate.cost);
  }
}

const look = (table: TokenBuckets, key: Key, now: number): number =>
  table.look(table.setOf('keyed', key.low), key.low, key.high, key.rate, now | 0);
const take = (table: TokenBuckets, key: Key, now: number): number =>
  table.take(table.setOf('keyed', key.low), key.low, key.high, key.rate, now | 0);

const rates = [
  bucketRate(1, 1),
  bucketRate(10, 5),
  bucketRate(3, 2),
  bucketRate(700, 30),
  bucketRate(20_000, 100),
  bucketRate(250_000, 1000),
  bucketRate(1 / 60, 3),
];

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`random histories are those of the simulation (seed ${seed})`, () => {
    const random = generator(seed * 7919);
    const { all } = tables(4);
    const model = new Model();
    const keys: Key[] = Array.from({ length: 40 }, (_, i) => ({
      low: i === 0 ? 0 : random(0x7fffffff) - 0x3fffffff,
      high: random(0x7fffffff),
      rate: rates[random(rates.length)] as BucketRate,
    }));
    // Near the end of the words, so that the clock wraps in the middle, more than once for fine ticks.
    let now = 0x7fff_0000;
    let sweptAt = now;
    for (let step = 0; step < 60_000; step += 1) {
      now += random(10) === 0 ? random(400) : random(3);
      const table = all[random(4)] as TokenBuckets;
      const key = keys[random(keys.length)] as Key;
      const expected = model.wait(key, now);
      assert.is(look(table, key, now), expected, `look in step ${step}`);
      assert.is(take(table, key, now), expected, `take in step ${step}`);
      if (expected === 0) {
        model.take(key, now);
        if (random(8) === 0) {
          assert.is.not(table.taken, NO_ENTRY);
          const set = table.setOf('keyed', key.low);
          table.giveBack(set, table.taken, key.low, key.high, key.rate);
          model.giveBack(key);
        }
      }
      if (now - sweptAt > 1000) {
        sweptAt = now;
        for (const one of all) one.sweep(now | 0);
      }
    }
    assert.is(
      all.reduce((sum, one) => sum + one.untracked, 0),
      0,
    );
  });
}

test('keys that were idle for any time begin with a full bucket', () => {
  const random = generator(99);
  const { all } = tables(2);
  const [one, two] = all as [TokenBuckets, TokenBuckets];
  let now = 0;
  for (let round = 0; round < 300; round += 1) {
    const key = { low: random(1000), high: 64, rate: rates[round % rates.length] as BucketRate };
    let allowed = 0;
    while (take(allowed % 2 === 0 ? one : two, key, now) === 0) allowed += 1;
    assert.is(allowed, Math.floor(key.rate.tolerance / key.rate.cost) + 1, `round ${round}`);
    // Up to weeks, with the sweeps that a worker makes meanwhile.
    const end = now + 200_000 + random(3_000_000);
    while (now < end) {
      now += 1500;
      two.sweep(now | 0);
    }
  }
});

test('a bucket that no sweep saw is full, too, for longer than half of the words', () => {
  for (const rate of rates) {
    for (const ticks of [2 ** 30, 2 ** 31 - 1000, 2 ** 31 + 1000, 2.4 * 2 ** 30]) {
      const [table] = tables(1).all as [TokenBuckets];
      const key = { low: 5, high: 64, rate };
      while (take(table, key, 1000) === 0);
      const later = 1000 + Math.ceil(ticks / 2 ** rate.shift);
      let allowed = 0;
      while (take(table, key, later) === 0) allowed += 1;
      assert.is(allowed, Math.floor(rate.tolerance / rate.cost) + 1, `${ticks} ticks later`);
    }
  }
});

test('a sweep leaves those that are in use, and no others', () => {
  const { all } = tables(1);
  const [table] = all as [TokenBuckets];
  const rate = bucketRate(1, 2);
  for (let low = 0; low < 40; low += 1) take(table, { low, high: 0, rate }, low < 20 ? 0 : 600);
  assert.is(table.count(), 40);
  table.sweep(1000);
  assert.is(table.count(), 20);
  table.sweep(10_000);
  assert.is(table.count(), 0);
});

const crowd = { keyed: 1, single: 1 } as const;
const slow = bucketRate(1, 2);
const inSet = (low: number): Key => ({ low: low + 1, high: 0, rate: slow });

test('a full table lets new keys through and holds back those that it knows', () => {
  const { all } = tables(2, crowd);
  const [one, two] = all as [TokenBuckets, TokenBuckets];
  for (let i = 0; i < 10; i += 1) {
    assert.is(take(one, inSet(i), 0), 0);
    assert.is(take(two, inSet(i), 0), 0);
    assert.is(take(one, inSet(i), 0), 1000, 'the burst is used up');
  }
  for (let i = 10; i < 30; i += 1) {
    assert.is(take(two, inSet(i), 0), 0, 'a key that finds no room');
    assert.is(two.taken, NO_ENTRY);
  }
  assert.is(two.untracked, 20);
  for (let i = 0; i < 10; i += 1) assert.is(take(two, inSet(i), 0), 1000, 'still held back');
});

test('what gives way is a full bucket, and only that', () => {
  const { all } = tables(1, crowd);
  const [table] = all as [TokenBuckets];
  for (let i = 0; i < 9; i += 1) {
    take(table, inSet(i), 0);
    take(table, inSet(i), 0);
  }
  take(table, inSet(9), 0);
  // That of key 9 is full again after a second, the others after two.
  assert.is(take(table, inSet(10), 1000), 0);
  assert.is(table.untracked, 0);
  for (let i = 0; i < 9; i += 1) assert.is(take(table, inSet(i), 1000), 0);
  for (let i = 0; i < 9; i += 1) assert.is(take(table, inSet(i), 1000), 1000);
  assert.is(take(table, inSet(9), 1000), 0, 'nine has lost nothing');
  assert.is(table.untracked, 1, 'and finds no room now');
});

test('keys of clients take no room from those of services', () => {
  const { all } = tables(1, crowd);
  const [table] = all as [TokenBuckets];
  for (let i = 0; i < 100; i += 1) take(table, inSet(i), 0);
  const set = table.setOf('single', 5);
  assert.is(table.take(set, 5, 5, slow, 0), 0);
  assert.is(table.take(set, 5, 5, slow, 0), 0);
  assert.is(table.take(set, 5, 5, slow, 0), 1000);
});

test('a worker that died with a lock hinders nobody for long, and is repaired', () => {
  const { all, words } = tables(2, crowd);
  const [one, two] = all as [TokenBuckets, TokenBuckets];
  assert.is(take(one, inSet(0), 0), 0);
  // The lock of the only keyed set, behind the header and the set of services.
  words[64] = 1;
  assert.is(take(two, inSet(1), 0), 0, 'let through');
  assert.is(two.untracked, 1);
  assert.is(take(two, inSet(0), 0), 0, 'known keys need no lock');
  assert.is(take(two, inSet(0), 0), 1000);
  two.releaseWorker(0);
  take(two, inSet(1), 0);
  take(two, inSet(1), 0);
  assert.is(take(two, inSet(1), 0), 1000);
  assert.is(two.untracked, 1);
});

test('clocks of workers may differ a little', () => {
  const { all } = tables(2);
  const [ahead, behind] = all as [TokenBuckets, TokenBuckets];
  const key = { low: 3, high: 0, rate: bucketRate(250_000, 1) };
  while (take(ahead, key, 5000) === 0);
  assert.is(take(behind, key, 4900), 101);
});

test.run();
