/**
 * From two samples of the counters to what happened between them: differences, and
 * rates per second. Pure: no clock, no kernel.
 *
 * Invariant: a difference is never negative. A counter below its earlier value
 * began again (its row got another owner, or the map was made anew), so what it
 * holds now is what it gained.
 */
import type {
  CounterDeltas,
  Counters,
  CounterSet,
  DatapathTotals,
  Rates,
} from '../api/contract.js';

export const NO_COUNTERS: CounterSet = {
  flows: 0,
  packets: 0,
  bytes: 0,
  replyPackets: 0,
  replyBytes: 0,
  answers: 0,
  answerNs: 0,
  resets: 0,
};

const FIELDS = Object.keys(NO_COUNTERS) as readonly (keyof CounterSet)[];

/** A set made field by field. */
function each(value: (field: keyof CounterSet) => number): CounterSet {
  const made: Record<keyof CounterSet, number> = { ...NO_COUNTERS };
  for (const field of FIELDS) made[field] = value(field);
  return made;
}

export const NO_RATES: Rates = { flowsPerSecond: 0, packetsPerSecond: 0, bitsPerSecond: 0 };

/** What one counter gained. */
export function gained(before: number | undefined, now: number): number {
  return before === undefined || now < before ? now : now - before;
}

/** What a row gained; a row that was not there before gained all that it holds. */
export function gainedSet(before: CounterSet | undefined, now: CounterSet): CounterSet {
  // One field that went back means that the row began again: all of it, together.
  if (before === undefined || FIELDS.some((field) => now[field] < before[field])) {
    return each((field) => now[field]);
  }
  return each((field) => now[field] - before[field]);
}

/** Adds rows, as for a pool from its members. */
export function sum(sets: Iterable<CounterSet>): CounterSet {
  const total: Record<keyof CounterSet, number> = { ...NO_COUNTERS };
  for (const set of sets) for (const field of FIELDS) total[field] += set[field];
  return total;
}

/**
 * What was gained from `before` to `now`. Rows and drop reasons that gained nothing
 * are left out, and so are rows that are gone. `intervalMs` is never below 1, so
 * that two samples of the same millisecond divide by something.
 */
export function deltas(before: Counters, now: Counters): CounterDeltas {
  return {
    time: now.time,
    intervalMs: Math.max(1, now.time - before.time),
    totals: gainedTotals(before.totals, now.totals),
    drops: changedNumbers(before.drops, now.drops),
    services: changedSets(before.services, now.services),
    members: changedSets(before.members, now.members),
  };
}

/** Both directions together, per second. `intervalMs` > 0. */
export function rates(delta: CounterSet, intervalMs: number): Rates {
  if (!(intervalMs > 0)) {
    throw new RangeError(`rates need a positive interval, got ${intervalMs} ms`);
  }
  const perSecond = 1000 / intervalMs;
  return {
    flowsPerSecond: delta.flows * perSecond,
    packetsPerSecond: (delta.packets + delta.replyPackets) * perSecond,
    bitsPerSecond: (delta.bytes + delta.replyBytes) * 8 * perSecond,
  };
}

/** The rates of one row of a difference; zero for a row that gained nothing. */
export function rateOf(
  of: CounterDeltas | null,
  table: 'services' | 'members',
  key: string,
): Rates {
  if (of === null) return NO_RATES;
  const delta = Object.hasOwn(of[table], key) ? of[table][key] : undefined;
  return delta === undefined ? NO_RATES : rates(delta, of.intervalMs);
}

function gainedTotals(before: DatapathTotals, now: DatapathTotals): DatapathTotals {
  return {
    passed: gained(before.passed, now.passed),
    echoReplies: gained(before.echoReplies, now.echoReplies),
    eventsLost: gained(before.eventsLost, now.eventsLost),
    errorsSent: gained(before.errorsSent, now.errorsSent),
  };
}

function changedNumbers(
  before: Readonly<Record<string, number>>,
  now: Readonly<Record<string, number>>,
): Record<string, number> {
  const changed: [string, number][] = [];
  for (const [key, value] of Object.entries(now)) {
    const delta = gained(Object.hasOwn(before, key) ? before[key] : undefined, value);
    if (delta !== 0) changed.push([key, delta]);
  }
  return Object.fromEntries(changed);
}

function changedSets(
  before: Readonly<Record<string, CounterSet>>,
  now: Readonly<Record<string, CounterSet>>,
): Record<string, CounterSet> {
  const changed: [string, CounterSet][] = [];
  for (const [key, value] of Object.entries(now)) {
    const delta = gainedSet(Object.hasOwn(before, key) ? before[key] : undefined, value);
    if (!isZero(delta)) changed.push([key, delta]);
  }
  return Object.fromEntries(changed);
}

function isZero(set: CounterSet): boolean {
  return FIELDS.every((field) => set[field] === 0);
}
