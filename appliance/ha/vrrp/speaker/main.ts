/**
 * The entry of a speaker process: descriptor 3 is the channel to its parent; its argument, if any,
 * is where it writes how another parent can adopt it. Everything is imported before anything
 * begins, so nothing is read from the disk later.
 */
import { Speaker } from './speaker.js';
import { wishes } from './wishes.js';

const CHANNEL = 3;
/** Above what others ask for seldom, below threads of the kernel that interrupts wait for (50). */
const PRIORITY = 40;

// They lead to the parent, and break when it ends.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
const missing = wishes(PRIORITY);
const speaker = new Speaker(CHANNEL, process.argv[2] ?? null);
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => speaker.stop(`it got ${signal}`));
}
await speaker.run(missing);
process.exit(0);
