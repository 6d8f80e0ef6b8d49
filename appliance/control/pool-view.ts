/**
 * One pool as people see it: how it is off, what happens when too few of its members serve, and
 * its members. Pure.
 */
import type { PoolDetail } from '../api/contract.js';
import { fallbacksOf } from '../config/cross-checks.js';
import type { Intent } from '../config/schema.js';
import type { NewEvent } from '../telemetry/event-log.js';
import type { L4Pool, PoolStanding, Tables } from './tables.js';
import { usedPools } from './used-pools.js';
import { memberRows, poolRows, type ViewInput } from './views.js';

/** Null when there is no such pool. */
export function poolDetail(input: ViewInput, name: string): PoolDetail | null {
  const row = poolRows(input, name)[0];
  const compiled = input.tables.pools.get(name);
  const standing = input.tables.standings.get(name);
  if (row === undefined || compiled === undefined || standing === undefined) return null;
  const proxied = onlyProxied(input.tables, name);
  return {
    ...row,
    muster: standing.muster,
    membersNeeded: standing.needed,
    membersAble: standing.serving,
    servedBy: standing.servedBy,
    whenDown: whenDownSentence(name, input.intent.pools, compiled, standing, proxied),
    now: nowSentence(compiled, standing, proxied),
    members: memberRows(input, name),
  };
}

/** Whether the fast path has nothing to do with a pool. */
function onlyProxied({ l4, l7 }: Tables, pool: string): boolean {
  return l7.pools.has(pool) && !l4.pools.has(pool);
}

function fate({ whenDown }: L4Pool, proxied: boolean): string {
  if (proxied) {
    return whenDown === 'reset' ? 'connections are reset' : 'requests are refused';
  }
  return whenDown === 'reset'
    ? 'new TCP flows are reset and others dropped'
    : 'new flows are dropped';
}

/** What happens to new flows when too few members serve. */
export function whenDownSentence(
  name: string,
  pools: Intent['pools'],
  pool: L4Pool,
  { needed }: Pick<PoolStanding, 'needed'>,
  proxied: boolean,
): string {
  const few = needed === 1 ? 'no member can serve' : `fewer than ${needed} members can serve`;
  const standIns = fallbacksOf(pools, name);
  if (standIns.length > 0) {
    const last = standIns.at(-1) ?? name;
    const end =
      pools[last]?.['when-down'] === 'serve-all'
        ? 'members that are down by their monitor are used there all the same'
        : fate(pool, proxied);
    return `While ${few}, pool ${standIns.join(', then pool ')} takes the new flows; while nobody there can serve either, ${end}.`;
  }
  if (pools[name]?.['when-down'] === 'serve-all') {
    return `While ${few}, members that are down by their monitor are used all the same; while none can be reached, ${fate(pool, proxied)}.`;
  }
  return `While no member can serve, ${fate(pool, proxied)}.`;
}

/** How the pool is now, and why. */
export function nowSentence(pool: L4Pool, standing: PoolStanding, proxied: boolean): string {
  const { muster, needed, serving, servedBy } = standing;
  const of = `${serving} of ${needed} needed ${needed === 1 ? 'member' : 'members'} can serve`;
  if (servedBy !== pool.name) return `Fail-over: ${of}, so pool ${servedBy} takes the new flows.`;
  switch (muster) {
    case 'enough': {
      const waiting = pool.members.filter((one) => one.standing === 'standby').length;
      const backups = waiting === 1 ? '; 1 backup stands by' : `; ${waiting} backups stand by`;
      const able = serving - waiting;
      return `${able} ${able === 1 ? 'member serves' : 'members serve'}, ${needed} needed${waiting === 0 ? '' : backups}.`;
    }
    case 'backups':
      return `Too few members serve without backups (${needed} needed), so backups take new flows too.`;
    case 'all':
      return `Fail-open: ${of}, so members that are down by their monitor are used all the same.`;
    case 'few':
      return `${of}, and no others are left: these take all new flows.`;
    case 'none':
      return `Fail-closed: no member can serve, so ${fate(pool, proxied)}.`;
  }
}

/** Pools in use that came to another standing between two compilations. */
export function standingEvents(before: Tables | undefined, now: Tables): NewEvent[] {
  if (before === undefined) return [];
  return [...usedPools(now)].flatMap(([name, pool]): NewEvent[] => {
    const was = before.standings.get(name);
    const is = now.standings.get(name);
    if (was === undefined || is === undefined) return [];
    if (was.muster === is.muster && was.servedBy === is.servedBy) return [];
    const well = is.muster === 'enough' && is.servedBy === name;
    return [
      {
        kind: 'pool-state',
        severity: well ? 'info' : is.muster === 'none' ? 'error' : 'warning',
        message: `pool ${name}: ${nowSentence(pool, is, onlyProxied(now, name))}`,
        subject: { pool: name, before: was.muster, after: is.muster },
      },
    ];
  });
}
