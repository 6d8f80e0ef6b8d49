/**
 * The access map: the sets of access lists of all services in one trie.
 *
 * Invariant: a set keeps its number while a service uses it; within a set what comes is written
 * before what goes is removed, so a source is never judged by a shorter prefix than both the old
 * and the new set have for it.
 */
import type { PrefixKey } from '../config/prefix-key.js';
import type { AccessSet, Verdict } from '../control/access-sets.js';
import type { HashTable } from './kernel-tables.js';
import { ACCESS, accessKey } from './layouts.js';

const SET_BITS = 32;
const ADDRESS_AT = accessKey.offsetOf('address');
const SET_AT = accessKey.offsetOf('set');

interface Placed {
  readonly id: number;
  /** `unknown`: the kernel may or may not have taken it. */
  readonly verdicts: ReadonlyMap<PrefixKey, Verdict | 'unknown'>;
}

export class AccessSets {
  readonly #table: HashTable;
  readonly #placed = new Map<string, Placed>();
  /** What an earlier run left, by number of the set. */
  readonly #adopted = new Map<number, Map<PrefixKey, Verdict>>();

  constructor(table: HashTable) {
    this.#table = table;
    for (const { key, value } of table.entries()) {
      const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
      const id = view.getUint32(SET_AT, true);
      const verdicts = this.#adopted.get(id) ?? new Map<PrefixKey, Verdict>();
      this.#adopted.set(id, verdicts);
      verdicts.set(
        String.fromCharCode(view.getUint32(0, true) - SET_BITS) +
          Buffer.from(key.subarray(ADDRESS_AT)).toString('latin1'),
        value[0] === ACCESS.deny ? 'deny' : 'allow',
      );
    }
  }

  /** Entries in the kernel now. */
  get used(): number {
    const sizes = [...this.#placed.values()].map(({ verdicts }) => verdicts.size);
    for (const { size } of this.#adopted.values()) sizes.push(size);
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  id(name: string): number | undefined {
    return this.#placed.get(name)?.id;
  }

  /** Entries that there would be beside those that are there while these sets are written. */
  missing(sets: Iterable<AccessSet>): number {
    let count = 0;
    for (const set of sets) {
      const placed = this.#placed.get(set.name)?.verdicts;
      if (placed === set.verdicts) continue;
      for (const key of set.verdicts.keys()) if (placed?.has(key) !== true) count++;
    }
    return count;
  }

  /** Writes a set and returns its number. `hint`: the number that its service had in an earlier run. */
  place(set: AccessSet, hint?: number): number {
    const before = this.#placed.get(set.name) ?? this.#adopt(hint);
    if (before.verdicts === set.verdicts) return before.id;
    const changed = [...set.verdicts].filter(([key, one]) => before.verdicts.get(key) !== one);
    // Until all is written the old and the new are known to be there, to be written or removed again.
    this.#placed.set(set.name, {
      id: before.id,
      verdicts: new Map([...before.verdicts, ...changed.map(([key]) => [key, 'unknown'] as const)]),
    });
    if (changed.length > 0) {
      this.#table.updateMany(...this.#encode(before.id, changed), changed.length);
    }
    for (const key of before.verdicts.keys()) {
      if (!set.verdicts.has(key)) this.#remove(before.id, key);
    }
    this.#placed.set(set.name, { id: before.id, verdicts: set.verdicts });
    return before.id;
  }

  /** Removes every set that is not among these names, and what an earlier run left besides. */
  removeOthers(names: ReadonlySet<string>): void {
    for (const [name, { id, verdicts }] of this.#placed) {
      if (names.has(name)) continue;
      for (const key of verdicts.keys()) this.#remove(id, key);
      this.#placed.delete(name);
    }
    for (const [id, verdicts] of this.#adopted) {
      for (const key of verdicts.keys()) this.#remove(id, key);
      this.#adopted.delete(id);
    }
  }

  #adopt(hint: number | undefined): Placed {
    const adopted = hint === undefined ? undefined : this.#adopted.get(hint);
    if (hint !== undefined && adopted !== undefined) {
      this.#adopted.delete(hint);
      return { id: hint, verdicts: adopted };
    }
    const taken = new Set([...this.#placed.values()].map(({ id }) => id));
    let id = 1;
    while (taken.has(id) || this.#adopted.has(id)) id++;
    return { id, verdicts: new Map() };
  }

  #remove(id: number, key: PrefixKey): void {
    this.#table.remove(encodeAccessKey(id, key));
  }

  #encode(id: number, entries: readonly (readonly [PrefixKey, Verdict])[]) {
    const keys = new Uint8Array(entries.length * accessKey.size);
    const values = new Uint32Array(entries.length);
    entries.forEach(([key, verdict], index) => {
      encodeAccessKey(id, key, keys, index * accessKey.size);
      values[index] = ACCESS[verdict];
    });
    return [keys, new Uint8Array(values.buffer)] as const;
  }
}

/** Without the structure's own encoder, which would read each address as text: there are many. */
export function encodeAccessKey(
  set: number,
  key: PrefixKey,
  into: Uint8Array = new Uint8Array(accessKey.size),
  at = 0,
): Uint8Array {
  const view = new DataView(into.buffer, into.byteOffset + at, accessKey.size);
  view.setUint32(0, SET_BITS + key.charCodeAt(0), true);
  view.setUint32(SET_AT, set, true);
  for (let index = 0; index < 16; index++) {
    into[at + ADDRESS_AT + index] = key.charCodeAt(1 + index);
  }
  return into;
}
