/**
 * A walk over the flow table in pieces: the daemon reads keys, a program of native/bpf does something
 * with their entries (struct weir_walk_keys in tables.h).
 *
 * Not by a program that goes over the whole table itself: a kernel that is not fully preemptible runs
 * nothing else on that CPU meanwhile, 20 ns for each bucket, empty or not. Of a table of four million
 * that was 90 ms, again and again, in which no VRRP speaker on that CPU could say that it lives.
 * Reading takes half a nanosecond for an empty bucket.
 *
 * Invariant: walks with one walker do not overlap.
 */
import { setImmediate } from 'node:timers/promises';
import type { BatchPlace, BpfMap } from '../../native/ffi/bpf-map.js';

/** Rows of walk_keys: enum weir_walker of tables.h. */
export const WALKER = { sweep: 0, mirror: 1 } as const;
export type Walker = (typeof WALKER)[keyof typeof WALKER];

export interface Piece {
  /** Keys that lie ready for the program. */
  readonly keys: number;
  /** Where this piece begins, to come back to it. */
  readonly from: BatchPlace | null;
}

export class FlowWalk {
  readonly #flows: BpfMap;
  readonly #keys: Uint8Array;
  readonly #values: Uint8Array;

  /** `flows` and `walkKeys`: those tables of one object. */
  constructor(flows: BpfMap, walkKeys: BpfMap, walker: Walker) {
    this.#flows = flows;
    const { valueSize } = walkKeys;
    this.#keys = new Uint8Array(walkKeys.mmap().buffer, walker * valueSize, valueSize);
    this.#values = new Uint8Array((valueSize / flows.keySize) * flows.valueBytes);
  }

  /** Pieces from a place on, in the order of the table; a piece is overwritten by the next one. */
  *pieces(from: BatchPlace | null): Generator<Piece, void, void> {
    let place = from;
    do {
      const { count, next } = this.#flows.readBatch(place, this.#keys, this.#values);
      if (count > 0) yield { keys: count, from: place };
      place = next;
    } while (place !== null);
  }
}

/**
 * How many entries a hash table has, or about as many while it changes. What else is to be done is
 * done meanwhile. Throws BpfError.
 */
export async function countEntries(map: BpfMap): Promise<number> {
  let entries = 0;
  for (const { count } of map.batches(4096)) {
    entries += count;
    await setImmediate();
  }
  return entries;
}
