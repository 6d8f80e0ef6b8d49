/** When a worker accepts and when it does not, with a kernel that the test plays. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  errno,
  IORING_CQE_F_MORE,
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
} from '../../../../native/ffi/io-uring-abi.js';
import { Acceptor } from '../../../../appliance/l7/ring/acceptor.js';
import { Ring } from '../../../../appliance/l7/ring/ring.js';
import { TimerWheel } from '../../../../appliance/l7/ring/timer-wheel.js';
import { PlayedKernel } from '../../../support/played-kernel.js';

const test = suite('acceptor');

const RESERVE = 2;

function scene() {
  const kernel = new PlayedKernel(8);
  const ring = new Ring(kernel);
  const wheel = new TimerWheel(1, 0);
  const acceptor = new Acceptor(ring, wheel, 0, RESERVE);
  return {
    acceptor,
    wheel,
    /** Opcodes that the acceptor asks for with `free` slots left. */
    settle: (free: number): number[] => {
      acceptor.settle(free);
      ring.enter(0);
      ring.reap({ completed: () => undefined });
      return kernel.opcodes.splice(0);
    },
  };
}

test('accepts once there is room, and asks only once', () => {
  const { acceptor, settle } = scene();
  acceptor.add(7, 4);
  assert.equal(settle(10), [IORING_OP_ACCEPT]);
  acceptor.slotsChanged(9);
  assert.equal(settle(9), []);
});

test('stops while only the reserve is left, and begins again behind it', () => {
  const { acceptor, settle } = scene();
  const listener = acceptor.add(7, 4);
  settle(10);
  assert.is(acceptor.completed(listener, 1, 33, IORING_CQE_F_MORE), 33);
  acceptor.slotsChanged(RESERVE);
  assert.equal(settle(RESERVE), [IORING_OP_ASYNC_CANCEL]);
  assert.is(acceptor.completed(listener, 1, -errno.ECANCELED, 0), -1);
  assert.is(acceptor.trouble, 0);
  assert.equal(settle(RESERVE), []);
  acceptor.slotsChanged(RESERVE + 1);
  assert.equal(settle(RESERVE + 1), [IORING_OP_ACCEPT]);
});

test('near the limit it accepts one by one, in turn, and never more than there is room for', () => {
  const { acceptor, settle } = scene();
  const listeners = [acceptor.add(7, 4), acceptor.add(8, 4), acceptor.add(9, 4)];
  assert.equal(settle(RESERVE + 2), [IORING_OP_ACCEPT, IORING_OP_ACCEPT], 'two of three');
  assert.is(acceptor.completed(listeners[0]!, 1, 33, 0), 33);
  acceptor.slotsChanged(RESERVE + 1);
  assert.equal(settle(RESERVE + 1), [], 'the second one still has its accept');
  assert.is(acceptor.completed(listeners[1]!, 2, 34, 0), 34);
  acceptor.slotsChanged(RESERVE);
  assert.equal(settle(RESERVE), []);
  acceptor.slotsChanged(RESERVE + 1);
  assert.equal(settle(RESERVE + 1), [IORING_OP_ACCEPT]);
  // It was the third one's turn: its accept is the one that counts.
  assert.is(acceptor.completed(listeners[2]!, 3, 35, 0), 35);
  acceptor.slotsChanged(RESERVE + 20);
  assert.equal(settle(RESERVE + 20), [IORING_OP_ACCEPT, IORING_OP_ACCEPT, IORING_OP_ACCEPT]);
});

test('what accepts without end is made to accept one by one as room gets short', () => {
  const { acceptor, settle } = scene();
  const listener = acceptor.add(7, 4);
  settle(RESERVE + 5);
  acceptor.slotsChanged(RESERVE + 4);
  assert.equal(settle(RESERVE + 4), [IORING_OP_ASYNC_CANCEL]);
  acceptor.completed(listener, 1, -errno.ECANCELED, 0);
  assert.equal(settle(RESERVE + 4), [IORING_OP_ACCEPT]);
});

test('without descriptors it pauses, until a connection ends or the time is over', () => {
  const { acceptor, settle, wheel } = scene();
  const listener = acceptor.add(7, 4);
  for (const again of [
    () => acceptor.retry(),
    () => wheel.advance(wheel.now + 100, { onTimer: () => acceptor.retry() }),
  ]) {
    assert.equal(settle(10), [IORING_OP_ACCEPT]);
    assert.is(acceptor.completed(listener, 1, -errno.EMFILE, 0), -1);
    assert.is(acceptor.trouble, errno.EMFILE);
    assert.equal(settle(10), []);
    again();
  }
  assert.equal(settle(10), [IORING_OP_ACCEPT]);
});

test('a client that is gone before it is accepted changes nothing', () => {
  const { acceptor, settle } = scene();
  const listener = acceptor.add(7, 4);
  settle(10);
  acceptor.completed(listener, 1, -errno.ECONNABORTED, 0);
  assert.is(acceptor.trouble, 0);
  assert.equal(settle(10), [IORING_OP_ACCEPT]);
});

test('a removed listener is closed after its accept ended; its late client is served', () => {
  const { acceptor, settle } = scene();
  const listener = acceptor.add(7, 4);
  settle(10);
  acceptor.remove(listener);
  assert.equal(settle(10), [IORING_OP_ASYNC_CANCEL]);
  assert.is(acceptor.completed(listener, 1, 33, IORING_CQE_F_MORE), 33);
  acceptor.completed(listener, 1, -errno.ECANCELED, 0);
  assert.equal(settle(10), [IORING_OP_CLOSE], 'the listener');
  assert.is(acceptor.count, 0);
  assert.is(acceptor.completed(listener, 1, 34, 0), -1, 'of a listener that is no more');
});

test.run();
