/**
 * What the tier knows of a worker and of a place that one serves in, and what it tells of them.
 *
 * Invariant: a worker is a spare, has a place, drains, or was left by an earlier daemon.
 */
import type { L7Tables } from '../tables.js';
import type { AccessLogFigures } from '../telemetry/access-logs.js';
import type { SnapshotSource } from '../worker/snapshots.js';
import type { ListenProblem } from './listeners.js';
import type { OrphanProcess } from './orphan.js';
import type { Region } from './regions.js';
import type { WorkerProcess } from './worker-process.js';

export interface TierEvent {
  readonly severity: 'info' | 'warning' | 'error';
  readonly message: string;
}

export interface WorkerRow {
  readonly worker: number;
  readonly pid: number;
  readonly cpu: number | null;
  readonly state: 'starting' | 'serving' | 'draining';
  readonly clients: number;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** How often the place was taken anew. */
  readonly restarts: number;
  /** All that were counted in its region, for services that there are now. */
  readonly requests: number;
}

/** What somebody should know of the whole tier. */
export interface TierHealth {
  /** Why no worker can serve; null when they can. */
  readonly unable: string | null;
  readonly notListening: readonly ListenProblem[];
  /** Places whose workers die soon after their start, again and again; of how many. */
  readonly failing: number;
  readonly places: number;
  readonly logs: readonly AccessLogFigures[];
}

/** What all workers know of a member now. */
export interface MemberLoad {
  /** Requests that it works on; of tcp and tls its connections. */
  readonly underWay: number;
  /** Decaying estimate of the time to its answer; null before the first. */
  readonly responseUs: number | null;
}

export interface Worker {
  readonly process: WorkerProcess | OrphanProcess;
  /** Of an earlier daemon. */
  readonly adopted: boolean;
  region: Region | null;
  /** Its place, or -1: it is a spare, drains, or is adopted. */
  index: number;
  draining: boolean;
  /** It has let go of its sockets. */
  left: boolean;
  /** What it was sent, and what it serves by. */
  sent: SnapshotSource | null;
  /** The versions of the secrets that it was sent, and that it has. */
  secrets: number;
  secretsTaken: number;
  applied: number;
  readonly listening: Set<string>;
  since: number;
  heartbeat: number;
  /** Seconds without a sign of life. */
  silent: number;
  /** Seconds since it was told to do what it does now: to load, to begin, to drain. */
  waited: number;
  condemned: boolean;
}

export interface Place {
  worker: Worker | null;
  restarts: number;
  /** Deaths in a row soon after the start. */
  early: number;
  retry: NodeJS.Timeout | null;
}

export function newWorker(process: Worker['process'], adopted: boolean): Worker {
  return {
    process,
    adopted,
    region: null,
    index: -1,
    draining: false,
    left: false,
    sent: null,
    secrets: 0,
    secretsTaken: 0,
    applied: 0,
    listening: new Set(),
    since: Date.now(),
    heartbeat: 0,
    silent: 0,
    waited: 0,
    condemned: false,
  };
}

export function isSpare({ region, adopted, process }: Worker): boolean {
  return region === null && !adopted && !process.exited;
}

export function serves({ worker }: Place, number: number): boolean {
  return worker !== null && worker.applied >= number;
}

/** Members that monitors found down. */
export function downIn(tables: L7Tables | undefined): string[] {
  const pools = [...(tables?.pools.values() ?? [])];
  return pools.flatMap(({ members }) =>
    members.filter(({ state }) => state === 'down').map(({ id }) => id),
  );
}
