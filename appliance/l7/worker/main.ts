/**
 * The entry of a worker process: descriptor 3 is the channel to the daemon. Everything is imported
 * before anything is given up, so nothing is read from the disk later.
 */
import { DRAIN_LIMIT, DRAIN_SIGNAL, STOP_LIMIT } from './messages.js';
import { Worker } from './worker.js';

const CHANNEL = 3;
/** The longest that setTimeout takes. */
const MOST = 2 ** 31 - 1;

/** Milliseconds that a worker serves on without a daemon; null: until the next one comes. */
function linger(): number | null {
  // Seconds, for tests: no worker of theirs is left behind.
  const text = process.env['WEIR_L7_LINGER'];
  if (text === undefined) return null;
  const seconds = Number(text);
  if (!(seconds >= 0)) throw new RangeError(`WEIR_L7_LINGER is in seconds, not "${text}"`);
  return Math.min(MOST, Math.round(seconds * 1000));
}

// Signals are for the daemon, which leaves its workers serving.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => {
  // Without one they are for the worker: the host goes down, and would wait for it.
  if (worker.orphan) worker.drain(STOP_LIMIT);
});
// They lead to the daemon, and break when it ends.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

const worker = new Worker({
  channel: CHANNEL,
  user: process.env['WEIR_L7_USER'] ?? 'nobody',
  group: process.env['WEIR_L7_GROUP'] ?? 'nogroup',
  linger: linger(),
});
process.on(DRAIN_SIGNAL, () => {
  worker.drain(DRAIN_LIMIT);
});
void worker.run().then(() => process.exit(0));
