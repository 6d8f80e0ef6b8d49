/**
 * Which requests are logged when not all are: each by chance, so that no pattern of requests is
 * always or never seen. The same seed gives the same choice.
 */

const whole = 2 ** 30;

export class Sampler {
  private readonly below: number;
  private readonly state: Int32Array;

  /** `share`: from 0 (none) to 1 (all). */
  constructor(share: number, seed: number) {
    if (!(share >= 0 && share <= 1)) throw new RangeError(`a share is from 0 to 1, got ${share}`);
    this.below = Math.round(share * whole);
    // Spread, so that neighbouring seeds have nothing in common from the first number on.
    this.state = Int32Array.of(Math.imul(seed | 1, 0x9e3779b1) | 1);
  }

  next(): boolean {
    if (this.below === whole) return true;
    // xorshift32
    let x = this.state[0] ?? 1;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state[0] = x;
    return x >>> 2 < this.below;
  }
}
