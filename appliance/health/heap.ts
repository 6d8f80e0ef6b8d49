/**
 * A binary min-heap by a number. Pure.
 *
 * Invariant: `peek` is an item of the least key; items of equal keys come in any order.
 */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #key: (item: T) => number;

  constructor(key: (item: T) => number) {
    this.#key = key;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#at(parent) <= this.#key(item)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): T | undefined {
    const items = this.#items;
    const least = items[0];
    const last = items.pop();
    if (least === undefined || last === undefined || items.length === 0) return least;
    items[0] = last;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      let smallest = at;
      if (this.#at(left) < this.#at(smallest)) smallest = left;
      if (this.#at(right) < this.#at(smallest)) smallest = right;
      if (smallest === at) return least;
      this.#swap(at, smallest);
      at = smallest;
    }
  }

  /** Infinity beyond the end. */
  #at(index: number): number {
    const item = this.#items[index];
    return item === undefined ? Infinity : this.#key(item);
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#items[a], this.#items[b]];
    if (first === undefined || second === undefined) return;
    this.#items[a] = second;
    this.#items[b] = first;
  }
}
