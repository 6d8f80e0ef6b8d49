/** What a process that must keep its times asks of the machine, and may not get. */
import { SystemError } from '../../../../native/ffi/libc.js';
import { hasSwap, keepProgramInMemory, runInRealTime } from '../../../../native/ffi/realtime.js';

/**
 * A small young generation: what is collected at once is little, so no pause is long. And no thread
 * helps with it: the main thread, in real time, would wait for one that is not.
 */
export const REALTIME_NODE_OPTIONS: readonly string[] = [
  '--max-semi-space-size=1',
  '--single-threaded-gc',
];

/** Asks, with `priority` of SCHED_FIFO, and returns as sentences what was refused. */
export function wishes(priority: number): string[] {
  const missing: string[] = [];
  const wish = (what: string, get: () => void): void => {
    try {
      get();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      missing.push(`${what}: ${error.message}`);
    }
  };
  wish('it runs without real-time priority', () => runInRealTime(priority));
  wish('its program may have to be read from the disk again', () => keepProgramInMemory());
  if (hasSwap()) missing.push('its heap may be swapped out: this machine has swap space');
  return missing;
}
