/**
 * The entry of a speaker process: descriptor 3 is the channel to its parent. Everything is imported
 * before anything begins, so nothing is read from the disk later.
 */
import { SystemError } from '../../../../native/ffi/libc.js';
import { hasSwap, keepProgramInMemory, runInRealTime } from '../../../../native/ffi/realtime.js';
import { Speaker } from './speaker.js';

const CHANNEL = 3;
/** Above what others ask for seldom, below threads of the kernel that interrupts wait for (50). */
const PRIORITY = 40;

/** What it would like and may not have, as sentences. */
function wishes(): string[] {
  const missing: string[] = [];
  const wish = (what: string, get: () => void): void => {
    try {
      get();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      missing.push(`${what}: ${error.message}`);
    }
  };
  wish('it runs without real-time priority', () => runInRealTime(PRIORITY));
  wish('its program may have to be read from the disk again', () => keepProgramInMemory());
  if (hasSwap()) missing.push('its heap may be swapped out: this machine has swap space');
  return missing;
}

// They lead to the parent, and break when it ends.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
const missing = wishes();
const speaker = new Speaker(CHANNEL);
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => speaker.stop(`it got ${signal}`));
}
await speaker.run(missing);
process.exit(0);
