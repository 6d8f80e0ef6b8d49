/**
 * The part of the compiler that makes a pool: state and weight of each member, who of them
 * takes new flows, and the table that the fast path chooses from. Pure.
 *
 * Invariant: as in compile.ts, the previous result saves work and never changes the outcome.
 */
import { buildTable, choiceOf, usesObservations, usesWeights } from '../balance/choice.js';
import { neededMembers, quorum, type Quorum } from '../balance/quorum.js';
import { WEIGHT_MAX, WEIGHT_UNIT } from '../balance/reweigh.js';
import { memberKey } from '../config/addresses.js';
import { fallbacksOf } from '../config/cross-checks.js';
import type { Intent, Member, Pool } from '../config/schema.js';
import { formatDuration } from '../config/units-of-measure.js';
import { sameNextHop } from '../net/next-hop.js';
import type { L4Member, L4Pool, L4WhenDown, NextHop } from './tables.js';

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
    readonly state?: 'up' | 'drain' | 'maint' | 'down';
    /** Of the configured weight. */
    readonly weightPercent?: number | undefined;
    readonly cpuPercent?: number | undefined;
    readonly maxConnections?: number | undefined;
  };
}

/** What time and traffic say of a member, as data: the compiler has no clock. */
export interface InfluenceView {
  /** Part of its share that a member takes while it starts slowly: above 0, up to 1. */
  ramp(id: string): number;
  /** Its weight as computed from observations, 0 … 65,535; undefined while there is none. */
  weight(id: string): number | undefined;
  /** Whether it was draining for as long as its pool allows. */
  drained(id: string): boolean;
  /** Why its traffic makes it suspect; undefined while it does not. */
  suspect(id: string): string | undefined;
}

export interface PoolInput {
  readonly intent: Intent;
  readonly health: HealthView;
  /** Left out: no member starts slowly, was weighed or is drained. */
  readonly influences?: InfluenceView;
  /** Where frames for an address go, or in words why nobody knows. */
  readonly nextHop: (address: string) => NextHop | { readonly unresolved: string };
}

/**
 * How members are reached: in `frames` of the fast path, which need a next hop, or by the
 * `kernel`'s own routing, from a socket of the proxy.
 */
export type Reach = 'frames' | 'kernel';

/** Names one member of one pool: `web/10.0.0.1:80`. */
export function memberId(pool: string, key: string): string {
  return `${pool}/${key}`;
}

/** What a compiled pool was made from. */
interface Making {
  readonly source: Pool;
  readonly judged: readonly Judged[];
  readonly quorum: Quorum;
}

const makings = new WeakMap<L4Pool, Making>();

/** The part of the intent that a compiled pool was made from. */
export function sourceOf(pool: L4Pool): Pool {
  return makingOf(pool).source;
}

/** Who of a compiled pool takes new flows, and whether these are enough. */
export function quorumOf(pool: L4Pool): Quorum {
  return makingOf(pool).quorum;
}

function makingOf(pool: L4Pool): Making {
  const making = makings.get(pool);
  if (making === undefined) throw new RangeError(`pool ${pool.name} was not made by the compiler`);
  return making;
}

/** A member by itself, before it is known how the others are. */
interface Judged {
  readonly hop: NextHop | null;
  readonly state: L4Member['state'];
  readonly reason: string;
  readonly drained: boolean;
  /** Whether it is down by its monitor alone. */
  readonly atNeed: boolean;
  readonly weight: number;
}

export function compilePool(
  name: string,
  pool: Pool,
  input: PoolInput,
  previous: L4Pool | undefined,
  reach: Reach = 'frames',
): L4Pool {
  const before = previous === undefined ? undefined : makings.get(previous);
  // Names are made of addresses: not again for ten thousand members because one of them changed.
  const known = before?.source === pool ? previous?.members : undefined;
  const judged = pool.members.map((member, index) =>
    judge(known?.[index]?.id ?? memberId(name, memberKey(member)), pool, member, input, reach),
  );
  const common = {
    name,
    choice: choiceOf(pool.algorithm, pool.hash),
    whenDown: whenDownOf(name, input.intent.pools),
    onMemberDown: pool['on-member-down'] ?? 'rehash',
  };
  const same = previous !== undefined && sameCommon(previous, common);
  if (same && before?.source === pool && sameJudged(before.judged, judged)) return previous;

  const now = quorum(
    pool.members.map(({ backup, weight }, index) => ({
      backup: backup === true,
      can: weight === 0 || asksForNothing(pool, judged[index]) ? 'no' : canServe(judged[index]),
    })),
    neededMembers(pool['minimum-healthy'], pool.members.filter(isEnabled).length),
    pool['when-down'] === 'serve-all',
  );
  let changed = previous?.members.length !== pool.members.length;
  let reshuffled = changed || previous?.choice !== common.choice;
  const members = pool.members.map((member, index): L4Member => {
    const made = makeMember(name, member, judged[index], now, index);
    const was = previous?.members[index];
    if (
      was?.key !== made.key ||
      was.weight !== made.weight ||
      was.configuredWeight !== made.configuredWeight ||
      before?.quorum.takes[index] !== now.takes[index]
    ) {
      reshuffled = true;
    }
    if (was !== undefined && sameMember(was, made)) return was;
    changed = true;
    return made;
  });
  const lookup =
    previous !== undefined && !reshuffled ? previous.lookup : tableOf(pool, members, now.takes);
  const compiled =
    same && !changed && lookup === previous.lookup && sameQuorum(before?.quorum, now)
      ? previous
      : { ...common, members, lookup };
  makings.set(compiled, { source: pool, judged, quorum: now });
  return compiled;
}

