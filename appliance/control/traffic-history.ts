/**
 * From what the tiers counted in a moment to what history records of it. Pure.
 *
 * Invariant: what nobody counts (requests of the fast path, replies that go past the unit) is left out,
 * never zero.
 */
import type { CounterDeltas } from '../api/contract.js';
import { answeringPools } from '../config/references.js';
import type { Intent } from '../config/schema.js';
import type { Sample } from '../telemetry/history/series.js';
import { serviceName, UNIT_NAME } from '../telemetry/history/history.js';
import type { UnitLoad } from '../telemetry/history/unit-load.js';
import type { ProxySecond } from './proxy-watch.js';
import type { L4Pool, L4Service, Tables } from './tables.js';
import { usedPools } from './used-pools.js';

export interface Moment {
  readonly intent: Intent;
  readonly tables: Tables;
  /** What the fast path counted within these seconds. */
  readonly deltas: CounterDeltas;
  readonly seconds: number;
  /** Flows of a service of the fast path that are active now. */
  readonly active: ReadonlyMap<string, number>;
  /** Of a service, by the workers, within these seconds too. */
  readonly proxied: (service: string) => ProxySecond;
  readonly load: UnitLoad;
}

type Mutable = { -readonly [K in keyof Sample]: Sample[K] };

export function trafficSamples(moment: Moment): Map<string, Sample> {
  const { intent, tables, deltas, seconds, load } = moment;
  const samples = new Map<string, Sample>();
  const unit: Mutable = {};
  for (const [name, service] of Object.entries(intent.services)) {
    const l4 = tables.l4.services.get(name);
    const traffic =
      l4 !== undefined
        ? ofFastPath(moment, l4)
        : tables.l7.services.has(name)
          ? ofProxy(moment.proxied(name), seconds)
          : null;
    if (traffic === null) continue;
    add(unit, traffic);
    samples.set(serviceName(name), { ...traffic, membersUp: serving(service, tables) });
  }
  unit.drops = (unit.drops ?? 0) + total(Object.values(deltas.drops)) / seconds;
  unit.membersUp = total([...usedPools(tables).values()].map(servingOf));
  if (load.cpu !== null) unit.cpu = load.cpu;
  if (load.memory !== null) unit.memory = load.memory;
  samples.set(UNIT_NAME, unit);
  return samples;
}

function ofFastPath({ deltas, seconds, active }: Moment, service: L4Service): Sample {
  const gained = Object.hasOwn(deltas.services, service.name)
    ? deltas.services[service.name]
    : undefined;
  const replies = service.forwarding === 'nat' || service.forwarding === 'full-nat';
  return {
    connections: (gained?.flows ?? 0) / seconds,
    bitsIn: ((gained?.bytes ?? 0) * 8) / seconds,
    ...(replies ? { bitsOut: ((gained?.replyBytes ?? 0) * 8) / seconds } : {}),
    active: active.get(service.name) ?? 0,
  };
}

function ofProxy(gained: ProxySecond, seconds: number): Sample {
  return {
    connections: gained.connections / seconds,
    requests: gained.requests / seconds,
    bitsIn: (gained.bytesIn * 8) / seconds,
    bitsOut: (gained.bytesOut * 8) / seconds,
    errors: gained.errors / seconds,
    drops: gained.refused / seconds,
    active: gained.active,
  };
}

/** As `membersServing` of a service's row. */
function serving(service: Intent['services'][string], tables: Tables): number {
  const serve = answeringPools(service).map((pool) => tables.standings.get(pool)?.servedBy ?? pool);
  return total(
    [...new Set(serve)].map((name) => {
      const pool = tables.pools.get(name);
      return pool === undefined ? 0 : servingOf(pool);
    }),
  );
}

function servingOf({ members }: L4Pool): number {
  return members.filter(({ state }) => state === 'serving').length;
}

function add(sum: Mutable, sample: Sample): void {
  for (const [measure, value] of Object.entries(sample) as [keyof Sample, number][]) {
    sum[measure] = (sum[measure] ?? 0) + value;
  }
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
