/**
 * The rate limits of one service and its routes, as a worker asks them for each request.
 *
 * Invariant: a request that one limit refuses takes nothing from any: all are looked at first,
 * then taken from, and where another worker took the last one in between, what was taken is given
 * back. Nothing is allocated for a request.
 */
import type { ClientAddress } from '../client-address.js';
import { RequestHead } from '../http1/request-head.js';
import type { L7Conditions, L7RateLimit, L7Service } from '../tables.js';
import { NO_ENTRY, type TokenBuckets } from './buckets.js';
import { seedOf, type Words } from './key-hash.js';
import { AddressCut, LimitKey } from './keys.js';
import { bucketRate, type BucketRate } from './rate.js';

/** What holds of a request; made of L7Conditions by whoever knows them. */
export interface RequestCondition {
  hold(head: RequestHead, bytes: Uint8Array, client: ClientAddress): boolean;
}

/** What a Limiter reads of a service. */
export type LimitedService = Pick<
  L7Service,
  'name' | 'limits' | 'clientPrefix' | 'clientPrefix6'
> & {
  readonly routes: readonly { readonly name: string; readonly limits: readonly L7RateLimit[] }[];
};

const always: RequestCondition = { hold: () => true };

class Rule {
  constructor(
    readonly name: string,
    readonly rate: BucketRate,
    readonly part: 'keyed' | 'single',
    readonly key: LimitKey,
    readonly when: RequestCondition,
  ) {}
}

export class Limiter {
  /** The limit that refused last, for counters and the log. */
  refusedBy = '';
  readonly #buckets: TokenBuckets;
  /** Those of the service alone, and those of it and each route. */
  readonly #service: readonly Rule[];
  readonly #routes: readonly (readonly Rule[])[];
  readonly #hash: Words = new Int32Array(2);
  /** Of each rule for the request in hand: set (-1: it does not count), key, entry. */
  readonly #set: Int32Array;
  readonly #low: Int32Array;
  readonly #high: Int32Array;
  readonly #entry: Int32Array;

  constructor(
    buckets: TokenBuckets,
    service: LimitedService,
    condition: (conditions: L7Conditions) => RequestCondition,
  ) {
    this.#buckets = buckets;
    const cut = new AddressCut(service);
    const rule = (limit: L7RateLimit, of: readonly string[]): Rule => {
      // A limit whose numbers change begins anew: its buckets count in other ticks.
      const { name, perSecond, burst, per, when } = limit;
      const id = JSON.stringify([...of, name, perSecond, burst, per, prefixes(service, per)]);
      const seed = seedOf(id, buckets.seedLow, buckets.seedHigh);
      return new Rule(
        name,
        bucketRate(perSecond, burst),
        per.kind === 'service' ? 'single' : 'keyed',
        new LimitKey(per, seed, cut),
        when === null ? always : condition(when),
      );
    };
    this.#service = service.limits.map((limit) => rule(limit, [service.name]));
    this.#routes = service.routes.map((route) => [
      ...this.#service,
      ...route.limits.map((limit) => rule(limit, [service.name, route.name])),
    ]);
    const most = Math.max(this.#service.length, ...this.#routes.map((rules) => rules.length));
    this.#set = new Int32Array(most);
    this.#low = new Int32Array(most);
    this.#high = new Int32Array(most);
    this.#entry = new Int32Array(most);
  }

  /**
   * Takes one request of a route (its index; -1: of none) from every limit that it counts for.
   * Returns 0, or the milliseconds until all of them would let it through.
   */
  take(
    route: number,
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
    now: number,
  ): number {
    const rules = route < 0 ? this.#service : this.#routes[route];
    if (rules === undefined) throw new RangeError(`route ${route}: the service has no such route`);
    if (rules.length === 0) return 0;
    const wait = this.#look(rules, head, bytes, client, now);
    return wait > 0 ? wait : this.#take(rules, now);
  }

  /** The same for a connection of a tcp or tls service, which has no request. */
  takeConnection(client: ClientAddress, now: number): number {
    return this.take(-1, noHead, noBytes, client, now);
  }

  #look(
    rules: readonly Rule[],
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
    now: number,
  ): number {
    let longest = 0;
    for (let i = 0; i < rules.length; i += 1) {
      const rule = rules[i] as Rule;
      this.#set[i] = -1;
      if (rule.when !== always && !rule.when.hold(head, bytes, client)) continue;
      rule.key.hash(head, bytes, client, this.#hash);
      const low = this.#hash[0] as number;
      const high = this.#hash[1] as number;
      const set = this.#buckets.setOf(rule.part, low);
      this.#set[i] = set;
      this.#low[i] = low;
      this.#high[i] = high;
      const wait = this.#buckets.look(set, low, high, rule.rate, now);
      if (wait > longest) {
        longest = wait;
        this.refusedBy = rule.name;
      }
    }
    return longest;
  }

  #take(rules: readonly Rule[], now: number): number {
    const buckets = this.#buckets;
    for (let i = 0; i < rules.length; i += 1) {
      const set = this.#set[i] as number;
      this.#entry[i] = NO_ENTRY;
      if (set < 0) continue;
      const { rate, name } = rules[i] as Rule;
      const wait = buckets.take(set, this.#low[i] as number, this.#high[i] as number, rate, now);
      if (wait > 0) {
        this.refusedBy = name;
        this.#giveBack(rules, i);
        return wait;
      }
      this.#entry[i] = buckets.taken;
    }
    return 0;
  }

  #giveBack(rules: readonly Rule[], count: number): void {
    for (let i = 0; i < count; i += 1) {
      const entry = this.#entry[i] as number;
      const { rate } = rules[i] as Rule;
      this.#buckets.giveBack(
        this.#set[i] as number,
        entry,
        this.#low[i] as number,
        this.#high[i] as number,
        rate,
      );
    }
  }
}

const noBytes = new Uint8Array(0);
const noHead = new RequestHead();

/** Which bits of an address count is part of what a limit of clients is. */
function prefixes(service: LimitedService, per: L7RateLimit['per']): readonly number[] {
  return per.kind === 'client-address' ? [service.clientPrefix, service.clientPrefix6] : [];
}
