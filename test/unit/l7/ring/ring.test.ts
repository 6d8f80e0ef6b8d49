/** The two queues: with a kernel that the test plays, and with the real one. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errno } from '../../../../native/ffi/io-uring-abi.js';
import { IoUringError } from '../../../../native/ffi/io-uring-error.js';
import { IoUring } from '../../../../native/ffi/io-uring.js';
import { type Completions, Kind, Ring, tagOf } from '../../../../appliance/l7/ring/ring.js';
import { PlayedKernel } from '../../../support/played-kernel.js';
import { needs } from '../../../support/needs.js';

const test = suite('ring');
const uring = needs.uring(test);

/** Notes tags of completions. */
class Noted implements Completions {
  readonly slots: number[] = [];
  readonly results: number[] = [];
  completed(_kind: number, slot: number, _generation: number, result: number): void {
    this.slots.push(slot);
    this.results.push(result);
  }
}

test('what the submission ring has no room for waits, and goes in order', () => {
  const kernel = new PlayedKernel(4);
  const ring = new Ring(kernel);
  const noted = new Noted();
  kernel.answers.push(...new Array<number>(8).fill(-errno.EAGAIN));
  for (let slot = 0; slot < 11; slot += 1) ring.close(9, tagOf(Kind.close, slot), 1);
  assert.is(ring.unsubmitted, 11);
  kernel.answers.length = 0;
  kernel.takes = 3;
  for (let turn = 0; turn < 10 && ring.unsubmitted > 0; turn += 1) {
    ring.enter(-1);
    ring.reap(noted);
  }
  assert.equal(noted.slots, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('it does not wait while operations wait to be submitted or completions to be taken', () => {
  const kernel = new PlayedKernel(2);
  const ring = new Ring(kernel);
  kernel.answers.push(-errno.EBUSY);
  for (let slot = 0; slot < 3; slot += 1) ring.close(9, tagOf(Kind.close, slot), 1);
  ring.enter(-1);
  assert.is(kernel.calls.at(-1)?.complete, 0, 'one is in the backlog');
  ring.enter(-1);
  assert.is(kernel.calls.at(-1)?.complete, 0, 'completions are there');
  ring.reap(new Noted());
  ring.enter(-1);
  ring.reap(new Noted());
  ring.enter(-1);
  assert.equal(kernel.calls.at(-1), { submit: 0, complete: 1, wait: -1 });
});

test('a signal and a time that is over are no failures', () => {
  const kernel = new PlayedKernel(2);
  const ring = new Ring(kernel);
  kernel.answers.push(-errno.EINTR, -errno.ETIME);
  ring.enter(5);
  ring.enter(5);
  assert.is(kernel.calls.length, 2);
});

test('without memory for operations it lets others complete, for a millisecond', () => {
  const kernel = new PlayedKernel(2);
  const ring = new Ring(kernel);
  ring.close(9, tagOf(Kind.close, 1), 1);
  kernel.answers.push(-errno.EAGAIN, -errno.ETIME);
  ring.enter(-1);
  assert.equal(kernel.calls.at(-1), { submit: 0, complete: 1, wait: 1 });
  assert.is(ring.unsubmitted, 1, 'and keeps the operation');
});

test('a ring that the kernel no longer knows is an error with a remedy', () => {
  const kernel = new PlayedKernel(2);
  kernel.answers.push(-errno.EBADF);
  assert.throws(
    () => new Ring(kernel).enter(-1),
    (error: unknown) => error instanceof IoUringError && error.code === 'EURING',
  );
});

test('a completion whose handler throws is not handed on twice', () => {
  const kernel = new PlayedKernel(4);
  const ring = new Ring(kernel);
  for (let slot = 0; slot < 3; slot += 1) ring.close(9, tagOf(Kind.close, slot), 1);
  ring.enter(0);
  const noted = new Noted();
  const failing: Completions = {
    completed(kind, slot, generation, result): void {
      noted.completed(kind, slot, generation, result);
      if (slot === 1) throw new Error('handler');
    },
  };
  assert.throws(() => ring.reap(failing), /handler/);
  ring.reap(failing);
  assert.equal(noted.slots, [0, 1, 2]);
});

/** A ring of the real kernel for one test. */
function withKernel(
  options: Parameters<typeof IoUring.open>[0],
  work: (ring: Ring, kernel: IoUring) => void,
): void {
  const kernel = IoUring.open(options);
  if (kernel instanceof Error) throw kernel;
  try {
    work(new Ring(kernel), kernel);
  } finally {
    kernel.close();
  }
}

for (const submissionArray of ['omitted', 'kept'] as const) {
  uring(
    `more operations than both queues hold all complete (submission array ${submissionArray})`,
    () => {
      withKernel({ entries: 4, completions: 8, submissionArray }, (ring, kernel) => {
        if (submissionArray === 'kept') assert.is(kernel.submissionArray, 'kept');
        const noted = new Noted();
        // No such descriptor: each completes at once, most of them beyond the completion queue.
        for (let slot = 0; slot < 100; slot += 1) ring.close(1 << 20, tagOf(Kind.close, slot), 1);
        while (noted.slots.length < 100) {
          ring.enter(1000);
          assert.ok(ring.reap(noted) > 0, `something completes, after ${noted.slots.length}`);
        }
        assert.equal(
          noted.slots,
          Array.from({ length: 100 }, (_, slot) => slot),
        );
        assert.equal([...new Set(noted.results)], [-errno.EBADF]);
        assert.is(ring.lost, 0);
      });
    },
  );
}

uring('a wait ends when its time is over', () => {
  withKernel({ entries: 4, completions: 8 }, (ring) => {
    const begun = performance.now();
    ring.enter(20);
    assert.ok(performance.now() - begun >= 19, 'not before');
    assert.is(ring.reap(new Noted()), 0);
  });
});

test.run();
