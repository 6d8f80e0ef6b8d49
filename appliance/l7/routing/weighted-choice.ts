/**
 * One of several by weight, for canaries: a number of 32 bits, random or a hash, decides.
 *
 * Invariant: the same number gives the same choice while the weights are the same, and one of
 * weight 0 is never chosen.
 */
export class WeightedChoice {
  /** Sums of the weights up to each. */
  private readonly sums: Float64Array;
  private readonly total: number;

  constructor(weights: readonly number[]) {
    let sum = 0;
    this.sums = Float64Array.from(weights, (weight) => (sum += weight));
    this.total = sum;
  }

  /** The place in the list; -1 when all weigh nothing. */
  pick(number: number): number {
    const point = ((number >>> 0) / 0x1_0000_0000) * this.total;
    for (let i = 0; i < this.sums.length; i += 1) if (point < (this.sums[i] ?? 0)) return i;
    return -1;
  }
}
