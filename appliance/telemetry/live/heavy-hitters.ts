/**
 * The heaviest of any number of keys in bounded memory: Space-Saving (Metwally, Agrawal and El Abbadi,
 * "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005), with weights that fade.
 *
 * Invariants, for weights w of a stream whose weights sum up to W, with room for k keys:
 * - A key heavier than W / k is there.
 * - What it says of a key is at least the key's weight, and at most that plus `surplus`, which is at
 *   most W / k.
 */
export interface Hitter<T> {
  readonly key: string;
  weight: number;
  /** What of `weight` may be of the keys before it. */
  surplus: number;
  /** What came with the key since it is here; the caller's, who fades it as well. */
  value: T;
}

export class HeavyHitters<T> {
  readonly #room: number;
  readonly #byKey = new Map<string, number>();
  /** A heap with the lightest first; `#byKey` has the places. */
  readonly #heap: Hitter<T>[] = [];

  constructor(room: number) {
    if (!Number.isSafeInteger(room) || room < 1) {
      throw new RangeError(`there is room for 1 key or more, got ${room}`);
    }
    this.#room = room;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** `fresh` makes the value of a key that was not here. Weights are 0 or more. */
  add(key: string, weight: number, fresh: () => T): T {
    const at = this.#byKey.get(key);
    if (at !== undefined) return this.#heavier(at, weight);
    if (this.#heap.length < this.#room) {
      const hitter = { key, weight, surplus: 0, value: fresh() };
      this.#heap.push(hitter);
      this.#byKey.set(key, this.#heap.length - 1);
      this.#up(this.#heap.length - 1);
      return hitter.value;
    }
    const lightest = this.#heap[0];
    if (lightest === undefined) throw new Error('a full heap has a lightest');
    this.#byKey.delete(lightest.key);
    const surplus = lightest.weight;
    this.#heap[0] = { key, weight: surplus, surplus, value: fresh() };
    this.#byKey.set(key, 0);
    return this.#heavier(0, weight);
  }

  /** All weights times `factor` of 0 to 1; `value` is told to do the same. */
  fade(factor: number, value: (value: T) => void): void {
    // The order of the heap stays what it is.
    for (const hitter of this.#heap) {
      hitter.weight *= factor;
      hitter.surplus *= factor;
      value(hitter.value);
    }
  }

  /** The heaviest first. */
  top(count: number): readonly Readonly<Hitter<T>>[] {
    return [...this.#heap].sort((a, b) => b.weight - a.weight).slice(0, count);
  }

  #heavier(at: number, weight: number): T {
    const hitter = this.#heap[at];
    if (hitter === undefined) throw new Error('a key has a place');
    hitter.weight += weight;
    this.#down(at);
    return hitter.value;
  }

  #weight(at: number): number {
    return this.#heap[at]?.weight ?? Infinity;
  }

  #up(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#weight(parent) <= this.#weight(at)) return;
      this.#swap(parent, at);
      at = parent;
    }
  }

  #down(from: number): void {
    let at = from;
    for (;;) {
      const left = at * 2 + 1;
      const lighter = this.#weight(left + 1) < this.#weight(left) ? left + 1 : left;
      if (this.#weight(lighter) >= this.#weight(at)) return;
      this.#swap(lighter, at);
      at = lighter;
    }
  }

  #swap(a: number, b: number): void {
    const one = this.#heap[a];
    const other = this.#heap[b];
    if (one === undefined || other === undefined) return;
    this.#heap[a] = other;
    this.#heap[b] = one;
    this.#byKey.set(other.key, a);
    this.#byKey.set(one.key, b);
  }
}
