/**
 * What the daemon knows of the unit that virtual routers track: whether it could serve if it had the
 * addresses. Pure.
 */
import type { AttachOutcome } from '../l4/attach.js';
import type { TierHealth } from '../l7/supervisor/worker-tier.js';
import type { Link } from '../net/wire.js';
import { interfaceSubject, neighbourSubject, routeSubject, TRACKED } from './compile-pair.js';
import type { Tables } from './tables.js';
import { usedPools } from './used-pools.js';

export interface FitnessInput {
  readonly tables: Tables;
  /** Of the last attachment. */
  readonly outcomes: readonly AttachOutcome[];
  readonly proxy: Pick<TierHealth, 'unable' | 'failing' | 'places'>;
  /** Whether this unit reaches about as many members as the other one (peer-health.ts). */
  readonly reaches: boolean;
  readonly links: readonly Pick<Link, 'name' | 'running'>[];
  /** Routes that are there and neighbours that answer; what is not in it is not known. */
  readonly ways: ReadonlyMap<string, boolean>;
}

/** Whether each that can be tracked is well. */
export function fitness(input: FitnessInput): ReadonlyMap<string, boolean> {
  const { tables, outcomes, proxy, links, ways } = input;
  const { routes, neighbours } = tables.pair.ways;
  const wellness: Readonly<Record<(typeof TRACKED)[number], boolean>> = {
    datapath:
      tables.l4.services.size === 0 || outcomes.every(({ attachment }) => attachment !== null),
    workers: tables.l7.services.size === 0 || canServe(proxy),
    members: input.reaches,
    pools: [...usedPools(tables)].every(
      ([, { members }]) =>
        // Taken out by the administrator: no unit can serve them.
        members.every(({ setting }) => setting === 'disabled') ||
        members.some(({ state }) => state === 'serving'),
    ),
  };
  const running = new Set(links.filter((link) => link.running).map(({ name }) => name));
  return new Map<string, boolean>([
    ...TRACKED.map((what) => [what, wellness[what]] as const),
    ...tables.pair.interfaces.map((name) => [interfaceSubject(name), running.has(name)] as const),
    ...routes.map((name) => [routeSubject(name), ways.get(name) ?? true] as const),
    ...neighbours.map((name) => [neighbourSubject(name), ways.get(name) ?? true] as const),
  ]);
}

function canServe({ unable, failing, places }: FitnessInput['proxy']): boolean {
  return unable === null && !(failing > 0 && failing === places);
}
