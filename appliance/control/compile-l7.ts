/**
 * The compiler's part for the proxy: (intent, compiled pools, what agents say) ▸ L7Tables. Pure.
 *
 * Invariant: as in compile.ts, tables depend on the input alone, and what did not change keeps its
 * identity from the previous result: that is how workers know what they need not be told again.
 */
import type { Intent, Pool, PoolTls, Service } from '../config/schema.js';
import { WEIGHT_MAX } from '../balance/reweigh.js';
import { answeringPools, poolsOf } from '../config/references.js';
import type {
  L7Member,
  L7MemberTls,
  L7Pool,
  L7Protocol,
  L7Service,
  L7Tables,
  L7Unit,
} from '../l7/tables.js';
import { compileL7Service, type ServiceSurroundings } from './compile-l7-service.js';
import { quorumOf, sourceOf, weightUnit, type HealthView } from './compile-pools.js';
import { lowerLimit } from './compile-protection.js';
import type { L4Member, L4Pool } from './tables.js';

export interface L7Input {
  readonly intent: Intent;
  readonly health: HealthView;
  /** A key of 32 bytes in base64 for the cookies of a service; left out: none needs one. */
  readonly cookieKey?: (service: string) => string;
}

/** What other parts of the compiler found out. */
export interface L7Parts {
  /** Services that the proxy serves, in the order of the document. */
  readonly services: ReadonlyMap<string, L7Protocol>;
  /** Pools that these may come to use, judged without next hops. */
  readonly pools: ReadonlyMap<string, L4Pool>;
  /** The pool that serves in the name of one of these: itself, or one that stands in for it. */
  readonly servedBy: (pool: string) => string;
}

export const NO_L7: L7Tables = {
  unit: { name: '', workers: 0, connections: 0 },
  services: new Map(),
  pools: new Map(),
};

const DEFAULTS = {
  connections: 32_768,
  queueTimeout: 5000,
  idleConnections: 64,
  idleTimeout: 30_000,
  requestsPerConnection: 10_000,
  retries: 2,
} as const;

export function compileL7(
  input: L7Input,
  parts: L7Parts,
  previous: L7Tables | undefined,
): L7Tables {
  const { intent } = input;
  const pools = new Map<string, L7Pool>();
  for (const [name, judged] of parts.pools) {
    pools.set(name, compilePool(judged, input.health, previous?.pools.get(name)));
  }
  const services = new Map<string, L7Service>();
  for (const [name, protocol] of parts.services) {
    const service = intent.services[name];
    if (service === undefined) continue;
    const surroundings = surroundingsOf(name, service, protocol, parts, input);
    services.set(
      name,
      compileService(service, surroundings, input.cookieKey, previous?.services.get(name)),
    );
  }
  const unit = keep(previous?.unit, unitOf(intent));
  const unchanged =
    previous?.unit === unit &&
    sameValues(previous.services, services) &&
    sameValues(previous.pools, pools);
  return unchanged ? previous : { unit, services, pools };
}

/** How many workers a unit wants; 0: one for each CPU. */
export function workersOf({ workers }: Pick<Intent['unit'], 'workers'>): number {
  return workers === undefined || workers === 'auto' ? 0 : workers;
}

function unitOf({ unit }: Intent): L7Unit {
  return {
    name: unit.name,
    workers: workersOf(unit),
    connections: unit['worker-connections'] ?? DEFAULTS.connections,
  };
}

function surroundingsOf(
  name: string,
  service: Service,
  protocol: L7Protocol,
  { servedBy }: L7Parts,
  { intent, cookieKey }: L7Input,
): ServiceSurroundings {
  const timeouts = answeringPools(service).flatMap(
    (pool) => intent.pools[servedBy(pool)]?.queue?.timeout ?? [],
  );
  return {
    name,
    protocol,
    servedBy,
    queueTimeout: timeouts.length === 0 ? DEFAULTS.queueTimeout : Math.max(...timeouts),
    cookieKey: () => {
      if (cookieKey === undefined) {
        throw new RangeError(`the cookies of service ${name} need a key, and none was given`);
      }
      return cookieKey(name);
    },
  };
}

/** What a part of the intent came to, kept as long as that part is. */
const made = new WeakMap<
  Service,
  { readonly key: string; readonly cookieKey: L7Input['cookieKey']; readonly result: L7Service }
>();

