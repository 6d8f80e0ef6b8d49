/**
 * From the tags of a member to its place in the pool, made once for a snapshot: open addressing, at
 * most half full.
 *
 * Invariant: a tag of two zeros is nobody's.
 */
interface Tagged {
  readonly tagLow: number;
  readonly tagHigh: number;
}

export class TagIndex {
  /** Low, high and index for each slot. */
  readonly #slots: Int32Array;
  readonly #mask: number;

  constructor(members: readonly Tagged[]) {
    const slots = 2 ** Math.ceil(Math.log2(members.length * 2 + 2));
    this.#mask = slots - 1;
    this.#slots = new Int32Array(slots * 3);
    for (const [index, { tagLow, tagHigh }] of members.entries()) {
      let slot = tagLow & this.#mask;
      while (this.#taken(slot)) slot = (slot + 1) & this.#mask;
      this.#slots.set([tagLow, tagHigh, index], slot * 3);
    }
  }

  #taken(slot: number): boolean {
    return this.#slots[slot * 3] !== 0 || this.#slots[slot * 3 + 1] !== 0;
  }

  /** -1: none. */
  find(tagLow: number, tagHigh: number): number {
    const slots = this.#slots;
    for (let slot = tagLow & this.#mask; this.#taken(slot); slot = (slot + 1) & this.#mask) {
      if (slots[slot * 3] === tagLow && slots[slot * 3 + 1] === tagHigh) {
        return slots[slot * 3 + 2] as number;
      }
    }
    return -1;
  }
}
