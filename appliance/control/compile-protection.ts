/**
 * The compiler's part for protection: (intent, access lists, temporary entries, what agents
 * say) ▸ what each service and member is protected by. Pure.
 *
 * Invariant: what did not change keeps its identity from the previous result; services with the
 * same lists share one set.
 */
import type { AccessList, Intent, Pool, Rate, Service } from '../config/schema.js';
import type { PrefixKey } from '../config/prefix-key.js';
import type { HealthView } from './compile-pools.js';
import { buildAccessSet, type AccessSet, type Verdict } from './access-sets.js';
import type {
  L4Member,
  L4MemberLimits,
  L4Pool,
  L4Protection,
  L4Rate,
  L4Service,
  L4ServiceProtection,
} from './tables.js';

/** An entry that somebody made at the command line for a while. */
export interface TemporaryAccess {
  readonly key: PrefixKey;
  readonly verdict: Verdict;
  /** Null: for every service. */
  readonly service: string | null;
}

/** What the compiler needs to know of lists; equal content has the same identity. */
export interface AccessView {
  /** What a list holds now, that of its file included, without what has expired. */
  entries(name: string, list: AccessList): readonly PrefixKey[];
  /** In the order in which they were made. */
  readonly temporary: readonly TemporaryAccess[];
}

/** Only what stands in the document itself. */
const DOCUMENT_ONLY: AccessView = { entries: (_name, list) => list.prefixes, temporary: [] };

export interface ProtectionViews {
  /** Left out: lists hold what stands in the document. */
  readonly access?: AccessView;
  readonly health: HealthView;
}

const SECOND_NS = 1_000_000_000n;
const MAX_NS = 1n << 62n;
const DEFAULT_PREFIX = { ipv4: 32, ipv6: 64 } as const;

export function compileProtection(
  intent: Intent,
  services: ReadonlyMap<string, L4Service>,
  pools: ReadonlyMap<string, L4Pool>,
  { access: view = DOCUMENT_ONLY, health }: ProtectionViews,
  previous: L4Protection | undefined,
): L4Protection {
  const members = memberLimits(intent, pools, health, previous?.members);
  const limited = new Set<string>();
  for (const [name, { members: list }] of members.size === 0 ? [] : pools) {
    if (list.some(({ id }: L4Member) => members.has(id))) limited.add(name);
  }
  const sets = new Map<string, AccessSet | null>();
  const found = new Map<string, L4ServiceProtection>();
  for (const [name, { pool }] of services) {
    const service = intent.services[name];
    if (service === undefined) continue;
    const before = previous?.services.get(name);
    const now: L4ServiceProtection = {
      access: accessSet(intent, name, service, view, sets, previous),
      ...limitsOf(service),
      members: limited.has(pool),
    };
    found.set(name, before !== undefined && same(before, now) ? before : now);
  }
  const unchanged =
    previous?.members === members &&
    previous.services.size === found.size &&
    [...found].every(([name, one]) => previous.services.get(name) === one);
  return unchanged ? previous : { services: found, members };
}

/** What a set was built from, so that it is built again only when that changed. */
const sources = new WeakMap<AccessSet, readonly unknown[]>();

function accessSet(
  intent: Intent,
  name: string,
  { access }: Service,
  view: AccessView,
  sets: Map<string, AccessSet | null>,
  previous: L4Protection | undefined,
): AccessSet | null {
  const own = view.temporary.some(({ service }) => service === name);
  const allow = [...new Set(access?.allow)].sort();
  const deny = [...new Set(access?.deny)].sort();
  const setName = `allow ${allow.join()} deny ${deny.join()}${own ? ` of ${name}` : ''}`;
  const known = sets.get(setName);
  if (known !== undefined) return known;
  const temporary = view.temporary.filter(({ service }) => service === null || service === name);
  // The service's own word stands over the one for all.
  temporary.sort((a, b) => Number(a.service !== null) - Number(b.service !== null));
  let set: AccessSet | null = null;
  if (access !== undefined || temporary.length > 0) {
    const entriesOf = (list: string): readonly PrefixKey[] => {
      const found = intent['access-lists'][list];
      return found === undefined ? [] : view.entries(list, found);
    };
    const parts = {
      allow: allow.map(entriesOf),
      deny: deny.map(entriesOf),
      temporary,
    };
    const made = [...parts.allow, ...parts.deny, ...temporary];
    const before = [...(previous?.services.values() ?? [])].find(
      (one) => one.access?.name === setName,
    )?.access;
    const from = before === undefined || before === null ? undefined : sources.get(before);
    if (before && from?.length === made.length && made.every((part, at) => part === from[at])) {
      set = before;
    } else {
      set = buildAccessSet({ name: setName, ...parts });
      sources.set(set, made);
    }
  }
  sets.set(setName, set);
  return set;
}