function tableOf(pool: Pool, members: readonly L4Member[], takes: readonly boolean[]): Uint32Array {
  // An expression that gives 0 to all who are left must not leave the pool without anybody.
  const nobody =
    usesObservations(pool.algorithm) &&
    !members.some(({ weight }, index) => takes[index] === true && weight > 0);
  return buildTable(
    pool.algorithm,
    members.map(({ key, weight, configuredWeight }, index) => ({
      key,
      weight: nobody ? configuredWeight : weight,
      available: takes[index] === true,
    })),
  );
}

/** What happens at the end of the line of pools that stand in for one another. */
function whenDownOf(name: string, pools: Intent['pools']): L4WhenDown {
  const last = fallbacksOf(pools, name).at(-1) ?? name;
  return pools[last]?.['when-down'] === 'reset' ? 'reset' : 'drop';
}

function isEnabled(member: Member): boolean {
  return member.state === 'enabled' && member.backup !== true && member.weight > 0;
}

/** An agent that reports 0 per cent. A computed weight of 0 is about the share alone. */
function asksForNothing(pool: Pool, judged: Judged | undefined): boolean {
  return judged?.weight === 0 && !usesObservations(pool.algorithm);
}

function canServe(judged: Judged | undefined): 'serve' | 'at-need' | 'no' {
  if (judged?.state === 'serving') return 'serve';
  return judged?.atNeed === true ? 'at-need' : 'no';
}

function makeMember(
  poolName: string,
  member: Member,
  judged: Judged | undefined,
  { takes, needed, muster }: Quorum,
  index: number,
): L4Member {
  if (judged === undefined) throw new RangeError('every member is judged');
  const key = memberKey(member);
  const common = {
    id: memberId(poolName, key),
    key,
    address: member.address,
    port: member.port ?? 0,
    weight: judged.weight,
    configuredWeight: member.weight,
    quicId: member['quic-id'] ?? null,
    setting: member.state,
    nextHop: judged.hop,
  };
  const { state, reason } = judged;
  if (judged.drained) return { ...common, state, reason, standing: 'drained' };
  if (state === 'down' && takes[index] === true) {
    return {
      ...common,
      state: 'serving',
      reason: `${reason}; used all the same, since too few serve`,
      standing: 'at-need',
    };
  }
  if (state === 'serving' && member.backup === true && muster === 'enough') {
    const what = needed === 1 ? 'another member serves' : `${needed} others serve`;
    return { ...common, state, reason: `backup, ${what}`, standing: 'standby' };
  }
  return { ...common, state, reason };
}

type Hop = ReturnType<PoolInput['nextHop']> | 'not needed';
/** `none`: nobody watches. */
type Health = MemberHealth | undefined | 'none';

function judge(id: string, pool: Pool, member: Member, input: PoolInput, reach: Reach): Judged {
  const hop: Hop = reach === 'kernel' ? 'not needed' : input.nextHop(member.address);
  const health = pool.monitor === undefined ? 'none' : input.health.get(id);
  const limit = pool['drain-timeout'];
  const drained =
    limit !== undefined && member.state === 'draining' && input.influences?.drained(id) === true;
  const { state, reason, atNeed } = drained
    ? { state: 'down' as const, reason: `drained for ${formatDuration(limit)}`, atNeed: false }
    : memberStatus(member.state, hop, suspected(id, pool, health, input.influences));
  return {
    hop: hop === 'not needed' || 'unresolved' in hop ? null : hop,
    state,
    reason,
    drained,
    atNeed,
    weight: weightOf(id, pool, member, health, input.influences, reach),
  };
}

/** A suspect member counts as one whose monitor fails. */
function suspected(
  id: string,
  pool: Pool,
  health: Health,
  influences: InfluenceView | undefined,
): Health {
  const reason = pool.passive === undefined ? undefined : influences?.suspect(id);
  if (reason === undefined || (health !== 'none' && health?.state === 'down')) return health;
  return { state: 'down', reason };
}

