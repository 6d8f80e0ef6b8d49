/**
 * The compiler: (intent, health, influences, next hops) ▸ tables. Pure: no clock, no kernel, no
 * file. What did not change keeps its identity from the previous result, so the tiers
 * can tell by `===` what they need not look at.
 *
 * Invariant: tables depend on the input alone. `previous` saves work and never changes
 * the outcome.
 */
import { memberKey } from '../config/addresses.js';
import { fallbacksOf } from '../config/cross-checks.js';
import type { Intent, Pool } from '../config/schema.js';
import { compilePool, memberId, type PoolInput } from './compile-pools.js';
import { placeService, placeUnit, sameService, sameUnit } from './place.js';
import { poolStanding, sameStanding } from './standing.js';
import { compileProtection, type AccessView } from './compile-protection.js';
import type {
  L4Pool,
  L4Service,
  MonitorTarget,
  NetTables,
  Placement,
  PoolStanding,
  Tables,
} from './tables.js';

export interface CompileInput extends PoolInput {
  readonly intent: Intent;
  /** What access lists hold beside the document; left out: only that. */
  readonly access?: AccessView;
}

export function compile(input: CompileInput, previous?: Tables): Tables {
  const { intent } = input;
  const pools = new Map<string, L4Pool>();
  const standings = new Map<string, PoolStanding>();
  for (const [name, pool] of Object.entries(intent.pools)) {
    const compiled = compilePool(name, pool, input, previous?.pools.get(name));
    pools.set(name, compiled);
  }
  for (const name of pools.keys()) {
    const standing = poolStanding(name, intent.pools, pools);
    standings.set(name, keep(previous?.standings.get(name), standing, sameStanding));
  }

  const services = new Map<string, L4Service>();
  const placements: Placement[] = [];
  const l4Pools = new Map<string, L4Pool>();
  for (const [name, service] of Object.entries(intent.services)) {
    const placed = placeService(name, service);
    placements.push(placed.placement);
    if (placed.l4 === null) continue;
    const own = placed.l4.pool;
    const l4 = { ...placed.l4, pool: standings.get(own)?.servedBy ?? own };
    services.set(name, keep(previous?.l4.services.get(name), l4, sameService));
    // Members of every pool that may come to serve it have their rows and next hops beforehand,
    // and those of a pool that another stands in for keep their flows.
    for (const one of [own, ...fallbacksOf(intent.pools, own)]) {
      const pool = pools.get(one);
      if (pool !== undefined) l4Pools.set(one, pool);
    }
  }

  const protection = compileProtection(intent, services, l4Pools, input, previous?.l4.protection);
  return {
    pools,
    standings,
    l4: {
      unit: keep(previous?.l4.unit, placeUnit(intent), sameUnit),
      services,
      pools: l4Pools,
      protection,
    },
    net: netTables(intent, services, l4Pools, previous?.net),
    monitors: monitorTargets(intent, services, previous?.monitors),
    placements,
  };
}

function netTables(
  intent: Intent,
  services: ReadonlyMap<string, L4Service>,
  pools: ReadonlyMap<string, L4Pool>,
  previous: NetTables | undefined,
): NetTables {
  const serviceAddresses = unique([
    ...Array.from(services.values(), (service) => service.address),
    ...(intent.unit['nat-addresses'] ?? []),
  ]);
  const memberAddresses = unique(
    Array.from(pools.values()).flatMap((pool) => pool.members.map((member) => member.address)),
  );
  const interfaces = [...(intent.unit.interfaces ?? [])];
  return keep(
    previous,
    { serviceAddresses, memberAddresses, interfaces },
    (a, b) =>
      sameList(a.serviceAddresses, b.serviceAddresses) &&
      sameList(a.memberAddresses, b.memberAddresses) &&
      sameList(a.interfaces, b.interfaces),
  );
}

function monitorTargets(
  intent: Intent,
  services: ReadonlyMap<string, L4Service>,
  previous: ReadonlyMap<string, MonitorTarget> | undefined,
): ReadonlyMap<string, MonitorTarget> {
  const servicePort = servicePorts(intent, services);
  const targets = new Map<string, MonitorTarget>();
  for (const [name, pool] of Object.entries(intent.pools)) {
    for (const target of poolTargets(name, pool, servicePort.get(name))) {
      targets.set(target.id, keep(previous?.get(target.id), target, sameTarget));
    }
  }
  return keep(previous, targets, sameTargets);
}

/** The port of the first service that leads to a pool, whichever pool serves it just now. */
function servicePorts(
  intent: Intent,
  services: ReadonlyMap<string, L4Service>,
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const [name, { port }] of services) {
    const own = intent.services[name]?.pool;
    if (own === undefined) continue;
    for (const pool of [own, ...fallbacksOf(intent.pools, own)]) {
      if (!found.has(pool)) found.set(pool, port);
    }
  }
  return found;
}

/** What a part of the intent asks to be probed, kept as long as that part is. */
const targetsOf = new WeakMap<
  Pool,
  { servicePort: number | undefined; targets: MonitorTarget[] }
>();

function poolTargets(name: string, pool: Pool, servicePort: number | undefined): MonitorTarget[] {
  const { monitor } = pool;
  if (monitor === undefined) return [];
  const known = targetsOf.get(pool);
  if (known !== undefined && known.servicePort === servicePort) return known.targets;
  const targets = pool.members.flatMap((member): MonitorTarget[] => {
    // Nobody asked for traffic to a disabled member, so nobody needs it probed.
    if (member.state === 'disabled') return [];
    const key = memberKey(member);
    const own = 'port' in monitor ? monitor.port : undefined;
    const port = own ?? member.port ?? servicePort;
    if (port === undefined) return [];
    const id = memberId(name, key);
    return [{ id, pool: name, member: key, address: member.address, port, settings: monitor }];
  });
  targetsOf.set(pool, { servicePort, targets });
  return targets;
}

function sameTargets(
  a: ReadonlyMap<string, MonitorTarget>,
  b: ReadonlyMap<string, MonitorTarget>,
): boolean {
  if (a.size !== b.size) return false;
  for (const [id, target] of b) if (a.get(id) !== target) return false;
  return true;
}

function keep<T>(before: T | undefined, now: T, same: (a: T, b: T) => boolean): T {
  return before !== undefined && same(before, now) ? before : now;
}

function sameTarget(a: MonitorTarget, b: MonitorTarget): boolean {
  return (
    a === b ||
    (a.address === b.address &&
      a.port === b.port &&
      (a.settings === b.settings || JSON.stringify(a.settings) === JSON.stringify(b.settings)))
  );
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items)];
}
