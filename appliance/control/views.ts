/**
 * The rows that people see, made of intent, tables, health and counters. Pure.
 */
import type {
  AgentView,
  CounterDeltas,
  Counters,
  CounterSet,
  HealthView,
  MemberDetail,
  MemberRow,
  MemberState,
  PoolRow,
  ProxyTraffic,
  Rates,
  ServiceRow,
  SynCookieCounters,
  ServiceState,
} from '../api/contract.js';
import { answeringPools, poolsOf } from '../config/references.js';
import { quicServerId } from '../config/quic-server-id.js';
import { usesObservations } from '../balance/choice.js';
import type { Intent, Pool } from '../config/schema.js';
import type { HealthStatus, Monitors } from '../health/monitors.js';
import { NO_COUNTERS, rateOf, rates, sum } from '../telemetry/rates.js';
import { weightUnit } from './compile-pools.js';
import type { L4Member, L4Pool, NextHop, Placement, Tables } from './tables.js';
import { needsNextHops } from './used-pools.js';

export interface ViewInput {
  readonly intent: Intent;
  readonly tables: Tables;
  readonly health: (id: string) => HealthStatus | undefined;
  readonly nextHop: (address: string) => NextHop | { readonly unresolved: string };
  readonly counters: Counters;
  readonly deltas: CounterDeltas | null;
  /** SYN cookies by name of the service; those that have none are not there. */
  readonly cookies?: ReadonlyMap<string, SynCookieCounters>;
  /** What the workers of the proxy counted; left out: there are none. */
  readonly proxy?: {
    service(name: string): ProxyTraffic;
    /** What keeps a service from being served at all; null for nothing. */
    trouble(service: string): string | null;
    pool(name: string, ids: readonly string[]): ProxyTraffic;
    member(id: string): ProxyTraffic;
  };
  /** When a member came to its state, by `POOL/MEMBERKEY`; milliseconds. */
  readonly memberSince: ReadonlyMap<string, number>;
}

/** The word for a member. */
export function memberState(member: L4Member): MemberState {
  // Drained to the end is what the administrator asked for, so nothing to be alarmed about.
  if (member.setting === 'disabled' || member.standing === 'drained') return 'DISABLED';
  if (member.standing === 'at-need') return 'DOWN';
  if (member.state === 'down') return 'DOWN';
  return member.state === 'draining' ? 'DRAINING' : 'UP';
}

export function serviceRows(input: ViewInput): ServiceRow[] {
  return Object.entries(input.intent.services).map(([name, service]) => {
    const placement = input.tables.placements.find((one) => one.service === name);
    const own = answeringPools(service);
    const serve = own.map((pool) => input.tables.standings.get(pool)?.servedBy ?? pool);
    const pools = [...new Set(serve)].map((pool) => input.tables.pools.get(pool)?.members ?? []);
    const members = pools.flat();
    const serving = members.filter((member) => member.state === 'serving').length;
    const well =
      members.every((member) => memberState(member) === 'UP') &&
      pools.every((one) => one.some((member) => member.state === 'serving')) &&
      serve.every((pool, index) => pool === own[index]);
    // Routes that answer from here need nobody else.
    const always = own.length === 0;
    const trouble = placement?.tier === 'l7' ? (input.proxy?.trouble(name) ?? null) : null;
    return {
      name,
      address: service.listen.address,
      port: service.listen.port,
      protocol: service.listen.protocol,
      state: trouble !== null ? 'DOWN' : always ? 'UP' : serviceState(serving, well),
      tier: tierWord(placement?.tier),
      tierReason: trouble ?? placement?.reason ?? '',
      forwarding: input.tables.l4.services.get(name)?.forwarding ?? null,
      pool: own.join(', '),
      servedBy: serve.join(', '),
      membersServing: serving,
      membersTotal: members.length,
      rates: rateOf(input.deltas, 'services', name),
      totals: countersOf(input.counters.services, name),
      synCookies: input.cookies?.get(name) ?? null,
      since: input.counters.since,
      proxy: placement?.tier === 'l7' ? (input.proxy?.service(name) ?? null) : null,
    };
  });
}

/** The word of the language for a tier. */
function tierWord(tier: Placement['tier'] | undefined): string {
  return tier === 'l7' ? 'proxy' : (tier ?? 'none');
}

export function poolRows(input: ViewInput, only?: string): PoolRow[] {
  const users = new Map<string, string[]>();
  for (const [name, service] of Object.entries(input.intent.services)) {
    for (const pool of poolsOf(service)) users.set(pool, [...(users.get(pool) ?? []), name]);
  }
  const wanted = Object.entries(input.intent.pools).filter(
    ([name]) => only === undefined || name === only,
  );
  return wanted.map(([name, pool]) => {
    const members = input.tables.pools.get(name)?.members ?? [];
    const ids = members.map((member) => member.id);
    const count = (state: MemberState): number =>
      members.filter((member) => memberState(member) === state).length;
    return {
      name,
      algorithm: pool.algorithm,
      monitor: pool.monitor?.type ?? null,
      services: users.get(name) ?? [],
      membersUp: count('UP'),
      membersDraining: count('DRAINING'),
      membersDown: count('DOWN'),
      membersDisabled: count('DISABLED'),
      membersTotal: members.length,
      rates: poolRates(input.deltas, ids),
      totals: sum(ids.map((id) => countersOf(input.counters.members, id))),
      since: input.counters.since,
      proxy: input.tables.l7.pools.has(name) ? (input.proxy?.pool(name, ids) ?? null) : null,
    };
  });
}

