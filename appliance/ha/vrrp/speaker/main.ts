/**
 * The entry of a speaker process: descriptor 3 is the channel to its parent; its argument, if any,
 * is where it writes how another parent can adopt it. Everything is imported before anything
 * begins, so nothing is read from the disk later.
 */
import { SystemError } from '../../../../native/ffi/libc.js';
import { runAsOthers, runInRealTime } from '../../../../native/ffi/realtime.js';
import { Speaker } from './speaker.js';
import { collectAll, hasGrown, wishes } from './wishes.js';

const CHANNEL = 3;
/** Above what others ask for seldom, below threads of the kernel that interrupts wait for (50). */
const PRIORITY = 40;
/** How often it looks whether what becomes garbage slowly is to be collected. */
const COLLECT_MS = 60_000;

// They lead to the parent, and break when it ends.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
let configured = false;
const missing = wishes(PRIORITY);
// What a process does for the first time takes long: that must keep no other speaker from its CPU.
runAsOthers();
const speaker = new Speaker(CHANNEL, process.argv[2] ?? null, () => {
  if (configured) return;
  configured = true;
  collectAll();
  setInterval(() => {
    if (hasGrown()) speaker.whenIdle(collectAll);
  }, COLLECT_MS).unref();
  try {
    runInRealTime(PRIORITY);
  } catch (error) {
    // It has been told that it may not.
    if (!(error instanceof SystemError)) throw error;
  }
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => speaker.stop(`it got ${signal}`));
}
void speaker.run(missing).then(() => process.exit(0));