function limitsOf({ limits }: Service): Omit<L4ServiceProtection, 'access' | 'members'> {
  const fresh = limits?.['new-connections'];
  const perService = fresh?.per === 'service' ? compileRate(fresh) : null;
  const perClient = fresh?.per === 'client-address' ? compileRate(fresh) : null;
  const connections = limits?.['connections-per-client'] ?? 0;
  return {
    rate: perService ?? (limits?.['flood-guard'] === 'off' ? null : 'auto'),
    connections: limits?.connections ?? 0,
    client:
      perClient === null && connections === 0
        ? null
        : {
            rate: perClient,
            connections,
            prefix: fresh?.prefix ?? DEFAULT_PREFIX.ipv4,
            prefix6: fresh?.prefix6 ?? DEFAULT_PREFIX.ipv6,
          },
  };
}

function memberLimits(
  intent: Intent,
  pools: ReadonlyMap<string, L4Pool>,
  health: HealthView,
  previous: ReadonlyMap<string, L4MemberLimits> | undefined,
): ReadonlyMap<string, L4MemberLimits> {
  const found = new Map<string, L4MemberLimits>();
  for (const [name, compiled] of pools) {
    const pool = intent.pools[name];
    if (pool === undefined || !mayLimit(pool)) continue;
    const hasAgent = pool.monitor?.type === 'agent';
    for (const [index, member] of pool.members.entries()) {
      const id = compiled.members[index]?.id;
      if (id === undefined) continue;
      const said = hasAgent ? health.get(id)?.agent?.maxConnections : undefined;
      const most = lowerLimit(member['max-connections'], said);
      const fresh = member['new-connections'];
      if (most === 0 && fresh === undefined) continue;
      const now = { rate: fresh === undefined ? null : compileRate(fresh), connections: most };
      const before = previous?.get(id);
      found.set(id, before !== undefined && same(before, now) ? before : now);
    }
  }
  const unchanged =
    previous?.size === found.size && [...found].every(([id, one]) => previous.get(id) === one);
  return unchanged ? previous : found;
}

/** By pool of a document, since all is compiled again whenever a member's health changes. */
const limiting = new WeakMap<Pool, boolean>();

/** Whether a member of the pool has limits of its own, or may be given one by its agent. */
function mayLimit(pool: Pool): boolean {
  const known = limiting.get(pool);
  if (known !== undefined) return known;
  const found =
    pool.monitor?.type === 'agent' ||
    pool.members.some(
      (member) =>
        member['max-connections'] !== undefined || member['new-connections'] !== undefined,
    );
  limiting.set(pool, found);
  return found;
}

/** Of the document's and an agent's limit the lower one, each if there is one; 0 is none. */
export function lowerLimit(...limits: readonly (number | undefined)[]): number {
  const real = limits.flatMap((limit) => (limit === undefined || limit === 0 ? [] : [limit]));
  return real.length === 0 ? 0 : Math.min(...real);
}

/** A rate in the fast path's terms, to whole nanoseconds. */
export function compileRate(limit: {
  readonly rate: Rate;
  readonly burst?: number | undefined;
}): L4Rate {
  const { count, per } = limit.rate;
  const span = (BigInt(per) * SECOND_NS) / 1000n;
  const cost = span / BigInt(count);
  const costNs = cost > 0n ? cost : 1n;
  const burstNs = BigInt((limit.burst ?? count) - 1) * costNs;
  return { costNs, burstNs: burstNs < MAX_NS ? burstNs : MAX_NS };
}

/** Whether two are equal, sets of lists by identity. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if ('verdicts' in a || 'verdicts' in b) return false;
  const left: [string, unknown][] = Object.entries(a);
  const right = new Map<string, unknown>(Object.entries(b));
  return left.length === right.size && left.every(([key, value]) => same(value, right.get(key)));
}