export function memberRows(input: ViewInput, only?: string): MemberRow[] {
  const rows: MemberRow[] = [];
  for (const [name, pool] of input.tables.pools) {
    if (only !== undefined && name !== only) continue;
    const written = input.intent.pools[name];
    const unit = written === undefined ? 1 : shownUnit(written, pool);
    pool.members.forEach((member, index) => {
      const backup = written?.members[index]?.backup === true;
      rows.push(memberRow(input, pool, member, { unit, backup }));
    });
  }
  return rows;
}

/**
 * How much of a pool's effective weights is one of the document's. Computed weights have no unit
 * of their own: they are shown so that those who take flows have together what the document
 * gives them.
 */
function shownUnit(written: Pool, pool: L4Pool): number {
  if (!usesObservations(written.algorithm)) return weightUnit(written);
  const takers = new Set(pool.lookup);
  let [effective, configured] = [0, 0];
  for (const index of takers) {
    effective += pool.members[index]?.weight ?? 0;
    configured += pool.members[index]?.configuredWeight ?? 0;
  }
  return configured === 0 ? weightUnit(written) : effective / configured;
}

function shown(weight: number): number {
  return Number(weight.toPrecision(3));
}

/** Null when there is no such member. */
export function memberDetail(
  input: ViewInput,
  name: { readonly pool: string; readonly member: string },
  monitors: Pick<Monitors, 'record' | 'bothViews'>,
): MemberDetail | null {
  const row = memberRows(input, name.pool).find(({ member }) => member === name.member);
  if (row === undefined) return null;
  const id = `${name.pool}/${row.member}`;
  const known = monitors.record(id);
  const peer = monitors.bothViews(id)?.peer;
  return {
    ...row,
    findings: known?.findings ?? [],
    latenciesMs: known?.latencies ?? [],
    probeSharedWith: known?.sharedWith ?? [],
    peerSees: peer === undefined ? null : { state: peer.verdict, since: peer.since },
    quicServerId: quicIdOf(input, name.pool, row.member),
  };
}

function quicIdOf({ tables }: ViewInput, pool: string, key: string): number | null {
  const used = [...tables.l4.services.values()].some((one) => one.pool === pool && one.quic);
  const member = tables.pools.get(pool)?.members.find((one) => one.key === key);
  return used && member !== undefined ? quicServerId(pool, key, member.quicId) : null;
}

function takesFlows(member: L4Member): boolean {
  return member.state === 'serving' && member.standing !== 'standby';
}

function memberRow(
  input: ViewInput,
  pool: L4Pool,
  member: L4Member,
  { unit, backup }: { readonly unit: number; readonly backup: boolean },
): MemberRow {
  const { id } = member;
  const hop = input.nextHop(member.address);
  const problem = 'unresolved' in hop ? hop.unresolved : null;
  return {
    pool: pool.name,
    member: member.key,
    address: member.address,
    port: member.port,
    weight: member.configuredWeight,
    effectiveWeight: takesFlows(member) ? shown(member.weight / unit) : 0,
    backup,
    state: memberState(member),
    reason: member.reason,
    since: input.memberSince.get(id) ?? input.counters.since,
    nextHop:
      member.nextHop === null
        ? null
        : {
            interface: member.nextHop.interfaceName,
            vlan: member.nextHop.vlan ?? [],
            mac: macText(member.nextHop.mac),
          },
    // The kernel itself finds the way to members of the proxy.
    nextHopProblem:
      member.nextHop === null &&
      (needsNextHops(input.tables, pool.name) || !input.tables.l7.pools.has(pool.name))
        ? (problem ?? 'not looked up yet')
        : null,
    health: healthOf(input, pool.name, id),
    rates: rateOf(input.deltas, 'members', id),
    totals: countersOf(input.counters.members, id),
    proxy: input.tables.l7.pools.has(pool.name) ? (input.proxy?.member(id) ?? null) : null,
  };
}

function healthOf(input: ViewInput, pool: string, id: string): HealthView | null {
  const monitor = input.intent.pools[pool]?.monitor;
  if (monitor === undefined) return null;
  const status = input.health(id);
  return {
    monitor: monitor.type,
    state: status?.state ?? 'unknown',
    reason: status?.reason ?? 'not probed yet',
    lastProbe: status?.lastProbe ?? null,
    latencyMs: status?.latencyMs ?? null,
    responseTimeUs: status?.responseTimeUs ?? null,
    agent: agentView(status?.agent),
  };
}

function agentView(agent: HealthStatus['agent']): AgentView | null {
  if (agent === undefined) return null;
  return {
    state: agent.state,
    weightPercent: agent.weightPercent ?? null,
    cpuPercent: agent.cpuPercent ?? null,
    maxConnections: agent.maxConnections ?? null,
  };
}

function poolRates(deltas: CounterDeltas | null, ids: readonly string[]): Rates {
  if (deltas === null) return rates(NO_COUNTERS, 1000);
  return rates(sum(ids.map((id) => countersOf(deltas.members, id))), deltas.intervalMs);
}

function countersOf(table: Readonly<Record<string, CounterSet>>, key: string): CounterSet {
  return Object.hasOwn(table, key) ? table[key]! : NO_COUNTERS;
}

function serviceState(serving: number, well: boolean): ServiceState {
  if (serving === 0) return 'DOWN';
  return well ? 'UP' : 'DEGRADED';
}

/** `02:00:5e:10:00:01`. */
export function macText(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
