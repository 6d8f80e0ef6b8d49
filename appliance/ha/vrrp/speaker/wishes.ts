/** What a process that must keep its times asks of the machine, and may not get. */
import { getHeapStatistics } from 'node:v8';
import { SystemError } from '../../../../native/ffi/libc.js';
import { hasSwap, keepProgramInMemory, runInRealTime } from '../../../../native/ffi/realtime.js';

/**
 * No pause is long, and none is of V8's own choice:
 * - No helper threads: the main thread, in real time, would wait for one that is not.
 * - Baseline code alone, made when a function is first called and kept: optimizing takes the main
 *   thread 10 ms and more at a time of V8's choice, and so does making it anew after it was dropped.
 * - A small young generation: what is collected at once is little. The old generation is collected
 *   when collectAll() says so and, having room, else never.
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

/** Far below what V8 collects at by itself (the initial old space), in bytes. */
const GROWN = 32 << 20;
let usedAfter = 0;

/** Takes 10 to 15 ms on a busy machine: for when nothing is due, and seldom. */
export function collectAll(): void {
  globalThis.gc?.();
  usedAfter = getHeapStatistics().used_heap_size;
}

/** Whether so much is in use that was not after the last collection that another one is worth it. */
export function hasGrown(): boolean {
  return getHeapStatistics().used_heap_size - usedAfter > GROWN;
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
