/**
 * Snapshots on their way: the daemon sends what changed, the worker puts the whole together again.
 *
 * Invariant: what is told apart by identity on one side is the same object from one snapshot to the
 * next on the other.
 */
import type { Snapshot } from '../snapshot.js';
import type { L7Tables } from '../tables.js';
import type { SnapshotPart } from './messages.js';

export interface SnapshotSource {
  readonly tables: L7Tables;
  readonly rows: ReadonlyMap<string, number>;
  readonly logs: ReadonlyMap<string, number>;
}

/** What a worker that has `before` needs for `now`; null has nothing yet. */
export function snapshotPart(
  number: number,
  now: SnapshotSource,
  before: SnapshotSource | null,
): SnapshotPart {
  const had = before?.tables;
  return {
    number,
    unit: now.tables.unit,
    services: changed(now.tables.services, had?.services),
    pools: changed(now.tables.pools, had?.pools),
    goneServices: gone(now.tables.services, had?.services),
    gonePools: gone(now.tables.pools, had?.pools),
    rows: before?.rows === now.rows ? null : [...now.rows],
    logs: [...now.logs],
  };
}

function changed<T>(now: ReadonlyMap<string, T>, before: ReadonlyMap<string, T> | undefined): T[] {
  const found: T[] = [];
  for (const [name, one] of now) if (before?.get(name) !== one) found.push(one);
  return found;
}

function gone<T>(
  now: ReadonlyMap<string, T>,
  before: ReadonlyMap<string, T> | undefined,
): string[] {
  return [...(before?.keys() ?? [])].filter((name) => !now.has(name));
}

/** The next snapshot; `before` stays what it is. */
export function nextSnapshot(part: SnapshotPart, before: Snapshot | null): Snapshot {
  const services = new Map(before?.services ?? []);
  const pools = new Map(before?.pools ?? []);
  for (const name of part.goneServices) services.delete(name);
  for (const name of part.gonePools) pools.delete(name);
  for (const service of part.services) services.set(service.name, service);
  for (const pool of part.pools) pools.set(pool.name, pool);
  return {
    number: part.number,
    unit: part.unit,
    services,
    pools,
    rows: part.rows === null ? (before?.rows ?? new Map()) : new Map(part.rows),
    logs: new Map(part.logs),
  };
}
