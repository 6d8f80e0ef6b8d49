/**
 * Ends the workers that daemons left, when no daemon runs: they finish what is under way for a moment.
 */
import { rmSync } from 'node:fs';
import { bootId } from '../../../native/ffi/pidfd.js';
import type { Poller } from '../../../native/ffi/poller.js';
import { OrphanProcess } from './orphan.js';
import { readState } from './tier-state.js';

/** Milliseconds. */
const GRACE = 2000;

/** Returns how many there were. Throws SystemError when they cannot be told. */
export async function endWorkers(stateFile: string, poller: Poller): Promise<number> {
  const state = readState(stateFile);
  if (state?.boot !== bootId()) return 0;
  const left = new Set<OrphanProcess>();
  let wake = (): void => undefined;
  const gone = new Promise<void>((resolve) => {
    wake = () => {
      if (left.size === 0) resolve();
    };
  });
  for (const one of state.workers) {
    const found = OrphanProcess.find(one, poller, () => {
      if (found !== null) left.delete(found);
      wake();
    });
    if (found !== null) left.add(found);
  }
  const count = left.size;
  poller.ref();
  const late = setTimeout(() => {
    for (const process of left) process.kill();
  }, GRACE);
  try {
    for (const process of left) process.drain();
    wake();
    await gone;
    rmSync(stateFile, { force: true });
  } finally {
    clearTimeout(late);
    poller.unref();
    for (const process of left) process.release();
  }
  return count;
}
