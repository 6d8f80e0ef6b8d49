/**
 * A service of `protocol: tcp` or `tls` in the form in which it is carried out; made once for each
 * snapshot.
 */
import { writeAddress } from '../http1/proxy-protocol.js';
import type { L7Route, L7Service } from '../tables.js';
import { Endpoint } from '../endpoint.js';
import { StreamRoutes } from './routes.js';
import type { StreamLimits, StreamPool, StreamSticky } from './runtime.js';

export interface StreamServiceParts {
  /** A pool of the snapshot, by name. */
  pool(name: string): StreamPool | undefined;
  /** Null: nothing keeps clients at their member; nothing is limited. */
  readonly sticky: StreamSticky | null;
  readonly limits: StreamLimits | null;
}

interface Share {
  readonly pool: StreamPool;
  /** Up to here, of all numbers below 2^32, they are this pool's. */
  readonly end: number;
}

/** The pools of a route, each with its part of the numbers below 2^32. */
function sharesOf(route: L7Route, parts: StreamServiceParts): readonly Share[] {
  if (route.action.kind !== 'pools') return [];
  const pools = route.action.pools.filter(({ weight }) => weight > 0);
  const all = pools.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  return pools.map(({ pool: name, weight }) => {
    const pool = parts.pool(name);
    if (pool === undefined) throw new Error(`route ${route.name} leads to an unknown pool ${name}`);
    sum += weight;
    return { pool, end: (sum / all) * 2 ** 32 };
  });
}

export class StreamService {
  readonly sticky: StreamSticky | null;
  readonly limits: StreamLimits | null;
  readonly tls: boolean;
  /** Where clients connect to, unless a PROXY header knows better. */
  readonly destination = new Endpoint();
  readonly #routes: StreamRoutes;
  readonly #shares: readonly (readonly Share[])[];

  constructor(
    readonly service: L7Service,
    parts: StreamServiceParts,
  ) {
    this.sticky = parts.sticky;
    this.limits = parts.limits;
    this.tls = service.protocol === 'tls';
    const address = new Uint8Array(16);
    writeAddress(address, service.address);
    this.destination.set(address, 0, service.address.includes(':') ? 6 : 4, service.port);
    this.#routes = new StreamRoutes(service.routes);
    this.#shares = service.routes.map((route) => sharesOf(route, parts));
  }

  /** Number of the route; -1: none. */
  find(name: string, client: Endpoint): number {
    return this.#routes.find(name, client);
  }

  /** One of the route's pools, for a number below 2^32; null: it has none. */
  poolFor(route: number, number: number): StreamPool | null {
    const shares = this.#shares[route];
    if (shares === undefined) return null;
    for (const share of shares) if (number < share.end) return share.pool;
    return null;
  }
}
