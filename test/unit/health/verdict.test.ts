/** The race of verdict, deadline and cancellation, also in a process that was held up itself. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Cancellation } from '../../../appliance/health/cancellation.js';
import { failureOf, race } from '../../../appliance/health/verdict.js';
import { close, drainEventfd, eventfd, signalEventfd } from '../../../native/ffi/libc.js';
import { Poller } from '../../../native/ffi/poller.js';

function block(milliseconds: number): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

/** A probe whose answer is an event of the kernel. */
async function withAnswer(
  work: (answer: () => void, begin: Parameters<typeof race>[2]) => Promise<void>,
): Promise<void> {
  const poller = new Poller();
  const fd = eventfd();
  try {
    await work(
      () => signalEventfd(fd),
      (finish) => {
        poller.add(fd, () => {
          drainEventfd(fd);
          finish('pass', 'answered');
        });
        return () => poller.remove(fd);
      },
    );
  } finally {
    poller.close();
    close(fd);
  }
}

test('an answer that came while the process was held up counts', () =>
  withAnswer(async (answer, begin) => {
    const probe = race(50, new Cancellation(), begin);
    answer();
    block(300);
    assert.is((await probe).outcome, 'pass');
  }));

test('silence is still found when the process was held up', () =>
  withAnswer(async (_, begin) => {
    const probe = race(50, new Cancellation(), begin);
    block(300);
    assert.equal(await probe, { outcome: 'fail', reason: 'no answer within 50ms' });
  }));

test('resources are released once, whatever ends the probe', async () => {
  let released = 0;
  const begin: Parameters<typeof race>[2] = (finish) => {
    setImmediate(() => {
      finish('fail', 'first');
      finish('pass', 'second');
    });
    return () => (released += 1);
  };
  assert.equal(await race(1000, new Cancellation(), begin), { outcome: 'fail', reason: 'first' });
  assert.is(released, 1);

  const cancellation = new Cancellation();
  const probe = race(1000, cancellation, () => () => (released += 1));
  cancellation.cancel();
  cancellation.cancel();
  assert.is((await probe).outcome, 'inconclusive');
  assert.is(released, 2);

  const never = race(1000, cancellation, () => {
    throw new Error('a cancelled probe does not begin');
  });
  assert.is((await never).outcome, 'inconclusive');
});

test('trouble of the unit itself says nothing about a member', () => {
  const error = (code: string, syscall = 'connect'): Error =>
    Object.assign(new Error('x'), { code, syscall });
  assert.is(failureOf(error('EMFILE')).outcome, 'inconclusive');
  assert.is(failureOf(error('EADDRNOTAVAIL')).reason, 'this unit has no free local port');
  assert.is(failureOf(error('EHOSTUNREACH')).outcome, 'fail');
  assert.is(failureOf(error('EADDRINUSE', 'bind'), '10.0.0.9').outcome, 'inconclusive');
});

test.run();
