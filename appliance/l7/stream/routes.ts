/**
 * Which route takes a connection: by the name that a TLS client asks for, and by its address.
 *
 * Invariant: the first route of the document whose conditions hold, found without going through all:
 * names are looked up, wildcards once for each label of the name.
 */
import type { ClientAddress } from '../client-address.js';
import { writeAddress } from '../http1/proxy-protocol.js';
import type { L7Route } from '../tables.js';

/** `ADDRESS/BITS` against 16 bytes, where IPv4 is ::ffff:a.b.c.d. */
class Prefix {
  readonly #bytes = new Uint8Array(16);
  readonly #bits: number;

  constructor(text: string) {
    const slash = text.lastIndexOf('/');
    const address = slash < 0 ? text : text.slice(0, slash);
    const v6 = address.includes(':');
    const bits = slash < 0 ? (v6 ? 128 : 32) : Number(text.slice(slash + 1));
    if (!v6) this.#bytes.fill(0xff, 10, 12);
    writeAddress(v6 ? this.#bytes : this.#bytes.subarray(12), address);
    this.#bits = v6 ? bits : bits + 96;
  }

  has(bytes: Uint8Array): boolean {
    const whole = this.#bits >> 3;
    for (let at = 0; at < whole; at += 1) if (bytes[at] !== this.#bytes[at]) return false;
    const rest = this.#bits & 7;
    if (rest === 0) return true;
    const mask = (0xff00 >> rest) & 0xff;
    return ((bytes[whole] as number) & mask) === ((this.#bytes[whole] as number) & mask);
  }
}

const NONE = 0x7fff_ffff;

export class StreamRoutes {
  /** Numbers of routes, ascending, by name; by what follows the `*` of a wildcard; of any name. */
  readonly #exact = new Map<string, number[]>();
  readonly #below = new Map<string, number[]>();
  readonly #any: number[] = [];
  /** Of each route; null: any address. */
  readonly #sources: (readonly Prefix[] | null)[];

  constructor(routes: readonly L7Route[]) {
    this.#sources = routes.map(
      ({ when }) => when?.sources?.map((text) => new Prefix(text)) ?? null,
    );
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
      if (sources === null || sources.some((prefix) => prefix.has(client.bytes))) return index;
    }
    return best;
  }
}
