/**
 * Which chunks of the lookup map belong to whom: first fit over one range.
 * Invariant: two ranges handed out never overlap, and what is given back is whole.
 */
export interface ChunkRange {
  readonly first: number;
  readonly count: number;
}

export class ChunkAllocator {
  /** Free ranges, ascending, never adjacent. */
  #free: ChunkRange[];

  constructor(readonly total: number) {
    this.#free = total > 0 ? [{ first: 0, count: total }] : [];
  }

  /** Null when no free range is long enough. */
  allocate(count: number): ChunkRange | null {
    const index = this.#free.findIndex((range) => range.count >= count);
    const range = this.#free[index];
    if (range === undefined) return null;
    const rest = { first: range.first + count, count: range.count - count };
    this.#free.splice(index, 1, ...(rest.count > 0 ? [rest] : []));
    return { first: range.first, count };
  }

  /** Takes a certain range, at adoption; false when part of it is taken already. */
  claim(wanted: ChunkRange): boolean {
    const end = wanted.first + wanted.count;
    const index = this.#free.findIndex(
      (range) => range.first <= wanted.first && range.first + range.count >= end,
    );
    const range = this.#free[index];
    if (range === undefined || wanted.count <= 0) return false;
    const pieces = [
      { first: range.first, count: wanted.first - range.first },
      { first: end, count: range.first + range.count - end },
    ];
    this.#free.splice(index, 1, ...pieces.filter((piece) => piece.count > 0));
    return true;
  }

  release(range: ChunkRange): void {
    let index = this.#free.findIndex((free) => free.first > range.first);
    if (index < 0) index = this.#free.length;
    const before = this.#free[index - 1];
    const after = this.#free[index];
    const end = range.first + range.count;
    if (
      (before !== undefined && before.first + before.count > range.first) ||
      (after !== undefined && end > after.first) ||
      end > this.total
    ) {
      throw new RangeError(`chunks ${range.first} to ${end - 1} are free already`);
    }
    let { first, count } = range;
    let from = index;
    let remove = 0;
    if (before !== undefined && before.first + before.count === first) {
      first = before.first;
      count += before.count;
      from = index - 1;
      remove++;
    }
    if (after !== undefined && end === after.first) {
      count += after.count;
      remove++;
    }
    this.#free.splice(from, remove, { first, count });
  }

  get largestFree(): number {
    return this.#free.reduce((most, range) => Math.max(most, range.count), 0);
  }

  get used(): number {
    return this.total - this.#free.reduce((sum, range) => sum + range.count, 0);
  }
}
