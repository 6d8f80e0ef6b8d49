/**
 * The re-weigh loop: once a second, from what the tiers counted and the monitors measured,
 * to the weights of least-response-time, least-bandwidth and custom. What is computed is in
 * balance/reweigh.ts; here is where the numbers come from and what is remembered.
 *
 * Invariant: a member whose expression fails keeps its weight, and its pool's failure is told
 * once, until it ends.
 */
import {
  filledResponseTimes,
  reweigh,
  reweighBy,
  type Observed,
  type Weights,
} from '../balance/reweigh.js';
import { usesObservations } from '../balance/choice.js';
import { weightExpression } from '../config/pool.js';
import type { WeightExpression } from '../config/expression.js';
import type { Intent, Member, Pool } from '../config/schema.js';
import type { CounterDeltas, Counters, CounterSet } from '../api/contract.js';
import type { NewEvent } from '../telemetry/event-log.js';
import { quorumOf, type HealthView } from './compile-pools.js';
import type { MemberSeen } from './proxy-watch.js';
import type { L4Member, L4Pool, Tables } from './tables.js';
import { usedPools } from './used-pools.js';

/** What the last second brought. */
export interface Sample {
  readonly counters: Counters;
  readonly deltas: CounterDeltas;
  /** What workers of the proxy see; left out: there are none. */
  readonly proxy?: { seen(id: string): MemberSeen | null };
}

interface Weighing {
  pool: Pool;
  weights: Weights;
  /** How long handshakes take, by member: a decaying average in microseconds. */
  readonly handshakes: Map<string, number>;
  expression: WeightExpression | null;
  /** When weights were computed last, in milliseconds of a clock that only goes forward. */
  at: number;
  /** What is wrong with the expression's results; null while nothing is. */
  problem: string | null;
}

/** A step may come a little early; then it is not left out. */
const EARLY_MS = 250;

export class WeighingLoop {
  readonly #pools = new Map<string, Weighing>();

  /** The weight of a member, 0 … 65,535; undefined while none was computed. */
  weight(id: string): number | undefined {
    return this.#pools.get(id.slice(0, id.indexOf('/')))?.weights.get(id)?.weight;
  }

  /** What is wrong with the expressions now, by pool. */
  get problems(): ReadonlyMap<string, string> {
    return new Map(
      [...this.#pools].flatMap(([name, { problem }]) =>
        problem === null ? [] : [[name, problem]],
      ),
    );
  }

  /**
   * Computes the weights that are due.
   *
   * @returns whether a weight changed, and what people should hear
   */
  step(
    sample: Sample,
    intent: Intent,
    tables: Tables,
    health: HealthView,
    now: number,
  ): { readonly changed: boolean; readonly events: readonly NewEvent[] } {
    let changed = false;
    const events: NewEvent[] = [];
    for (const name of this.#pools.keys()) {
      const pool = intent.pools[name];
      if (pool !== undefined && usesObservations(pool.algorithm)) continue;
      this.#pools.delete(name);
    }
    for (const [name, compiled] of usedPools(tables)) {
      const pool = intent.pools[name];
      if (pool === undefined || !usesObservations(pool.algorithm)) continue;
      // The proxy chooses by what it sees of each request; only expressions are computed for it.
      if (pool.algorithm !== 'custom' && !tables.l4.pools.has(name)) continue;
      const weighing = this.#of(name, pool);
      if (now - weighing.at < (pool.custom?.interval ?? 0) - EARLY_MS) continue;
      weighing.at = now;
      const before = weighing.weights;
      const problem = weigh(weighing, compiled, sample, health);
      if (weightsDiffer(before, weighing.weights)) changed = true;
      if (problem !== null && weighing.problem === null) events.push(failed(name, problem));
      if (problem === null && weighing.problem !== null) events.push(works(name));
      weighing.problem = problem;
    }
    return { changed, events };
  }

  #of(name: string, pool: Pool): Weighing {
    const known = this.#pools.get(name);
    if (known?.pool === pool) return known;
    const expression = pool.custom === undefined ? null : weightExpression(pool.custom.expression);
    // Weights of another algorithm or expression say nothing about this one.
    const same =
      known?.pool.algorithm === pool.algorithm &&
      known.pool.custom?.expression === pool.custom?.expression;
    const weighing: Weighing = {
      pool,
      expression,
      weights: same ? known.weights : new Map(),
      handshakes: known?.handshakes ?? new Map<string, number>(),
      at: -Infinity,
      problem: same ? known.problem : null,
    };
    this.#pools.set(name, weighing);
    return weighing;
  }
}