function memberStatus(
  setting: L4Member['setting'],
  hop: Hop,
  health: Health,
): Pick<Judged, 'state' | 'reason' | 'atNeed'> {
  if (setting === 'disabled') return DISABLED;
  if (hop !== 'not needed' && 'unresolved' in hop)
    return { state: 'down', reason: hop.unresolved, atNeed: false };
  if (health !== 'none' && health?.state === 'down')
    return { state: 'down', reason: health.reason, atNeed: setting === 'enabled' };
  if (setting === 'draining') return DRAINING;
  if (health === 'none') return UNWATCHED;
  if (health?.agent?.state === 'drain') return AGENT_DRAINS;
  // HAProxy reads a weight of nothing in the same way.
  if (health?.agent?.weightPercent === 0) return AGENT_WANTS_NOTHING;
  if (health?.blind !== undefined) return { ...NOT_PROBED, reason: health.blind };
  return health?.state === 'up' ? PASSING : NOT_PROBED;
}

const DISABLED = { state: 'down', reason: 'disabled', atNeed: false } as const;
const DRAINING = { state: 'draining', reason: 'draining', atNeed: false } as const;
const AGENT_DRAINS = { state: 'draining', reason: 'agent says drain', atNeed: false } as const;
const AGENT_WANTS_NOTHING = { state: 'draining', reason: 'agent says 0%', atNeed: false } as const;
const UNWATCHED = { state: 'serving', reason: 'enabled, no monitor', atNeed: false } as const;
const PASSING = { state: 'serving', reason: 'monitor passes', atNeed: false } as const;
const NOT_PROBED = { state: 'serving', reason: 'not probed yet', atNeed: false } as const;

/**
 * Units of effective weight for one of the document's. Parts of a weight need a finer unit, and
 * the unit must be the same for all members of a pool at all times.
 */
export function weightUnit(pool: Pool): number {
  const fine =
    pool['slow-start'] !== undefined ||
    pool.monitor?.type === 'agent' ||
    usesObservations(pool.algorithm);
  return fine ? WEIGHT_UNIT : 1;
}

/** An agent may ask for up to so many per cent of the document's weight. */
const AGENT_PERCENT_MAX = 200;

function weightOf(
  id: string,
  pool: Pool,
  member: Member,
  health: Health,
  influences: InfluenceView | undefined,
  reach: Reach,
): number {
  if (member.weight === 0) return 0;
  const base = usesWeights(pool.algorithm) ? member.weight : 1;
  // By itself the proxy sees response times and bytes, of every request.
  const computed =
    reach === 'kernel' ? pool.algorithm === 'custom' : usesObservations(pool.algorithm);
  const observed = computed ? influences?.weight(id) : undefined;
  const percent = health === 'none' ? undefined : health?.agent?.weightPercent;
  const ramp = pool['slow-start'] === undefined ? 1 : (influences?.ramp(id) ?? 1);
  const share = Math.min(AGENT_PERCENT_MAX, Math.max(0, percent ?? 100));
  const weight = observed ?? base * weightUnit(pool);
  if (share === 100 && ramp === 1) return weight;
  // Rounded first: 0.1 × 300 is a little more than 30 to a computer.
  return Math.min(WEIGHT_MAX, Math.ceil(Number(((weight * share * ramp) / 100).toFixed(6))));
}

function sameCommon(a: L4Pool, b: Pick<L4Pool, 'choice' | 'whenDown' | 'onMemberDown'>): boolean {
  return a.choice === b.choice && a.whenDown === b.whenDown && a.onMemberDown === b.onMemberDown;
}

/** The members that take flows are compared by their table. */
function sameQuorum(a: Quorum | undefined, b: Quorum): boolean {
  return a?.muster === b.muster && a.needed === b.needed && a.serving === b.serving;
}

function sameJudged(a: readonly Judged[], b: readonly Judged[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, index) => {
      const other = b[index];
      return (
        one.state === other?.state &&
        one.reason === other.reason &&
        one.drained === other.drained &&
        one.atNeed === other.atNeed &&
        one.weight === other.weight &&
        sameHop(one.hop, other.hop)
      );
    })
  );
}

function sameMember(a: L4Member, b: L4Member): boolean {
  return (
    a.key === b.key &&
    a.weight === b.weight &&
    a.configuredWeight === b.configuredWeight &&
    a.setting === b.setting &&
    a.quicId === b.quicId &&
    a.state === b.state &&
    a.standing === b.standing &&
    a.reason === b.reason &&
    sameHop(a.nextHop, b.nextHop)
  );
}

function sameHop(a: NextHop | null, b: NextHop | null): boolean {
  return a === b || (a !== null && b !== null && sameNextHop(a, b));
}
