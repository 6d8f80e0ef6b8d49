/** What a process that must keep its times asks of the machine, and may not get. */
import { SystemError } from '../../../../native/ffi/libc.js';
import { hasSwap, keepProgramInMemory, runInRealTime } from '../../../../native/ffi/realtime.js';

/**
 * A small young generation: what is collected at once is little, so no pause is long. No thread
 * helps with it: the main thread, in real time, would wait for one that is not. The old generation
 * is collected when collectAll() says so and, having room, else never: V8 would do it at any time.
 */
export const REALTIME_NODE_OPTIONS: readonly string[] = [
  '--max-semi-space-size=1',
  '--single-threaded',
  '--no-opt',
  '--always-sparkplug',
  '--no-flush-bytecode',
  '--initial-old-space-size=128',
  '--no-memory-reducer',
  '--expose-gc',
];

/** Takes about 10 ms: for when nothing is due. */
export function collectAll(): void {
  globalThis.gc?.();
}

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
