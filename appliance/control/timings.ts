/** From a row of the workers' counters to durations as metrics have them. Pure. */
import { durationBuckets, durationSum } from '../l7/telemetry/counter-layout.js';
import { bucketCount, bucketOf } from '../l7/telemetry/histogram.js';
import type { Timings } from '../metrics/snapshot.js';
import { DURATION_BOUNDS } from '../metrics/traffic.js';

/** The first bucket that is not below each bound. Bounds are where buckets begin. */
const ENDS = DURATION_BOUNDS.map((bound) => bucketOf(Math.round(bound * 1e6)));

export function timingsOf(row: Float64Array): Timings {
  const within: number[] = [];
  let count = 0;
  let bucket = 0;
  for (const end of [...ENDS, bucketCount]) {
    for (; bucket < end; bucket += 1) count += row[durationBuckets + bucket] ?? 0;
    within.push(count);
  }
  return { count, sum: (row[durationSum] ?? 0) / 1e6, within: within.slice(0, -1) };
}
