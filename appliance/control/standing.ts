/**
 * How a pool is off, and which pool takes its new flows. Pure.
 *
 * Invariant: a pool that has as many members as it needs serves its own services; one that has
 * too few gives them to the first of those that stand in for it that has enough.
 */
import { fallbacksOf } from '../config/cross-checks.js';
import type { Pool } from '../config/schema.js';
import { quorumOf } from './compile-pools.js';
import type { L4Pool, PoolStanding } from './tables.js';

type Pools = Readonly<Record<string, Pool>>;

export function poolStanding(
  name: string,
  intent: Pools,
  pools: ReadonlyMap<string, L4Pool>,
): PoolStanding {
  const compiled = pools.get(name);
  if (compiled === undefined) throw new RangeError(`pool ${name} was not compiled`);
  const { muster, needed, serving } = quorumOf(compiled);
  return { muster, needed, serving, servedBy: servedBy(name, intent, pools) };
}

function servedBy(name: string, intent: Pools, pools: ReadonlyMap<string, L4Pool>): string {
  if (hasEnough(pools.get(name))) return name;
  const all = [name, ...fallbacksOf(intent, name)];
  return (
    all.find((one) => hasEnough(pools.get(one))) ??
    all.find((one) => (pools.get(one)?.lookup.length ?? 0) > 0) ??
    name
  );
}

function hasEnough(pool: L4Pool | undefined): boolean {
  if (pool === undefined) return false;
  const { muster } = quorumOf(pool);
  return muster !== 'few' && muster !== 'none';
}

export function sameStanding(a: PoolStanding, b: PoolStanding): boolean {
  return (
    a.muster === b.muster &&
    a.needed === b.needed &&
    a.serving === b.serving &&
    a.servedBy === b.servedBy
  );
}
