/**
 * The entry of a worker process: descriptor 3 is the channel to the daemon. Everything is imported
 * before anything is given up, so nothing is read from the disk later.
 */
import { Worker } from './worker.js';

const CHANNEL = 3;
/** Without the daemon a worker serves on: 24 days, the longest that setTimeout takes. */
const MOST = 2 ** 31 - 1;

function linger(): number {
  // Seconds, for tests: no worker of theirs is left behind.
  const text = process.env['WEIR_L7_LINGER'];
  if (text === undefined) return MOST;
  const seconds = Number(text);
  if (!(seconds >= 0)) throw new RangeError(`WEIR_L7_LINGER is in seconds, not "${text}"`);
  return Math.min(MOST, Math.round(seconds * 1000));
}

// Signals are for the daemon, which drains its workers: a terminal sends them to all.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);

const worker = new Worker({
  channel: CHANNEL,
  user: process.env['WEIR_L7_USER'] ?? 'nobody',
  group: process.env['WEIR_L7_GROUP'] ?? 'nogroup',
  linger: linger(),
});
await worker.run();
process.exit(0);
