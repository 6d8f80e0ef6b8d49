/** Two workers, and one comes in between every two steps of the other. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TokenBuckets } from '../../../../appliance/l7/limits/buckets.js';
import { SharedCounts } from '../../../../appliance/l7/limits/counts.js';
import { bucketRate } from '../../../../appliance/l7/limits/rate.js';
import { between } from '../../../support/atomic-steps.js';

const test = suite('interleavings of workers');

const sizes = { keyed: 1, single: 1 } as const;
const rate = bucketRate(1, 1);
/** Ticks as fine as can be, so that two keys of one place have times of different kinds. */
const fine = bucketRate(1e6, 1000);

class Table {
  readonly one: TokenBuckets;
  readonly two: TokenBuckets;
  constructor() {
    const buffer = new ArrayBuffer(TokenBuckets.bytes(sizes));
    this.one = new TokenBuckets(buffer, 0, sizes, 0);
    this.two = new TokenBuckets(buffer, 0, sizes, 1);
  }
  /** 1 when the key was allowed. */
  take(by: 'one' | 'two', key: number, now: number, how = rate): number {
    const table = this[by];
    return table.take(table.setOf('keyed', key), key, key << 8, how, now) === 0 ? 1 : 0;
  }
  get untracked(): number {
    return this.one.untracked + this.two.untracked;
  }
}

const sum = (of: readonly number[]): number => of.reduce((all, one) => all + one, 0);

/** Tries every place; a round says whether there was this one. */
function everywhere(round: (step: number) => boolean): void {
  let step = 0;
  while (round(step)) step += 1;
  assert.ok(step > 2, `${step} places`);
}

test('a new key has one bucket, whoever makes it', () => {
  everywhere((step) => {
    const table = new Table();
    const allowed: number[] = [];
    const ran = between(
      () => {
        allowed.push(table.take('one', 5, 0));
      },
      step,
      () => {
        allowed.push(table.take('two', 5, 0));
      },
    );
    if (ran) assert.is(sum(allowed), 1 + table.untracked, `step ${step}`);
    assert.is(table.one.count(), 1);
    assert.is(table.take('two', 5, 0), 0);
    return ran;
  });
});

test('the last of a known bucket goes to one', () => {
  everywhere((step) => {
    const table = new Table();
    table.take('one', 5, 0);
    const allowed: number[] = [];
    const ran = between(
      () => {
        allowed.push(table.take('one', 5, 1000));
      },
      step,
      () => {
        allowed.push(table.take('two', 5, 1000));
      },
    );
    if (ran) assert.is(sum(allowed), 1, `step ${step}`);
    return ran;
  });
});

for (const how of [rate, fine]) {
  test(`a full bucket gives way, or its owner was faster (ticks of 2^-${how.shift} ms)`, () => {
    everywhere((step) => {
      const table = new Table();
      for (let key = 1; key <= 10; key += 1) table.take('one', key, 0, how);
      // All ten are full again. The new key would have the place of the first.
      const atOnce = Math.floor(how.tolerance / how.cost) + 1;
      const allowed: number[] = [];
      const ran = between(
        () => table.take('one', 99, 5000),
        step,
        () => {
          // While the other worker has the lock in hand, all of them are let through uncounted.
          for (let i = 0; i < 3; i += 1) allowed.push(table.take('two', 1, 5000, how));
        },
      );
      for (let i = 0; i < atOnce + 10; i += 1) allowed.push(table.take('two', 1, 5000, how));
      assert.is(sum(allowed) - table.untracked, atOnce, `step ${step}`);
      assert.is(table.take('two', 99, 5000), 0, 'the new key has its entry');
      return ran;
    });
  });
}

test('the owner of a bucket that gives way in between looks again', () => {
  everywhere((step) => {
    const table = new Table();
    for (let key = 1; key <= 10; key += 1) table.take('one', key, 0);
    const allowed: number[] = [];
    const ran = between(
      () => {
        allowed.push(table.take('one', 1, 5000));
      },
      step,
      () => {
        assert.is(table.take('two', 99, 5000), 1);
      },
    );
    allowed.push(table.take('one', 1, 5000));
    if (ran) assert.is(sum(allowed), 1 + table.untracked, `step ${step}`);
    if (ran && table.untracked === 0) {
      assert.is(table.take('two', 99, 5000), 0, `step ${step}`);
    }
    return ran;
  });
});

test('a sweep takes nothing from a bucket that comes into use', () => {
  everywhere((step) => {
    const table = new Table();
    table.take('one', 1, 0);
    const allowed: number[] = [];
    const ran = between(
      () => table.one.sweep(5000),
      step,
      () => {
        allowed.push(table.take('two', 1, 5000));
      },
    );
    allowed.push(table.take('two', 1, 5000));
    if (ran) assert.is(sum(allowed), 1 + table.untracked, `step ${step}`);
    return ran;
  });
});

test('a bucket that a sweep empties in the middle of taking is looked for again', () => {
  // In ticks of a millisecond, so that the time of the sweep is the very word that was there.
  const whole = bucketRate(0.5, 1);
  assert.is(whole.shift, 0);
  everywhere((step) => {
    const table = new Table();
    table.take('one', 1, 0, whole);
    const allowed: number[] = [];
    const ran = between(
      () => {
        allowed.push(table.take('one', 1, 2000, whole));
      },
      step,
      () => table.two.sweep(2000),
    );
    allowed.push(table.take('two', 1, 2000, whole));
    if (ran) assert.is(sum(allowed), 1 + table.untracked, `step ${step}`);
    return ran;
  });
});

test('what is given back is given back once, whoever takes meanwhile', () => {
  everywhere((step) => {
    const table = new Table();
    const three = bucketRate(1, 3);
    table.take('one', 1, 0, three);
    const entry = table.one.taken;
    const allowed: number[] = [];
    const ran = between(
      () => table.one.giveBack(table.one.setOf('keyed', 1), entry, 1, 1 << 8, three),
      step,
      () => {
        allowed.push(table.take('two', 1, 0, three));
      },
    );
    for (let i = 0; i < 5; i += 1) allowed.push(table.take('two', 1, 0, three));
    assert.is(sum(allowed), 3, `step ${step}`);
    return ran;
  });
});

test('the last connection goes to one', () => {
  everywhere((step) => {
    const of = { sets: 1, workers: 2 };
    const buffer = new ArrayBuffer(SharedCounts.bytes(of));
    const one = new SharedCounts(buffer, 0, of, 0);
    const two = new SharedCounts(buffer, 0, of, 1);
    const places: number[] = [];
    const ran = between(
      () => {
        places.push(one.enter(3, 3, 1));
      },
      step,
      () => {
        places.push(two.enter(3, 3, 1));
      },
    );
    const counted = places.filter((place) => place >= 0).length;
    if (ran) assert.is(counted, 1, `step ${step}`);
    const letIn = one.untracked + two.untracked;
    assert.is(places.filter((place) => place === -1).length, letIn);
    for (const place of places) one.leave(place);
    assert.is(one.of(3, 3), 0);
    return ran;
  });
});

test.run();
