/**
 * Takes a unit out of the network for good: programs off the interfaces, tables and
 * service addresses gone, workers of layer 7 and the VRRP speaker ended. Only while no daemon runs. The configuration stays in its store,
 * so the next daemon puts everything back.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BaseLogger } from 'pino';
import { lock } from '../../native/ffi/lock-file.js';
import { Poller } from '../../native/ffi/poller.js';
import type { DaemonOptions } from '../api/daemon-options.js';
import { removeDatapath } from '../l4/datapath.js';
import { endWorkers } from '../l7/supervisor/end-workers.js';
import { L7_STATE } from '../l7/supervisor/tier-state.js';
import { endSpeaker, VRRP_STATE } from './end-speaker.js';
import { Network } from '../net/network.js';

export interface DetachReport {
  /** Interfaces that the program was taken off, by index. */
  readonly interfaces: readonly number[];
  /** Workers of layer 7 that were ended. */
  readonly workers: number;
  /** Service addresses that were removed. */
  readonly addresses: readonly string[];
  /** What could not be removed, in sentences. */
  readonly problems: readonly string[];
}

/** Throws LockError when a daemon runs, BpfError or SystemError when the kernel refuses. */
export async function detachUnit(
  options: Pick<DaemonOptions, 'stateDir' | 'runDir' | 'bpfDir'>,
  log: Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>,
): Promise<DetachReport> {
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const unlock = lock(join(options.stateDir, 'lock'));
  const poller = new Poller();
  try {
    await endSpeaker(join(options.runDir, VRRP_STATE), poller);
    // Addresses first: a packet that comes meanwhile finds a balancer or nobody, not a closed port.
    const network = await Network.open({ poller, log });
    try {
      const report = await network.reconcile({
        serviceAddresses: [],
        memberAddresses: [],
        interfaces: [],
      });
      return {
        interfaces: existsSync(options.bpfDir) ? removeDatapath(options.bpfDir) : [],
        workers: await endWorkers(join(options.runDir, L7_STATE), poller),
        addresses: report.removed,
        problems: report.problems.map(({ message }) => message),
      };
    } finally {
      network.close();
    }
  } finally {
    poller.close();
    unlock();
  }
}
