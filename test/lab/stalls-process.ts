/**
 * How long one CPU stood still: wakes every two milliseconds before everything else that runs there,
 * and notes how late that was. What it sees is the host's doing, or the kernel's, and nothing that a
 * program on this machine could do better.
 */
import { pinThread } from '../../native/ffi/affinity.js';
import { Poller } from '../../native/ffi/poller.js';
import { runInRealTime } from '../../native/ffi/realtime.js';
import { monotonicNow, Timer } from '../../native/ffi/timer.js';

/** Milliseconds, since the last question: the longest, and how many were longer than 10 and 30. */
export interface Stalls {
  readonly worst: number;
  readonly above10: number;
  readonly above30: number;
}

const PERIOD_MS = 2;
const PRIORITY = 90;

pinThread(Number(process.argv[2]));
runInRealTime(PRIORITY);
const poller = new Poller();
poller.ref();
const timer = new Timer();
let [worst, above10, above30] = [0, 0, 0];
let due = monotonicNow() + PERIOD_MS;
poller.add(timer.fd, () => {
  timer.rest();
  const now = monotonicNow();
  const late = now - due;
  if (late > worst) worst = late;
  if (late > 10) above10 += 1;
  if (late > 30) above30 += 1;
  due = now + PERIOD_MS;
  timer.set(due);
});
timer.set(due);
process.on('message', () => {
  const stalls: Stalls = { worst, above10, above30 };
  process.send?.(stalls);
  [worst, above10, above30] = [0, 0, 0];
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
