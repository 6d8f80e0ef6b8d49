/**
 * The compiler: (intent, health, next hops) ▸ tables. Pure: no clock, no kernel, no
 * file. What did not change keeps its identity from the previous result, so the tiers
 * can tell by `===` what they need not look at.
 *
 * Invariant: tables depend on the input alone. `previous` saves work and never changes
 * the outcome.
 */
import { buildLookup, lookupSlots } from '../balance/maglev.js';
import { memberKey } from '../config/addresses.js';
import type { Intent, Member, Pool, Service } from '../config/schema.js';
import type {
  L4Member,
  L4Pool,
  L4Service,
  MonitorTarget,
  NetTables,
  NextHop,
  Placement,
  Tables,
} from './tables.js';

/** What the compiler needs of a member's health; `id` is `POOL/MEMBERKEY`. */
export interface HealthView {
  get(id: string): MemberHealth | undefined;
}

export interface MemberHealth {
  readonly state: 'unknown' | 'up' | 'down';
  readonly reason: string;
  /** Why the unit cannot probe it now; the state is then what it was before. */
  readonly blind?: string | undefined;
  /** Decaying average of the probes that were answered, in microseconds. */
  readonly responseTimeUs?: number | undefined;
  /** What an agent on the member said; percentages that it never spoke of are undefined. */
  readonly agent?: {
    readonly state: 'up' | 'drain' | 'maint' | 'down';
    /** Of the configured weight. */
    readonly weightPercent: number | undefined;
    readonly cpuPercent: number | undefined;
  };
}

export interface CompileInput {
  readonly intent: Intent;
  readonly health: HealthView;
  /** Where frames for an address go, or in words why nobody knows. */
  readonly nextHop: (address: string) => NextHop | { readonly unresolved: string };
}

/** Names one member of one pool: `web/10.0.0.1:80`. */
export function memberId(pool: string, key: string): string {
  return `${pool}/${key}`;
}

export function compile(input: CompileInput, previous?: Tables): Tables {
  const { intent } = input;
  const services = new Map<string, L4Service>();
  const placements: Placement[] = [];
  const inFastPath = new Set<string>();

  for (const [name, service] of Object.entries(intent.services)) {
    const placed = placeService(name, service);
    placements.push(placed.placement);
    if (placed.l4 === null) continue;
    services.set(name, keep(previous?.l4.services.get(name), placed.l4, sameService));
    inFastPath.add(placed.l4.pool);
  }

  const pools = new Map<string, L4Pool>();
  const l4Pools = new Map<string, L4Pool>();
  for (const [name, pool] of Object.entries(intent.pools)) {
    const compiled = compilePool(name, pool, input, previous?.pools.get(name));
    pools.set(name, compiled);
    if (inFastPath.has(name)) l4Pools.set(name, compiled);
  }

  return {
    pools,
    l4: { services, pools: l4Pools },
    net: netTables(intent, services, l4Pools, previous?.net),
    monitors: monitorTargets(intent, services, previous?.monitors),
    placements,
  };
}

function placeService(
  name: string,
  service: Service,
): { l4: L4Service | null; placement: Placement } {
  const { address, port, protocol } = service.listen;
  const nowhere = (reason: string): { l4: null; placement: Placement } => ({
    l4: null,
    placement: { service: name, tier: 'none', reason },
  });
  if (protocol !== 'tcp' && protocol !== 'udp')
    return nowhere(`${protocol} needs the layer-7 tier`);
  if (service.pool === undefined) return nowhere('no pool');
  const forwarding = service.forwarding;
  if (forwarding !== 'dsr' && forwarding !== 'nat') {
    return nowhere(`the fast path cannot forward by ${String(forwarding)} yet`);
  }
  return {
    l4: { name, address, port, protocol, forwarding, pool: service.pool },
    placement: {
      service: name,
      tier: 'xdp',
      reason: `${protocol} with ${forwarding} needs nothing above layer 4`,
    },
  };
}

/** The part of the intent that a compiled pool was made from. */
const sources = new WeakMap<L4Pool, Pool>();

function compilePool(
  name: string,
  pool: Pool,
  input: CompileInput,
  previous: L4Pool | undefined,
): L4Pool {
  if (
    previous !== undefined &&
    sources.get(previous) === pool &&
    isCurrent(previous, pool, input)
  ) {
    return previous;
  }
  const compiled = compileMembers(name, pool, input, previous);
  sources.set(compiled, pool);
  return compiled;
}