function compileService(
  service: Service,
  surroundings: ServiceSurroundings,
  cookieKey: L7Input['cookieKey'],
  previous: L7Service | undefined,
): L7Service {
  const { name, protocol, servedBy, queueTimeout } = surroundings;
  const key = JSON.stringify([name, protocol, queueTimeout, poolsOf(service).map(servedBy)]);
  const known = made.get(service);
  const result =
    known?.key === key && known.cookieKey === cookieKey
      ? known.result
      : compileL7Service(service, surroundings);
  const kept = keep(previous, result);
  made.set(service, { key, cookieKey, result: kept });
  return kept;
}

/** What a pool was made from, so that it is made again only when that changed. */
const makings = new WeakMap<L7Pool, { readonly judged: L4Pool; readonly source: Pool }>();

/** The pool, judged without next hops, that a pool of the proxy was made from. */
export function basisOf(pool: L7Pool | undefined): L4Pool | undefined {
  return pool === undefined ? undefined : makings.get(pool)?.judged;
}

function compilePool(judged: L4Pool, health: HealthView, previous: L7Pool | undefined): L7Pool {
  const source = sourceOf(judged);
  const before = previous === undefined ? undefined : makings.get(previous);
  // Only an agent's limit can change while nothing else does.
  const settled = before?.judged === judged && before.source === source;
  if (previous !== undefined && settled && source.monitor?.type !== 'agent') return previous;
  const { takes } = quorumOf(judged);
  const weights = weightsOf(judged, source, takes);
  const known = new Map(previous?.members.map((member) => [member.key, member]));
  const members = judged.members.map((member, index) => {
    const weight = weights[index] ?? 0;
    const now = makeMember(member, source, index, health, {
      weight,
      takes: takes[index] === true && weight > 0,
    });
    return keep(known.get(member.key), now);
  });
  const compiled = keep(previous, { ...settingsOf(judged, source), members });
  makings.set(compiled, { judged, source });
  return compiled;
}

function settingsOf(judged: L4Pool, pool: Pool): Omit<L7Pool, 'members'> {
  const { ejection, queue } = pool;
  const idle = pool['keep-alive'];
  return {
    name: judged.name,
    algorithm: pool.algorithm,
    hash: pool.hash ?? 'source',
    whenDown: judged.whenDown === 'reset' ? 'reset' : 'refuse',
    queue: queue?.length ?? 0,
    idleConnections: idle?.connections ?? DEFAULTS.idleConnections,
    idleTimeout: idle?.timeout ?? DEFAULTS.idleTimeout,
    requestsPerConnection: idle?.requests ?? DEFAULTS.requestsPerConnection,
    retries: pool.retries ?? DEFAULTS.retries,
    proxyProtocol: pool['proxy-protocol'] ?? 'off',
    ejection: ejection === undefined ? null : { ...ejection },
    tls: memberTlsOf(pool.tls),
  };
}

function memberTlsOf(tls: PoolTls | undefined): L7MemberTls | null {
  if (tls === undefined) return null;
  return {
    policy: tls.policy,
    verify: tls.verify,
    authorities: tls.authorities ?? null,
    serverName: tls['server-name'] ?? null,
    certificate: tls.certificate ?? null,
  };
}

/** An expression that gives 0 to all who are left must not leave the pool without anybody. */
function weightsOf(judged: L4Pool, pool: Pool, takes: readonly boolean[]): readonly number[] {
  const weights = judged.members.map(({ weight }) => weight);
  const nobody =
    pool.algorithm === 'custom' && !weights.some((weight, index) => takes[index] && weight > 0);
  if (!nobody) return weights;
  const unit = weightUnit(pool);
  return judged.members.map(({ configuredWeight }) =>
    Math.min(WEIGHT_MAX, configuredWeight * unit),
  );
}

function makeMember(
  { id, key, address, port, state, reason }: L4Member,
  pool: Pool,
  index: number,
  health: HealthView,
  decided: Pick<L7Member, 'weight' | 'takes'>,
): L7Member {
  const said = pool.monitor?.type === 'agent' ? health.get(id)?.agent?.maxConnections : undefined;
  const maxConnections = lowerLimit(pool.members[index]?.['max-connections'], said);
  return { id, key, address, port, ...decided, state, reason, maxConnections };
}

/** The one before when it is equal: parts that are the same object need not be looked into. */
function keep<T>(before: T | undefined, now: T): T {
  return before !== undefined && same(before, now) ? before : now;
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const left = Object.entries(a);
  const right = b as Readonly<Record<string, unknown>>;
  return (
    left.length === Object.keys(b).length &&
    left.every(([key, value]) => Object.hasOwn(right, key) && same(value, right[key]))
  );
}

function sameValues<T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of b) if (a.get(key) !== value) return false;
  return true;
}
