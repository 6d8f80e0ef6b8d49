/**
 * The daemon reads what all workers counted: sums over their regions, by name.
 *
 * A region outlives its worker: the next one goes on counting in it, so sums never go back. Regions
 * are as many as ever count at one time, those of workers that drain among them.
 *
 * Invariant: only rows that were given out are touched, because reading a page of shared memory
 * for the first time takes it.
 */
import { counter, durationMax, gauges, rowDoubles } from './counter-layout.js';
import type { Counter, CounterRegion } from './counter-layout.js';
import type { RowChanges } from './row-registry.js';

/** The sum of one row over regions: a whole row, as in counter-layout.ts. */
export function readRow(regions: readonly CounterRegion[], row: number): Float64Array {
  const sum = new Float64Array(rowDoubles);
  const at = row * rowDoubles;
  for (const { rows, values } of regions) {
    if (row >= rows) continue;
    for (let i = 0; i < rowDoubles; i += 1) {
      const value = values[at + i] ?? 0;
      if (i === durationMax) sum[i] = Math.max(sum[i] ?? 0, value);
      else sum[i] = (sum[i] ?? 0) + value;
    }
  }
  return sum;
}

/** Sums over the regions, of the rows that names have. */
export function readCounters(
  regions: readonly CounterRegion[],
  rows: ReadonlyMap<string, number>,
): Map<string, Float64Array> {
  return new Map([...rows].map(([name, row]) => [name, readRow(regions, row)]));
}

const isGauge = new Set<number>(gauges);

/**
 * What was counted from `before` to `now`; gauges are those of `now`. `durationMax` is 0 unless the
 * longest of all came in this time, since else nobody knows it. Without `before`, everything.
 */
export function difference(before: Float64Array | undefined, now: Float64Array): Float64Array {
  if (before === undefined || beganAgain(before, now)) return now.slice();
  return now.map((value, i) => {
    const old = before[i] ?? 0;
    if (isGauge.has(i)) return value;
    if (i === durationMax) return value > old ? value : 0;
    return Math.max(0, value - old);
  });
}

/** A counter went back: the name has another row, and what that holds is what it gained. */
function beganAgain(before: Float64Array, now: Float64Array): boolean {
  const back = (which: Counter): boolean => (now[which] ?? 0) < (before[which] ?? 0);
  return back(counter.requests) || back(counter.opened) || back(counter.bytesIn);
}

/** Adds rows, as for a pool from its members. */
export function total(rows: Iterable<Float64Array>): Float64Array {
  const sum = new Float64Array(rowDoubles);
  for (const row of rows) {
    for (let i = 0; i < rowDoubles; i += 1) {
      const value = row[i] ?? 0;
      sum[i] = i === durationMax ? Math.max(sum[i] ?? 0, value) : (sum[i] ?? 0) + value;
    }
  }
  return sum;
}

/** Everything that was counted up to a moment, milliseconds since 1970. */
export interface CounterSample {
  readonly time: number;
  readonly rows: ReadonlyMap<string, Float64Array>;
}

/** Reads by name, and takes from each row what its former owners counted there. */
export class CounterReader {
  private rows: ReadonlyMap<string, number> = new Map();
  /** What stood in a row when it changed hands. */
  private readonly base = new Map<number, Float64Array>();

  /** Call it with the result of each RowRegistry.assign, before workers hear of it. */
  assigned(changes: RowChanges, regions: readonly CounterRegion[]): void {
    for (const { row, formerly } of changes.taken) {
      if (formerly !== null) this.base.set(row, readRow(regions, row));
    }
    this.rows = changes.rows;
  }

  read(regions: readonly CounterRegion[], time: number): CounterSample {
    const rows = new Map<string, Float64Array>();
    for (const [name, row] of this.rows) {
      rows.set(name, difference(this.base.get(row), readRow(regions, row)));
    }
    return { time, rows };
  }
}

/**
 * The writer of this region is dead: nothing of it is open or under way any more. `used` is
 * RowRegistry.used.
 */
export function clearGauges(region: CounterRegion, used: number): void {
  for (let row = 0; row < Math.min(used, region.rows); row += 1) {
    for (const gauge of gauges) region.values[row * rowDoubles + gauge] = 0;
  }
}
