/**
 * A service of `protocol: tcp` or `tls` in the form in which it is carried out; made once for each
 * snapshot.
 */
import { writeAddress } from '../http1/proxy-protocol.js';
import type { L7Route, L7Service } from '../tables.js';
import type { ServerSide } from '../tls/sides.js';
import { Endpoint } from '../endpoint.js';
import { Router } from '../routing/router.js';
import { WeightedChoice } from '../routing/weighted-choice.js';
import type { StreamLimits, StreamPool, StreamSticky } from './runtime.js';

export interface StreamServiceParts {
  /** A pool of the snapshot, by name. */
  pool(name: string): StreamPool | undefined;
  /** Null: nothing keeps clients at their member; nothing is limited. */
  readonly sticky: StreamSticky | null;
  readonly limits: StreamLimits | null;
  /** TLS of clients ends here; null: it does not. */
  readonly secure: ServerSide | null;
}

/** The pools of a route, and how they share its connections. */
interface Shared {
  readonly pools: readonly StreamPool[];
  readonly choice: WeightedChoice;
}

function sharedBy(route: L7Route, parts: StreamServiceParts): Shared {
  const all = route.action.kind === 'pools' ? route.action.pools : [];
  const pools = all.filter(({ weight }) => weight > 0);
  return {
    pools: pools.map(({ pool: name }) => {
      const pool = parts.pool(name);
      if (pool === undefined) {
        throw new Error(`route ${route.name} leads to an unknown pool ${name}`);
      }
      return pool;
    }),
    choice: new WeightedChoice(pools.map(({ weight }) => weight)),
  };
}

export class StreamService {
  readonly sticky: StreamSticky | null;
  readonly limits: StreamLimits | null;
  /** Of the hello the name is read, and TLS passed through. */
  readonly tls: boolean;
  readonly secure: ServerSide | null;
  /** Where clients connect to, unless a PROXY header knows better. */
  readonly destination = new Endpoint();
  readonly #router: Router;
  readonly #shares: readonly Shared[];

  constructor(
    readonly service: L7Service,
    parts: StreamServiceParts,
  ) {
    this.sticky = parts.sticky;
    this.limits = parts.limits;
    this.tls = service.protocol === 'tls';
    this.secure = parts.secure;
    const address = new Uint8Array(16);
    writeAddress(address, service.address);
    this.destination.set(address, 0, service.address.includes(':') ? 6 : 4, service.port);
    this.#router = new Router(service);
    this.#shares = service.routes.map((route) => sharedBy(route, parts));
  }

  /** Number of the route; -1: none. */
  find(name: string, client: Endpoint): number {
    const bytes = Buffer.from(name, 'latin1');
    return this.#router.findName(bytes, 0, bytes.length, client);
  }

  /** One of the route's pools, for a number below 2^32; null: it has none. */
  poolFor(route: number, number: number): StreamPool | null {
    const shares = this.#shares[route];
    if (shares === undefined) return null;
    return shares.pools[shares.choice.pick(number)] ?? null;
  }
}