/** Computes the weights of a pool; returns what is wrong with its expression. */
function weigh(
  weighing: Weighing,
  compiled: L4Pool,
  sample: Sample,
  health: HealthView,
): string | null {
  const { pool, weights, expression, handshakes } = weighing;
  const { takes } = quorumOf(compiled);
  const members = compiled.members.flatMap((member, index): Participant[] => {
    const written = pool.members[index];
    const takesFlows = takes[index] === true;
    // An expression is computed for all, so that who comes up finds a weight of its own.
    if (written === undefined || written.weight === 0) return [];
    return takesFlows || expression !== null ? [{ member, written, takesFlows }] : [];
  });
  const observed = members.map(({ member }) => observe(member, sample, health, handshakes));
  if (expression === null) {
    if (pool.algorithm === 'least-response-time' || pool.algorithm === 'least-bandwidth') {
      weighing.weights = reweigh(pool.algorithm, weights, observed);
    }
    return null;
  }
  const { results, problem } = evaluate(expression, members, observed, health);
  weighing.weights = reweighBy(results, weights, observed);
  return problem;
}

function observe(
  { id, configuredWeight }: L4Member,
  { counters, deltas, proxy }: Sample,
  health: HealthView,
  handshakes: Map<string, number>,
): Observed {
  const total = Object.hasOwn(counters.members, id) ? counters.members[id] : undefined;
  const gained = Object.hasOwn(deltas.members, id) ? deltas.members[id] : undefined;
  const handshake = afterHandshakes(handshakes.get(id), total, gained);
  if (handshake !== null) handshakes.set(id, handshake);
  const bytes = (gained?.bytes ?? 0) + (gained?.replyBytes ?? 0);
  const seen = proxy?.seen(id) ?? null;
  return {
    id,
    weight: configuredWeight,
    connections: (total?.active ?? 0) + (seen?.underWay ?? 0),
    // Answers to real requests say more than those to probes, which say more than handshakes.
    responseTime: seen?.responseUs ?? health.get(id)?.responseTimeUs ?? handshake,
    bandwidth: (bytes * 1000) / deltas.intervalMs + (seen?.bytesPerSecond ?? 0),
  };
}

/** Part of the last second's handshakes that counts at once; the rest follows within seconds. */
const NEWEST_SHARE = 0.3;

/**
 * How long handshakes take, where no monitor measures, in microseconds. What was counted before
 * the first look is where the average begins: a member that was fast for a year must not count
 * as fast when it is slow today.
 */
function afterHandshakes(
  average: number | undefined,
  total: CounterSet | undefined,
  gained: CounterSet | undefined,
): number | null {
  const before = average ?? handshakeUs(total);
  const now = handshakeUs(gained);
  if (before === null || now === null) return before ?? now;
  return before + (now - before) * NEWEST_SHARE;
}

function handshakeUs(counters: CounterSet | undefined): number | null {
  return counters === undefined || counters.answers === 0
    ? null
    : counters.answerNs / counters.answers / 1000;
}

interface Participant {
  readonly member: L4Member;
  readonly written: Member;
  readonly takesFlows: boolean;
}

function evaluate(
  expression: WeightExpression,
  members: readonly Participant[],
  observed: readonly Observed[],
  health: HealthView,
): { readonly results: readonly (number | null)[]; readonly problem: string | null } {
  const times = filledResponseTimes(observed);
  let problem: string | null = null;
  const results = observed.map((seen, index) => {
    const participant = members[index];
    if (participant === undefined) return null;
    const { member, written } = participant;
    try {
      return expression({
        weight: seen.weight,
        connections: seen.connections,
        response_time: times[index] ?? 1,
        bandwidth: seen.bandwidth,
        health: healthOf(participant, health),
        cpu: health.get(member.id)?.agent?.cpuPercent ?? 0,
        location: written.location ?? '',
      });
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      problem ??= `for ${member.key} ${said}`;
      return null;
    }
  });
  const takers = results.filter((_, index) => members[index]?.takesFlows === true);
  const all = takers.length > 0 && takers.every((result) => result === 0);
  return {
    // Weights that nobody can be chosen by are none: whoever takes flows keeps what it has.
    results: all ? results.map(() => null) : results,
    problem: problem ?? (all ? 'it gives 0 for every member that takes flows' : null),
  };
}

/**
 * 1: passes, or nobody watches; 0.5: not probed yet; 0: down, and used all the same. What takes no
 * flows now is weighed for the moment when it does.
 */
function healthOf({ member, takesFlows }: Participant, health: HealthView): number {
  if (member.standing === 'at-need') return 0;
  return takesFlows && health.get(member.id)?.state === 'unknown' ? 0.5 : 1;
}

function weightsDiffer(a: Weights, b: Weights): boolean {
  if (a === b) return false;
  if (a.size !== b.size) return true;
  for (const [id, { weight }] of b) if (a.get(id)?.weight !== weight) return true;
  return false;
}

function failed(pool: string, problem: string): NewEvent {
  return {
    kind: 'weights',
    severity: 'warning',
    message: `the expression of pool ${pool} gives no weight: ${problem}; members keep the weights that they have`,
    subject: { pool },
  };
}

function works(pool: string): NewEvent {
  return {
    kind: 'weights',
    severity: 'info',
    message: `the expression of pool ${pool} gives weights again`,
    subject: { pool },
  };
}
