/**
 * Buckets of durations: each power of two of an eighth of a microsecond in eight equal parts
 * (log-linear, as in HDR histograms), up to 134 seconds; what is longer has one bucket.
 *
 * Invariant: the value that stands for a bucket is wrong by at most a seventeenth (5.9 %) from
 * 1 µs on: the harmonic mean of its bounds is as far from one as from the other.
 */

const parts = 8;
const partBits = 3;
/** Buckets count from eighths of a microsecond, so that even the first microseconds are told apart. */
const unitsPerMicro = 8;
const highestExponent = 29;
const tooLong = 2 ** (highestExponent + 1) / unitsPerMicro;

export const bucketCount = (highestExponent - partBits + 2) * parts + 1;
const lastBucket = bucketCount - 1;

/** The bucket of a duration; what is negative or no number is in the first. */
export function bucketOf(micros: number): number {
  if (micros >= tooLong) return lastBucket;
  const units = (micros * unitsPerMicro) | 0;
  if (units < parts) return units > 0 ? units : 0;
  const exponent = 31 - Math.clz32(units);
  return (exponent - partBits + 1) * parts + ((units >> (exponent - partBits)) & (parts - 1));
}

/** The shortest duration in a bucket, in microseconds. */
export function bucketStart(bucket: number): number {
  if (bucket < parts) return bucket / unitsPerMicro;
  const octave = Math.floor(bucket / parts);
  return ((parts + (bucket % parts)) * 2 ** (octave - 1)) / unitsPerMicro;
}

/** The duration that stands for a bucket. */
export function bucketValue(bucket: number): number {
  const from = bucketStart(bucket);
  if (bucket >= lastBucket) return from;
  const to = bucketStart(bucket + 1);
  return (2 * from * to) / (from + to);
}

/** What the counts of some time say; microseconds. */
export interface Durations {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/**
 * `buckets` from `at` on; `sum` of all durations; `max` the longest where it is known, else 0, and
 * then the end of the last bucket that has any stands for it. Null when nothing was counted.
 */
export function durationsOf(
  buckets: Float64Array,
  at: number,
  sum: number,
  max: number,
): Durations | null {
  let count = 0;
  let last = 0;
  for (let i = 0; i < bucketCount; i += 1) {
    const here = buckets[at + i] ?? 0;
    if (here <= 0) continue;
    count += here;
    last = i;
  }
  if (count === 0) return null;
  // Of several rows together it may be known of those only that have shorter ones.
  const longest =
    max >= bucketStart(last) && max > 0 ? max : bucketStart(Math.min(last + 1, lastBucket));
  const quantile = (share: number): number => {
    const rank = Math.ceil(share * count);
    let below = 0;
    for (let i = 0; i <= last; i += 1) {
      below += Math.max(0, buckets[at + i] ?? 0);
      if (below >= rank) return Math.min(bucketValue(i), longest);
    }
    return longest;
  };
  return {
    count,
    mean: sum / count,
    p50: quantile(0.5),
    p90: quantile(0.9),
    p99: quantile(0.99),
    p999: quantile(0.999),
    max: longest,
  };
}
