/**
 * From an earlier daemon to this one: finds the workers that it left, takes copies of their sockets, and
 * goes on in their memory if that is laid out as ours.
 *
 * Invariant: whatever cannot be had is left out and told, and the rest is taken all the same: new sockets
 * and fresh memory serve as well.
 */
import { close } from '../../../native/ffi/libc.js';
import type { Poller } from '../../../native/ffi/poller.js';
import type { AccessLogs } from '../telemetry/access-logs.js';
import type { RowRegistry } from '../telemetry/row-registry.js';
import type { Listeners } from './listeners.js';
import { type Belongings, discard, OrphanProcess } from './orphan.js';
import { identityOf, type Region, type Regions } from './regions.js';
import type { TierState } from './tier-state.js';

export interface AdoptionParts {
  /** Of this daemon's memory, as by layoutOf(). */
  readonly layout: string;
  readonly poller: Poller;
  readonly registry: RowRegistry;
  readonly logs: AccessLogs;
  readonly regions: Regions;
  readonly listeners: Listeners;
  /** Null: it failed, and was told. */
  readonly attempt: <T>(what: string, work: () => T) => T | null;
  readonly onExit: (process: OrphanProcess, how: string) => void;
}

export interface Adopted {
  readonly workers: readonly {
    readonly process: OrphanProcess;
    /** Null: it has memory of another layout. */
    readonly region: Region | null;
    readonly since: number;
  }[];
  /** Counters and stickiness go on. */
  readonly continued: boolean;
}

/** The workers of `earlier` that still live; before anything else is done with the parts. */
export function adopt(earlier: TierState, parts: AdoptionParts): Adopted {
  const { attempt, poller, listeners, regions, registry } = parts;
  const found = earlier.workers.flatMap((of) => {
    const process = attempt('a worker of an earlier daemon', () => {
      const orphan = OrphanProcess.find(of, poller, (how) => {
        if (orphan !== null) parts.onExit(orphan, how);
      });
      return orphan;
    });
    return process === null ? [] : [{ process, of }];
  });
  const known = new Set<string>();
  const memory: Belongings = { sockets: [], shared: null, own: new Map() };
  for (const { process } of found) {
    const has = attempt('what a worker of an earlier daemon holds', () =>
      process.belongings(known),
    );
    if (has === null) continue;
    for (const { address, inode, fd } of has.sockets) {
      known.add(inode);
      listeners.adopt(address, fd);
    }
    if (has.shared !== null && identityOf(has.shared) === earlier.shared) join(memory, has);
    else discard({ ...has, sockets: [] });
  }
  const continued = goOnIn(memory, earlier, parts);
  const workers = found.map(({ process, of }) => ({
    process,
    region: continued ? regions.takeNumber(of.region) : null,
    since: of.since,
  }));
  // What the dead had under way; the living have theirs by now.
  for (const number of continued ? memory.own.keys() : []) {
    const region = regions.takeNumber(number);
    if (region !== null) regions.give(region, registry.used);
  }
  return { workers, continued };
}

function goOnIn(memory: Belongings, earlier: TierState, parts: AdoptionParts): boolean {
  const { regions, registry, logs } = parts;
  const { shared, own } = memory;
  let ours = false;
  const done = parts.attempt('the memory of earlier workers', () => {
    if (shared === null || earlier.layout !== parts.layout || !regions.fits(shared, own))
      return false;
    if (!registry.restore(earlier.rows) || !logs.restore(earlier.logs)) return false;
    ours = true;
    regions.adopt(shared, own);
    return true;
  });
  if (!ours) discard(memory);
  return done ?? false;
}

/** Adds memory that is not there yet; what is there twice is closed. */
function join(all: Belongings, more: Belongings): void {
  if (all.shared === null) all.shared = more.shared;
  else if (more.shared !== null) close(more.shared);
  for (const [number, fd] of more.own) {
    if (all.own.has(number)) close(fd);
    else all.own.set(number, fd);
  }
}
