/**
 * A round-robin archive: the last so many slots of time, each with the averages of some measures, in
 * fixed space. Pure: times are given.
 *
 * Invariants:
 * - A slot holds the average over the time of it that was seen; one of which nothing was seen holds
 *   NaN and never zero.
 * - Time that is told twice counts once: where the clock went back, what was recorded of the time that
 *   comes again is forgotten.
 * - Nothing is allocated after construction but by `read` and `state`.
 */
export interface Shape {
  /** Of a slot; slots begin at whole multiples since 1970. */
  readonly stepMs: number;
  readonly slots: number;
}

/** What a file keeps of an archive. */
export interface ArchiveState {
  /** Number of the newest slot since 1970; -1: nothing was recorded. */
  readonly newest: number;
  /** Of the newest slot, for each measure: its sum over time, then the milliseconds seen of it. */
  readonly open: Float64Array;
  /** By place: slot number modulo slots; within it by measure. */
  readonly values: Float32Array;
}

export class Archive {
  readonly shape: Shape;
  readonly #measures: number;
  readonly #values: Float32Array;
  readonly #open: Float64Array;
  #newest = -1;

  constructor(shape: Shape, measures: number) {
    this.shape = shape;
    this.#measures = measures;
    this.#values = new Float32Array(shape.slots * measures).fill(NaN);
    this.#open = new Float64Array(measures * 2);
  }

  /** What an earlier archive of the same shape held; null: it makes no sense. */
  static restore(shape: Shape, measures: number, state: ArchiveState): Archive | null {
    const archive = new Archive(shape, measures);
    const { newest, open, values } = state;
    const fits =
      Number.isSafeInteger(newest) &&
      newest >= -1 &&
      open.length === archive.#open.length &&
      values.length === archive.#values.length &&
      open.every((one) => one >= 0 && Number.isFinite(one)) &&
      values.every((one) => Number.isNaN(one) || (one >= 0 && Number.isFinite(one)));
    if (!fits) return null;
    archive.#values.set(values);
    archive.#open.set(open);
    archive.#newest = newest;
    return archive;
  }

  get state(): ArchiveState {
    return {
      newest: this.#newest,
      open: this.#open.slice(),
      values: this.#values.slice(),
    };
  }

  /**
   * From `fromMs` to `toMs`, milliseconds since 1970, the measures had these values; NaN: not known.
   * Throws RangeError for an interval that is none.
   */
  add(fromMs: number, toMs: number, values: ArrayLike<number>): void {
    if (!(fromMs >= 0 && toMs > fromMs && Number.isFinite(toMs))) {
      throw new RangeError(`an interval ends after it began, got ${fromMs} to ${toMs}`);
    }
    const { stepMs } = this.shape;
    const last = Math.ceil(toMs / stepMs) - 1;
    if (last < this.#newest) this.#rewind(last);
    // A clock that is slewed lets intervals overlap by a moment, which must not bring back a slot.
    for (let slot = Math.max(Math.floor(fromMs / stepMs), this.#newest); slot <= last; slot += 1) {
      if (slot > this.#newest) this.#advance(slot);
      const begin = Math.max(fromMs, slot * stepMs);
      this.#gather(Math.min(toMs, (slot + 1) * stepMs) - begin, values);
    }
  }

  /** A row for each slot up to that of `nowMs`, the oldest first; null: not known. */
  read(nowMs: number, measure: number): (number | null)[] {
    const { stepMs, slots } = this.shape;
    const last = Math.floor(nowMs / stepMs);
    return Array.from({ length: slots }, (_, index) => {
      const slot = last - slots + 1 + index;
      if (slot < 0 || slot > this.#newest || slot <= this.#newest - slots) return null;
      const value = this.#values[this.#at(slot) + measure] ?? NaN;
      // As exact as a float is.
      return Number.isNaN(value) ? null : Number(value.toPrecision(6));
    });
  }

  #at(slot: number): number {
    return (slot % this.shape.slots) * this.#measures;
  }

  #clear(slot: number): void {
    const at = this.#at(slot);
    this.#values.fill(NaN, at, at + this.#measures);
  }

  #advance(slot: number): void {
    const first = Math.max(this.#newest + 1, slot - this.shape.slots + 1);
    for (let between = first; between <= slot; between += 1) this.#clear(between);
    this.#newest = slot;
    this.#open.fill(0);
  }

  /** What is from `slot` on lies in the future now, or comes again. */
  #rewind(slot: number): void {
    const first = Math.max(slot, this.#newest - this.shape.slots + 1);
    for (let later = first; later <= this.#newest; later += 1) this.#clear(later);
    this.#newest = slot;
    this.#open.fill(0);
    // A place that slots of the future had overwritten holds nothing of the past.
    this.#clear(slot);
  }

  #gather(ms: number, values: ArrayLike<number>): void {
    const at = this.#at(this.#newest);
    const open = this.#open;
    for (let measure = 0; measure < this.#measures; measure += 1) {
      const value = values[measure] ?? NaN;
      if (Number.isNaN(value)) continue;
      const sum = (open[measure] ?? 0) + value * ms;
      const seen = (open[this.#measures + measure] ?? 0) + ms;
      open[measure] = sum;
      open[this.#measures + measure] = seen;
      this.#values[at + measure] = sum / seen;
    }
  }
}
