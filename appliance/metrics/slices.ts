/** Long work in slices, between which others have their turn. */
import { setImmediate as nextTurn } from 'node:timers/promises';

const SLICE_MS = 8;

export class Slices {
  #begun = performance.now();

  /** Whether it is time to rest. */
  get over(): boolean {
    return performance.now() - this.#begun >= SLICE_MS;
  }

  async rest(): Promise<void> {
    await nextTurn();
    this.#begun = performance.now();
  }

  async map<T, U>(rows: readonly T[], make: (row: T) => U): Promise<U[]> {
    const made: U[] = [];
    for (const [index, row] of rows.entries()) {
      made.push(make(row));
      if (index % 64 === 63 && this.over) await this.rest();
    }
    return made;
  }
}
