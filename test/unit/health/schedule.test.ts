/** The probe schedule against a clock that the test turns by hand. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Heap } from '../../../appliance/health/heap.js';
import { nextDue, ProbeSchedule, type Clock } from '../../../appliance/health/schedule.js';

/** Time passes only in `advance`; promises get their turn after every timer. */
class HandClock implements Clock {
  #now = 0;
  #timers: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const timer = { at: this.#now + milliseconds, callback };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#now = end;
  }
}

interface Bench {
  readonly clock: HandClock;
  readonly schedule: ProbeSchedule;
  readonly starts: { id: string; at: number }[];
  readonly most: () => number;
}

/** Every probe takes `takes` milliseconds. */
function bench(concurrency: number, takes: number): Bench {
  const clock = new HandClock();
  const starts: { id: string; at: number }[] = [];
  let running = 0;
  let most = 0;
  const schedule = new ProbeSchedule({
    clock,
    concurrency,
    probe: (id) => {
      starts.push({ id, at: clock.now() });
      running += 1;
      most = Math.max(most, running);
      return new Promise((resolve) =>
        clock.after(takes, () => {
          running -= 1;
          resolve();
        }),
      );
    },
  });
  return { clock, schedule, starts, most: () => most };
}

test('new targets are probed at once, later probes spread over the interval', async () => {
  const { clock, schedule, starts } = bench(1024, 1);
  for (let index = 0; index < 500; index += 1) schedule.set(`web/10.0.0.${index}:80`, 1000);
  await clock.advance(0);
  assert.ok(starts.length > 0, 'first probes begin at once');
  await clock.advance(110);
  assert.is(starts.length, 500, 'and all of them within their share of a second');
  assert.is(schedule.stats().late, 0);
  await clock.advance(1500);
  starts.length = 0;
  await clock.advance(1000);
  assert.is(starts.length, 500, 'one probe each within one interval');
  const tenths = Array<number>(10).fill(0);
  for (const { at } of starts) {
    const tenth = Math.floor((at % 1000) / 100);
    tenths[tenth] = (tenths[tenth] ?? 0) + 1;
  }
  assert.ok(
    Math.min(...tenths) >= 25,
    `50 expected in each tenth of the interval, seen ${tenths.join(' ')}`,
  );
});

test('the same names give the same spread', async () => {
  const spread = async (names: readonly string[]): Promise<Map<string, number>> => {
    const { clock, schedule, starts } = bench(1024, 1);
    for (const name of names) schedule.set(name, 1000);
    await clock.advance(600);
    starts.length = 0;
    await clock.advance(1000);
    return new Map(starts.map(({ id, at }) => [id, at % 1000]));
  };
  const times = await spread(['a', 'b', 'c']);
  const again = await spread(['c', 'b', 'a']);
  assert.equal(new Map([...again].sort()), new Map([...times].sort()));
  assert.is(new Set(times.values()).size, 3);
});

test('the next time is half to one and a half intervals after the last start, and never past', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.integer({ min: 100, max: 60_000 }),
      fc.integer({ min: 0, max: 1e9 }),
      fc.integer({ min: 0, max: 100_000 }),
      (share, interval, start, took) => {
        const due = nextDue({ offset: share * interval, interval }, start, start + took);
        assert.ok(due >= start + took - 1e-3, 'not past');
        assert.ok(due >= start + interval / 2 - 1e-3, 'not too soon');
        assert.ok(
          due <= Math.max(start + interval / 2, start + took) + interval + 1e-3,
          'not too late',
        );
      },
    ),
  );
});

test('the concurrency cap holds, and those that waited for it count as late', async () => {
  const { clock, schedule, starts, most } = bench(10, 100);
  for (let index = 0; index < 30; index += 1) schedule.set(`t${index}`, 10_000);
  await clock.advance(99);
  assert.is(starts.length, 10);
  await clock.advance(300);
  assert.is(starts.length, 30);
  assert.is(most(), 10);
  assert.is(schedule.stats().late, 20);
});

test('probes of one target never overlap, however slow', async () => {
  const { clock, schedule, starts, most } = bench(100, 350);
  schedule.set('slow', 100);
  await clock.advance(5000);
  assert.is(most(), 1);
  const gaps = starts.slice(1).map(({ at }, index) => at - (starts[index]?.at ?? 0));
  assert.ok(gaps.length > 8, `more than 8 probes in 5 s, seen ${gaps.length}`);
  for (const gap of gaps) assert.ok(gap >= 350, `gap of at least 350 ms, seen ${gap}`);
});

test('a removed target is not probed again', async () => {
  const { clock, schedule, starts } = bench(100, 1);
  schedule.set('a', 100);
  schedule.set('b', 100);
  await clock.advance(10);
  schedule.delete('a');
  starts.length = 0;
  await clock.advance(1000);
  assert.ok(starts.length >= 9);
  assert.ok(starts.every(({ id }) => id === 'b'));
});

test('after close nothing starts', async () => {
  const { clock, schedule, starts } = bench(100, 1);
  schedule.set('a', 100);
  await clock.advance(10);
  schedule.close();
  starts.length = 0;
  await clock.advance(1000);
  assert.is(starts.length, 0);
});

test('the heap gives its items in order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (numbers) => {
      const heap = new Heap<number>((number) => number);
      for (const number of numbers) heap.push(number);
      const seen = numbers.map(() => heap.pop());
      assert.equal(
        seen,
        [...numbers].sort((a, b) => a - b),
      );
      assert.is(heap.pop(), undefined);
    }),
  );
});

test.run();
