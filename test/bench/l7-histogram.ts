/**
 * Latencies of one measurement: a histogram whose buckets grow with their values, so that any
 * quantile is exact to 1/128 of itself and recording allocates nothing.
 *
 * Invariant: bucket 0 … 255 are tenths of a microsecond one by one; above that, every doubling has
 * 128 buckets.
 */
const SUB_BITS = 7;
const SUB = 1 << SUB_BITS;
/** Tenths of a microsecond that are told apart: 107 s at most. */
const MOST = 0x3fffffff;

function bucketOf(tenths: number): number {
  const shift = Math.max(0, 31 - Math.clz32(tenths) - SUB_BITS);
  return (shift << SUB_BITS) + (tenths >> shift);
}

/** The highest value that a bucket stands for. */
function highest(bucket: number): number {
  const shift = bucket < 2 * SUB ? 0 : (bucket >> SUB_BITS) - 1;
  return ((bucket - (shift << SUB_BITS) + 1) << shift) - 1;
}

export class Histogram {
  readonly #counts = new Uint32Array(bucketOf(MOST) + 1);
  #count = 0;

  /** Values recorded since the last reset. */
  get count(): number {
    return this.#count;
  }

  record(microseconds: number): void {
    const tenths = microseconds * 10;
    const bucket = bucketOf(tenths >= MOST ? MOST : tenths > 0 ? tenths | 0 : 0);
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#count += 1;
  }

  /** Microseconds that `part` (0 … 1) of the values do not exceed. Throws RangeError when empty. */
  quantile(part: number): number {
    if (this.#count === 0) throw new RangeError('a histogram without values has no quantiles');
    const rank = Math.min(this.#count, Math.max(1, Math.ceil(part * this.#count)));
    let seen = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket += 1) {
      seen += this.#counts[bucket] as number;
      if (seen >= rank) return highest(bucket) / 10;
    }
    throw new Error('the buckets of a histogram hold less than was recorded');
  }

  reset(): void {
    this.#counts.fill(0);
    this.#count = 0;
  }
}
