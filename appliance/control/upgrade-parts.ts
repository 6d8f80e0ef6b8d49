/** What an upgrade needs of the machine: slots, keys, and this boot's name. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DaemonOptions } from '../api/daemon-options.js';
import { type DaemonPort, PortError } from '../api/port.js';
import { readPublicKeys } from '../system/slots/bundle.js';
import { Keeper } from '../system/slots/keeper.js';
import { SlotFiles } from '../system/slots/slot-files.js';
import { restoreStores, type Restored } from '../system/slots/store-copies.js';

const JOURNAL = 'upgrade.json';
export const NO_SLOTS =
  'This unit has no slots: it was not installed from an image, or its daemon was not told of them (--slots).';

/** Before any database is opened: those that the other slot's version migrated are put back. */
export function storesOfSlot({ slots, stateDir }: DaemonOptions): Restored[] {
  return slots === undefined ? [] : restoreStores(stateDir, new SlotFiles(slots).running);
}

/** A sentence: this unit cannot be upgraded. */
export function keeperOf(
  { slots, updateKeys, stateDir }: DaemonOptions,
  version: string,
  onProblem: (error: unknown) => void,
): Keeper | string {
  if (slots === undefined || updateKeys === undefined) return NO_SLOTS;
  try {
    return new Keeper({
      files: new SlotFiles(slots),
      ...{ stateDir, journal: join(stateDir, JOURNAL), version, now: Date.now },
      boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      keys: () => readPublicKeys(readFileSync(updateKeys, 'utf8'), updateKeys),
    });
  } catch (error) {
    // A unit that cannot be upgraded balances all the same.
    onProblem(error);
    return error instanceof Error ? error.message : String(error);
  }
}

/** Whether this unit gave its addresses up (or takes them back), and whether some stayed. */
export async function handOver(
  daemon: Pick<DaemonPort, 'routers' | 'failover'>,
  cancel: boolean,
  author: string,
): Promise<'none' | 'done' | 'remaining'> {
  const routers = await daemon.routers();
  // Those that somebody gave up before stay so.
  if (routers.length === 0 || (!cancel && routers.every(({ failover }) => failover))) return 'none';
  try {
    const { remaining } = await daemon.failover({ router: null, cancel, author });
    return remaining.length > 0 ? 'remaining' : 'done';
  } catch (error) {
    // There are none any more.
    if (error instanceof PortError && error.code === 'conflict') return 'none';
    throw error;
  }
}
