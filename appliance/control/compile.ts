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
import { poolsOf } from '../config/references.js';
import type { Intent, Pool } from '../config/schema.js';
import type { L7Protocol } from '../l7/tables.js';
import { basisOf, compileL7, type L7Input } from './compile-l7.js';
import { compilePair, NO_PAIR, type PairInput } from './compile-pair.js';
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

export interface CompileInput extends PoolInput, Pick<L7Input, 'cookieKey'> {
  readonly intent: Intent;
  /** What access lists hold beside the document; left out: only that. */
  readonly access?: AccessView;
  /** Left out: nothing here moves addresses between units. */
  readonly pair?: Pick<PairInput, 'other' | 'interfaceOf'>;
}

export function compile(input: CompileInput, previous?: Tables): Tables {
  const { intent } = input;
  const placed = placeAll(intent);
  const proxied = poolsUsedBy(intent, placed.l7.keys());
  const forwarded = poolsUsedBy(intent, placed.l4.keys());

  const pools = new Map<string, L4Pool>();
  /** What the proxy sees of its pools: the same, where no frames go to them. */
  const reachable = new Map<string, L4Pool>();
  for (const [name, pool] of Object.entries(intent.pools)) {
    const alone = proxied.has(name) && !forwarded.has(name);
    const before = previous?.pools.get(name);
    const compiled = compilePool(name, pool, input, before, alone ? 'kernel' : 'frames');
    pools.set(name, compiled);
    if (!proxied.has(name)) continue;
    const basis = basisOf(previous?.l7.pools.get(name));
    reachable.set(name, alone ? compiled : compilePool(name, pool, input, basis, 'kernel'));
  }
  const standings = new Map<string, PoolStanding>();
  for (const [name, compiled] of pools) {
    const judged = reachable.get(name) === compiled ? reachable : pools;
    const standing = poolStanding(name, intent.pools, judged);
    standings.set(name, keep(previous?.standings.get(name), standing, sameStanding));
  }

  const services = new Map<string, L4Service>();
  const l4Pools = new Map<string, L4Pool>();
  for (const [name, service] of placed.l4) {
    const l4 = { ...service, pool: standings.get(service.pool)?.servedBy ?? service.pool };
    services.set(name, keep(previous?.l4.services.get(name), l4, sameService));
  }
  // Members of every pool that may come to serve have their rows and next hops beforehand, and
  // those of a pool that another stands in for keep their flows.
  for (const name of forwarded) {
    const pool = pools.get(name);
    if (pool !== undefined) l4Pools.set(name, pool);
  }
  const l7 = compileL7(
    input,
    {
      services: placed.l7,
      pools: reachable,
      servedBy: (name) => poolStanding(name, intent.pools, reachable).servedBy,
    },
    previous?.l7,
  );

  const protection = compileProtection(intent, services, l4Pools, input, previous?.l4.protection);
  const addresses = [...services.values(), ...l7.services.values()].map(({ address }) => address);
  const pair =
    input.pair === undefined ? NO_PAIR : compilePair({ intent, addresses, ...input.pair });
  return {
    pools,
    standings,
    l4: {
      unit: keep(previous?.l4.unit, placeUnit(intent), sameUnit),
      services,
      pools: l4Pools,
      protection,
    },
    l7,
    net: netTables(intent, addresses, pair.shared, l4Pools, previous?.net),
    pair: keep(previous?.pair, pair, sameText),
    monitors: monitorTargets(
      intent,
      [...placed.l4.keys(), ...placed.l7.keys()],
      previous?.monitors,
    ),
    placements: placed.placements,
  };
}

interface Placed {
  /** With the pools that the document names. */
  readonly l4: ReadonlyMap<string, L4Service>;
  readonly l7: ReadonlyMap<string, L7Protocol>;
  readonly placements: readonly Placement[];
}

function placeAll(intent: Intent): Placed {
  const l4 = new Map<string, L4Service>();
  const l7 = new Map<string, L7Protocol>();
  const placements: Placement[] = [];
  for (const [name, service] of Object.entries(intent.services)) {
    const placed = placeService(name, service);
    placements.push(placed.placement);
    if (placed.l4 !== null) l4.set(name, placed.l4);
    if (placed.l7 !== null) l7.set(name, placed.l7);
  }
  return { l4, l7, placements };
}

/** Pools that these services lead to, and those that may come to stand in for them. */
function poolsUsedBy(intent: Intent, services: Iterable<string>): ReadonlySet<string> {
  const found = new Set<string>();
  for (const name of services) {
    const service = intent.services[name];
    for (const pool of service === undefined ? [] : poolsOf(service)) {
      if (found.has(pool)) continue;
      for (const one of [pool, ...fallbacksOf(intent.pools, pool)]) found.add(one);
    }
  }
  return found;
}

function netTables(
  intent: Intent,
  addresses: readonly string[],
  sharedAddresses: readonly string[],
  pools: ReadonlyMap<string, L4Pool>,
  previous: NetTables | undefined,
): NetTables {
  const serviceAddresses = unique([...addresses, ...(intent.unit['nat-addresses'] ?? [])]);
  const memberAddresses = unique(
    Array.from(pools.values()).flatMap((pool) => pool.members.map((member) => member.address)),
  );
  const interfaces = [...(intent.unit.interfaces ?? [])];
  return keep(
    previous,
    { serviceAddresses, sharedAddresses, memberAddresses, interfaces },
    (a, b) =>
      sameList(a.serviceAddresses, b.serviceAddresses) &&
      sameList(a.sharedAddresses ?? [], b.sharedAddresses ?? []) &&
      sameList(a.memberAddresses, b.memberAddresses) &&
      sameList(a.interfaces, b.interfaces),
  );
}

function monitorTargets(
  intent: Intent,
  services: readonly string[],
  previous: ReadonlyMap<string, MonitorTarget> | undefined,
): ReadonlyMap<string, MonitorTarget> {
  const servicePort = servicePorts(intent, new Set(services));
  const targets = new Map<string, MonitorTarget>();
  for (const [name, pool] of Object.entries(intent.pools)) {
    for (const target of poolTargets(name, pool, servicePort.get(name))) {
      targets.set(target.id, keep(previous?.get(target.id), target, sameTarget));
    }
  }
  return keep(previous, targets, sameTargets);
}

/** The port of the first service that leads to a pool, whichever pool serves it just now. */
function servicePorts(intent: Intent, placed: ReadonlySet<string>): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const [name, service] of Object.entries(intent.services)) {
    if (!placed.has(name)) continue;
    for (const own of poolsOf(service)) {
      for (const pool of [own, ...fallbacksOf(intent.pools, own)]) {
        if (!found.has(pool)) found.set(pool, service.listen.port);
      }
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

/** Of what is small, and plain data. */
function sameText(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items)];
}
