/** Pools that some service leads to, or that may come to stand in for one of those. */
import type { L4Pool, Tables } from './tables.js';

export function usedPools({ pools, l4, l7 }: Tables): ReadonlyMap<string, L4Pool> {
  return new Map([...pools].filter(([name]) => l4.pools.has(name) || l7.pools.has(name)));
}

/** Whether frames go to its members: then each needs a next hop. */
export function needsNextHops({ l4 }: Tables, pool: string): boolean {
  return l4.pools.has(pool);
}
