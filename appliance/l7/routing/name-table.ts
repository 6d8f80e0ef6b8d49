/**
 * Numbers of names that are octets, found by hash: made once, asked for each request.
 *
 * Invariant: at most half of the places are taken, and only configuration takes them, so nobody
 * outside can make a look-up long.
 */
import { sameOctets } from './patterns.js';

/** One step of the hash. */
export function hashOctet(hash: number, octet: number): number {
  return (Math.imul(hash, 0x01000193) ^ octet) | 0;
}

export class NameTable {
  private readonly names: readonly Uint8Array[];
  /** What a name belongs to; a name of another owner is another name. */
  private readonly owners: Int32Array;
  private readonly places: Int32Array;

  /** The number of a name is its place in the list; `order` is that in which octets are hashed. */
  constructor(
    entries: readonly { readonly owner: number; readonly name: Uint8Array }[],
    order: 'forwards' | 'backwards',
  ) {
    let size = 4;
    while (size < 2 * entries.length) size *= 2;
    this.names = entries.map(({ name }) => name);
    this.owners = Int32Array.from(entries.map(({ owner }) => owner));
    this.places = new Int32Array(size).fill(-1);
    for (const [number, { owner, name }] of entries.entries()) {
      const hashed = order === 'forwards' ? name : name.toReversed();
      const hash = hashed.reduce((sum, octet) => hashOctet(sum, octet), 0);
      let place = placeOf(owner, hash) & (size - 1);
      while (this.places[place] !== -1) place = (place + 1) & (size - 1);
      this.places[place] = number;
    }
  }

  /** `hash` is that of the octets by `hashOctet`, from 0, in the table's order. */
  find(owner: number, hash: number, bytes: Uint8Array, start: number, end: number): number {
    const mask = this.places.length - 1;
    let place = placeOf(owner, hash) & mask;
    for (;;) {
      const number = this.places[place] ?? -1;
      if (number < 0) return -1;
      const name = this.names[number];
      if (
        this.owners[number] === owner &&
        name !== undefined &&
        sameOctets(name, bytes, start, end)
      ) {
        return number;
      }
      place = (place + 1) & mask;
    }
  }
}

function placeOf(owner: number, hash: number): number {
  let mixed = Math.imul(hash ^ Math.imul(owner, 0x9e3779b1), 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