function compileMembers(
  name: string,
  pool: Pool,
  input: CompileInput,
  previous: L4Pool | undefined,
): L4Pool {
  let changed = previous?.members.length !== pool.members.length;
  let reshuffled = changed;
  const members = pool.members.map((member, index): L4Member => {
    const before = previous?.members[index];
    const now = compileMember(name, pool, member, input);
    if (before !== undefined && sameMember(before, now)) return before;
    changed = true;
    if (
      before?.key !== now.key ||
      before.weight !== now.weight ||
      (before.state === 'serving') !== (now.state === 'serving')
    ) {
      reshuffled = true;
    }
    return now;
  });
  if (previous !== undefined && !changed) return previous;
  if (previous !== undefined && !reshuffled) return { name, members, lookup: previous.lookup };
  const lookup = buildLookup(
    members.map((member) => ({
      key: member.key,
      weight: member.weight,
      available: member.state === 'serving',
    })),
    lookupSlots(members.length),
  );
  return { name, members, lookup };
}

/** Whether nothing that a pool's members depend on changed, with its part of the intent being the same. */
function isCurrent(compiled: L4Pool, pool: Pool, input: CompileInput): boolean {
  return compiled.members.every((member) => {
    const hop = input.nextHop(member.address);
    if (!sameHop(member.nextHop, 'unresolved' in hop ? null : hop)) return false;
    const { state, reason } = memberStatus(member.setting, hop, healthOf(pool, member.id, input));
    return state === member.state && reason === member.reason;
  });
}

type Hop = ReturnType<CompileInput['nextHop']>;
/** `none`: nobody watches. */
type Health = MemberHealth | undefined | 'none';

function healthOf(pool: Pool, id: string, input: CompileInput): Health {
  return pool.monitor === undefined ? 'none' : input.health.get(id);
}

function compileMember(
  poolName: string,
  pool: Pool,
  member: Member,
  input: CompileInput,
): L4Member {
  const key = memberKey(member);
  const id = memberId(poolName, key);
  const hop = input.nextHop(member.address);
  return {
    id,
    key,
    address: member.address,
    port: member.port ?? 0,
    weight: member.weight,
    setting: member.state,
    nextHop: 'unresolved' in hop ? null : hop,
    ...memberStatus(member.state, hop, healthOf(pool, id, input)),
  };
}

function memberStatus(
  setting: L4Member['setting'],
  hop: Hop,
  health: Health,
): Pick<L4Member, 'state' | 'reason'> {
  if (setting === 'disabled') return DISABLED;
  if ('unresolved' in hop) return { state: 'down', reason: hop.unresolved };
  if (health !== 'none' && health?.state === 'down')
    return { state: 'down', reason: health.reason };
  if (setting === 'draining') return DRAINING;
  if (health === 'none') return UNWATCHED;
  if (health?.agent?.state === 'drain') return AGENT_DRAINS;
  // HAProxy reads a weight of nothing in the same way.
  if (health?.agent?.weightPercent === 0) return AGENT_WANTS_NOTHING;
  if (health?.blind !== undefined) return { state: 'serving', reason: health.blind };
  return health?.state === 'up' ? PASSING : NOT_PROBED;
}

const DISABLED = { state: 'down', reason: 'disabled' } as const;
const DRAINING = { state: 'draining', reason: 'draining' } as const;
const AGENT_DRAINS = { state: 'draining', reason: 'agent says drain' } as const;
const AGENT_WANTS_NOTHING = { state: 'draining', reason: 'agent says 0%' } as const;
const UNWATCHED = { state: 'serving', reason: 'enabled, no monitor' } as const;
const PASSING = { state: 'serving', reason: 'monitor passes' } as const;
const NOT_PROBED = { state: 'serving', reason: 'not probed yet' } as const;

function netTables(
  intent: Intent,
  services: ReadonlyMap<string, L4Service>,
  pools: ReadonlyMap<string, L4Pool>,
  previous: NetTables | undefined,
): NetTables {
  const serviceAddresses = unique(Array.from(services.values(), (service) => service.address));
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
  const servicePort = new Map<string, number>();
  for (const service of services.values()) {
    if (!servicePort.has(service.pool)) servicePort.set(service.pool, service.port);
  }
  const targets = new Map<string, MonitorTarget>();
  for (const [name, pool] of Object.entries(intent.pools)) {
    for (const target of poolTargets(name, pool, servicePort.get(name))) {
      targets.set(target.id, keep(previous?.get(target.id), target, sameTarget));
    }
  }
  return keep(previous, targets, sameTargets);
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

function sameService(a: L4Service, b: L4Service): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.protocol === b.protocol &&
    a.forwarding === b.forwarding &&
    a.pool === b.pool
  );
}

function sameMember(a: L4Member, b: L4Member): boolean {
  return (
    a.key === b.key &&
    a.weight === b.weight &&
    a.setting === b.setting &&
    a.state === b.state &&
    a.reason === b.reason &&
    sameHop(a.nextHop, b.nextHop)
  );
}

function sameHop(a: NextHop | null, b: NextHop | null): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  return (
    a.interfaceIndex === b.interfaceIndex &&
    a.interfaceName === b.interfaceName &&
    sameBytes(a.mac, b.mac) &&
    sameBytes(a.sourceMac, b.sourceMac)
  );
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
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
