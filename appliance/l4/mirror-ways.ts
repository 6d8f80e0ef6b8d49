/**
 * Which interface of this unit is on the same network as one of the other's: so replies of a flow that
 * the other unit told of find the client here. Pure.
 *
 * Invariant: two ways are the same when a network is on both; a name or a number says nothing.
 */
import type { Description, Way } from '../ha/flows/flow-table.js';

/** A way of this unit, with the address that its frames leave from. */
export interface OwnWay extends Way {
  readonly mac: Uint8Array;
}

export class MirrorWays {
  #source: () => readonly OwnWay[] = () => [];
  #own: readonly OwnWay[] = [];
  #others: readonly Way[] = [];
  /** By interface and tags of the other unit's. */
  readonly #found = new Map<string, OwnWay | null>();

  /** Asked whenever this unit describes itself. */
  from(source: () => readonly OwnWay[]): void {
    this.#source = source;
  }

  meet(other: Description | null): void {
    this.#others = other?.ways ?? [];
    this.#found.clear();
  }

  describe(): readonly Way[] {
    this.#own = this.#source();
    this.#found.clear();
    return this.#own.map(({ interface: index, vlan, networks }) => ({
      interface: index,
      vlan,
      networks,
    }));
  }

  /** Null where there is none. */
  find(index: number, outer: number, inner: number): OwnWay | null {
    const key = `${index} ${outer} ${inner}`;
    let found = this.#found.get(key);
    if (found === undefined) {
      found = this.#search(index, [outer, inner].filter(Boolean));
      this.#found.set(key, found);
    }
    return found;
  }

  #search(index: number, vlan: readonly number[]): OwnWay | null {
    const networks = new Set(
      this.#others
        .filter((way) => way.interface === index && sameTags(way.vlan, vlan))
        .flatMap((way) => way.networks),
    );
    return this.#own.find((way) => way.networks.some((network) => networks.has(network))) ?? null;
  }
}

function sameTags(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((tag, index) => tag === b[index]);
}
