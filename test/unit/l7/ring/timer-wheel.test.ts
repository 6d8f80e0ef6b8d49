/** The timer wheel against a sorted list, with a clock that the test moves. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TimerWheel } from '../../../../appliance/l7/ring/timer-wheel.js';

const test = suite('timer wheel');

const TIMERS = 12;

/** Delays of each wheel's range, and at its edges. */
const delay = fc.oneof(
  fc.nat(300),
  fc.nat(70_000),
  fc.nat(20_000_000),
  fc.constantFrom(
    0,
    1,
    255,
    256,
    257,
    65_535,
    65_536,
    65_537,
    16_777_215,
    16_777_216,
    2_000_000_000,
  ),
);
const step = fc.oneof(
  fc.record({ does: fc.constant('set' as const), timer: fc.nat(TIMERS - 1), delay }),
  fc.record({ does: fc.constant('cancel' as const), timer: fc.nat(TIMERS - 1) }),
  fc.record({ does: fc.constant('advance' as const), delay }),
);
/** Clocks that wrap around soon, and that stand at the edge of a wheel. */
const begin = fc.oneof(
  fc.constantFrom(0, 255, 65_535, 16_777_215, 2 ** 31 - 1, 2 ** 31 - 300, -1, -65_536),
  fc.integer(),
);

test('fires what is due, in order, and nothing else', () => {
  fc.assert(
    fc.property(begin, fc.array(step, { maxLength: 80 }), (from, steps) => {
      const wheel = new TimerWheel(TIMERS, from);
      /** Milliseconds since the beginning: of the clock, and when each timer is due. */
      let clock = 0;
      const due = new Map<number, number>();
      for (const it of steps) {
        if (it.does === 'set') {
          wheel.set(it.timer, it.delay);
          due.set(it.timer, clock + Math.max(1, it.delay));
        } else if (it.does === 'cancel') {
          wheel.cancel(it.timer);
          due.delete(it.timer);
        } else {
          clock += it.delay;
          const expected = [...due].filter(([, at]) => at <= clock);
          const fired: number[] = [];
          wheel.advance((from + clock) | 0, { onTimer: (timer) => fired.push(timer) });
          assert.equal(
            [...fired].sort((a, b) => a - b),
            expected.map(([timer]) => timer).sort((a, b) => a - b),
            `at ${clock}`,
          );
          const times = fired.map((timer) => due.get(timer)!);
          assert.equal(
            times,
            [...times].sort((a, b) => a - b),
            'the earlier one first',
          );
          for (const timer of fired) due.delete(timer);
        }
        for (let timer = 0; timer < TIMERS; timer += 1) {
          assert.is(wheel.isSet(timer), due.has(timer), `timer ${timer}`);
        }
        const next = wheel.nextDelay();
        if (due.size === 0) assert.is(next, -1);
        else {
          const least = Math.min(...due.values()) - clock;
          assert.ok(next >= 1 && next <= least, `waits for ${next}, and ${least} is due`);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('a handler may set and cancel timers, those that are due at the same time too', () => {
  const wheel = new TimerWheel(4, 1000);
  for (const timer of [0, 1, 2]) wheel.set(timer, 10);
  const fired: number[] = [];
  const handler = {
    onTimer(timer: number): void {
      fired.push(timer);
      for (const other of [0, 1, 2]) wheel.cancel(other);
      wheel.set(3, 10);
    },
  };
  wheel.advance(1010, handler);
  assert.is(fired.length, 1, `one of three: ${fired.join()}`);
  assert.is(wheel.nextDelay(), 10);
  wheel.advance(1020, handler);
  assert.is(fired.length, 2);
  assert.is(fired[1], 3);
});

test('a timer set while the loop catches up counts from the clock, not from where the wheel is', () => {
  const wheel = new TimerWheel(1, 0);
  wheel.time = 5000;
  wheel.set(0, 100);
  const fired: number[] = [];
  const handler = { onTimer: (timer: number): unknown => fired.push(timer) };
  wheel.advance(5000, handler);
  wheel.advance(5099, handler);
  assert.equal(fired, []);
  wheel.advance(5100, handler);
  assert.equal(fired, [0]);
});

test('an hour without timers is one step', () => {
  const wheel = new TimerWheel(1, 0);
  wheel.set(0, 3_600_000);
  let waits = 0;
  let now = 0;
  while (wheel.isSet(0)) {
    now += wheel.nextDelay();
    waits += 1;
    wheel.advance(now, { onTimer: () => undefined });
  }
  assert.is(now, 3_600_000);
  assert.ok(waits <= 3, `${waits} waits: once for each wheel`);
});

test.run();
