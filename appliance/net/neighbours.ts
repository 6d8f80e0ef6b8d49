/**
 * The neighbour table as the kernel last told it, and the care of those entries that members need:
 * when to ask the kernel to resolve or verify one. Decisions only; network.ts sends the questions.
 * Sources: RFC 826, RFC 4861 §7.3; kernel net/core/neighbour.c for the states.
 *
 * Why ask at all: the fast path sends frames without the kernel noticing, so the kernel believes
 * nobody uses the entry, lets it go stale and at last drops it.
 *
 * Invariants:
 * - A wanted entry is either usable and verified, being asked for, or has a time of its next
 *   question.
 * - The same entry is never asked for twice within LEAST_PAUSE_MS.
 */
import type { Resolution, Via } from './next-hop.js';
import { sameBytes } from './next-hop.js';
import type { Neighbour } from './wire.js';

/** After a question without an answer: 1 s, doubled up to 5 s. */
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 5000;
const LEAST_PAUSE_MS = 1000;

export type NeighbourKey = string;

export function neighbourKey({ interfaceIndex, address }: Via): NeighbourKey {
  return `${interfaceIndex} ${address}`;
}

export class NeighbourTable {
  #entries = new Map<NeighbourKey, Neighbour>();

  get(key: NeighbourKey): Neighbour | undefined {
    return this.#entries.get(key);
  }

  /** Returns whether state or MAC address changed. */
  set(neighbour: Neighbour): boolean {
    const key = neighbourKey(neighbour);
    const known = this.#entries.get(key);
    this.#entries.set(key, neighbour);
    return known?.state !== neighbour.state || !sameMac(known.mac, neighbour.mac);
  }

  delete(key: NeighbourKey): boolean {
    return this.#entries.delete(key);
  }

  replace(neighbours: readonly Neighbour[]): void {
    this.#entries = new Map(neighbours.map((neighbour) => [neighbourKey(neighbour), neighbour]));
  }
}

function sameMac(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : sameBytes(a, b);
}

interface Care {
  readonly via: Via;
  failures: number;
  refusal: string | null;
  /** Time of the last question; -Infinity before the first. */
  asked: number;
  /** Time of the next question; null while none is needed. */
  due: number | null;
}

const unknown: Resolution = { failures: 0, refusal: null };

/** Times are milliseconds of one monotonic clock, given by the caller. */
export class NeighbourCare {
  readonly #wanted = new Map<NeighbourKey, Care>();
  /** Those of the wanted that have a time of their next question: usually few. */
  readonly #waiting = new Set<Care>();

  /** Takes the complete set of wanted neighbours; `state` tells what the table knows of each. */
  want(
    vias: ReadonlyMap<NeighbourKey, Via>,
    state: (key: NeighbourKey) => Neighbour['state'] | undefined,
    now: number,
  ): void {
    for (const [key, care] of this.#wanted) {
      if (vias.has(key)) continue;
      this.#wanted.delete(key);
      this.#waiting.delete(care);
    }
    for (const [key, via] of vias) {
      if (this.#wanted.has(key)) continue;
      this.#wanted.set(key, { via, failures: 0, refusal: null, asked: -Infinity, due: null });
      const known = state(key);
      // A failure from before anybody wanted it is no reason to wait.
      this.observe(key, known === 'failed' ? undefined : known, now);
    }
  }

  /** The table changed for one entry; `undefined`: the kernel dropped it. Returns whether it is wanted. */
  observe(key: NeighbourKey, state: Neighbour['state'] | undefined, now: number): boolean {
    const care = this.#wanted.get(key);
    if (care === undefined) return false;
    switch (state) {
      case 'reachable':
      case 'noarp':
      case 'permanent':
        care.failures = 0;
        care.refusal = null;
        this.#schedule(care, null);
        break;
      case 'incomplete':
      case 'delay':
      case 'probe':
        // The kernel is asking; it ends in reachable or failed.
        care.refusal = null;
        this.#schedule(care, null);
        break;
      case 'failed':
        care.failures += 1;
        this.#schedule(care, now + retryAfter(care.failures));
        break;
      case 'stale':
      case 'none':
      case undefined:
        this.#schedule(care, Math.max(now, care.asked + LEAST_PAUSE_MS));
        break;
    }
    return true;
  }

  /** The kernel refused to ask. */
  refused(key: NeighbourKey, why: string, now: number): void {
    const care = this.#wanted.get(key);
    if (care === undefined) return;
    care.failures += 1;
    care.refusal = why;
    this.#schedule(care, now + retryAfter(care.failures));
  }

  /** Those to ask for now; they count as asked. */
  takeDue(now: number): Via[] {
    const due: Via[] = [];
    for (const care of [...this.#waiting]) {
      if (care.due === null || care.due > now) continue;
      this.#schedule(care, null);
      care.asked = now;
      due.push(care.via);
    }
    return due;
  }

  /** When takeDue will have something; null: not before something is observed. */
  nextDue(): number | null {
    let next: number | null = null;
    for (const { due } of this.#waiting) {
      if (due !== null && (next === null || due < next)) next = due;
    }
    return next;
  }

  /** The whole table was read again: looks at every wanted entry anew. */
  recheck(state: (key: NeighbourKey) => Neighbour['state'] | undefined, now: number): void {
    for (const [key, care] of this.#wanted) {
      const known = state(key);
      if (care.due === null || known !== 'failed') this.observe(key, known, now);
    }
  }

  resolution(key: NeighbourKey): Resolution {
    return this.#wanted.get(key) ?? unknown;
  }

  #schedule(care: Care, due: number | null): void {
    care.due = due;
    if (due === null) this.#waiting.delete(care);
    else this.#waiting.add(care);
  }
}

function retryAfter(failures: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS);
}
