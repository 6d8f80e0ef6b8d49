/**
 * Which route takes a connection: by the name that a TLS client asks for, and by its address.
 *
 * Invariant: the first route of the document whose conditions hold, found without going through all:
 * names are looked up, wildcards once for each label of the name.
 */
import type { ClientAddress } from '../client-address.js';
import { PrefixSet } from '../routing/prefix-set.js';
import type { L7Route } from '../tables.js';

const NONE = 0x7fff_ffff;

export class StreamRoutes {
  /** Numbers of routes, ascending, by name; by what follows the `*` of a wildcard; of any name. */
  readonly #exact = new Map<string, number[]>();
  readonly #below = new Map<string, number[]>();
  readonly #any: number[] = [];
  /** Of each route; null: any address. */
  readonly #sources: (PrefixSet | null)[];

  constructor(routes: readonly L7Route[]) {
    this.#sources = routes.map(({ when }) => {
      const sources = when?.sources ?? null;
      return sources === null ? null : new PrefixSet(sources);
    });
    for (const [index, { when }] of routes.entries()) {
      const hosts = when?.hosts ?? null;
      if (hosts === null) this.#any.push(index);
      for (const host of hosts ?? []) {
        const wild = host.startsWith('*.');
        const map = wild ? this.#below : this.#exact;
        const name = wild ? host.slice(1) : host;
        const known = map.get(name);
        if (known === undefined) map.set(name, [index]);
        else if (known.at(-1) !== index) known.push(index);
      }
    }
  }

  /** The number of the route, or -1. `name` in lower case without a final dot; empty: none. */
  find(name: string, client: ClientAddress): number {
    let best = this.#first(this.#any, client, NONE);
    if (name !== '') {
      best = this.#first(this.#exact.get(name), client, best);
      if (this.#below.size > 0) {
        for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
          if (dot > 0) best = this.#first(this.#below.get(name.slice(dot)), client, best);
        }
      }
    }
    return best === NONE ? -1 : best;
  }

  /** The first of `list` that takes the client, if it comes before `best`; else that. */
  #first(list: readonly number[] | undefined, client: ClientAddress, best: number): number {
    if (list === undefined) return best;
    for (const index of list) {
      if (index >= best) return best;
      const sources = this.#sources[index] ?? null;
      if (sources === null || sources.has(client.bytes)) return index;
    }
    return best;
  }
}
