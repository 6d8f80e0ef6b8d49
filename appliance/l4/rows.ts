/**
 * Which row of a table belongs to whom. Rows are found again by name after a restart,
 * and a row that changes hands gets another generation, so that flow entries of its
 * former owner no longer match.
 * Invariant: a name has one row and a row one name.
 */
export class RowAllocator<Name> {
  readonly #byName = new Map<Name, number>();
  readonly #free: number[] = [];
  #next: number;

  /** @param first the lowest row to hand out; @param limit one past the highest */
  constructor(
    first: number,
    readonly limit: number,
  ) {
    this.#next = first;
  }

  /** Takes a certain row, at adoption; false when it is taken or out of range. */
  adopt(name: Name, row: number): boolean {
    if (row >= this.limit || row < 0 || this.#byName.has(name)) return false;
    if (row < this.#next) {
      const index = this.#free.indexOf(row);
      if (index < 0) return false;
      this.#free.splice(index, 1);
    } else {
      for (let between = this.#next; between < row; between++) this.#free.push(between);
      this.#next = row + 1;
    }
    this.#byName.set(name, row);
    return true;
  }

  get(name: Name): number | undefined {
    return this.#byName.get(name);
  }

  /** Null when every row is taken. */
  allocate(name: Name): number | null {
    if (this.#byName.has(name)) throw new RangeError(`${String(name)} has a row already`);
    const row = this.#free.pop() ?? (this.#next < this.limit ? this.#next++ : undefined);
    if (row === undefined) return null;
    this.#byName.set(name, row);
    return row;
  }

  release(name: Name): void {
    const row = this.#byName.get(name);
    if (row === undefined) throw new RangeError(`${String(name)} has no row`);
    this.#byName.delete(name);
    this.#free.push(row);
  }

  names(): IterableIterator<[Name, number]> {
    return this.#byName.entries();
  }

  /** One past the highest row ever handed out: what a bulk read must cover. */
  get end(): number {
    return this.#next;
  }

  get used(): number {
    return this.#byName.size;
  }
}
