/**
 * Which route of a service takes a request: the first whose conditions hold.
 *
 * Host and path are looked up, so that what it costs depends on the routes that could take this
 * request and not on how many there are. Lists are visited in any order; the lowest route that
 * holds is kept, and of each list only what stands before it is asked.
 *
 * Invariant: the answer is that of asking `Conditions.hold` one route after the other.
 * Nothing is allocated for a request.
 */
import type { ClientAddress } from '../client-address.js';
import type { Fault } from '../http1/faults.js';
import { SLASH } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { L7Conditions, L7Service } from '../tables.js';
import { Conditions } from './conditions.js';
import { hashOctet } from './name-table.js';
import { RequestParts } from './request-parts.js';
import { RouteIndex, type HostGroup, type PathNode } from './route-index.js';

export const NO_ROUTE = -1;
/** The path cannot be compared safely: `fault` says why. */
export const PATH_REFUSED = -2;

const DOT = 0x2e;

export class Router {
  /** Of the request of the last `find`. */
  readonly parts = new RequestParts();
  fault: Fault | null = null;
  private readonly count: number;
  private readonly conditions: readonly (Conditions | null)[];
  private readonly index: RouteIndex;
  private best = 0;

  /** Throws RegexError or RangeError for what the configuration's checks refuse. */
  constructor(service: Pick<L7Service, 'routes'>) {
    this.count = service.routes.length;
    this.conditions = service.routes.map(({ when }) =>
      when === null ? null : new Conditions(when),
    );
    this.index = new RouteIndex(service.routes);
  }

  /** Index of the route in service.routes, NO_ROUTE or PATH_REFUSED. */
  find(head: RequestHead, bytes: Uint8Array, client: ClientAddress): number {
    const parts = this.parts;
    if (!parts.begin(head, bytes)) {
      this.fault = parts.fault;
      return PATH_REFUSED;
    }
    this.fault = null;
    this.best = this.count;
    const { index } = this;
    const { host, hostEnd } = parts;
    let hash = 0;
    for (let at = hostEnd - 1; at >= 0; at -= 1) {
      if (host[at] === DOT && at > 0 && index.hasWildcards) {
        this.visit(this.groupOf(1, hash, at + 1), head, bytes, client);
      }
      hash = hashOctet(hash, host[at] ?? 0);
    }
    this.visit(this.groupOf(0, hash, 0), head, bytes, client);
    this.visit(index.anyHost, head, bytes, client);
    return this.best === this.count ? NO_ROUTE : this.best;
  }

  /**
   * The same for a connection that has no request, by the name in [start, end) that it asks for
   * (TLS, maybe empty) and its source alone.
   */
  findName(bytes: Uint8Array, start: number, end: number, client: ClientAddress): number {
    const parts = this.parts;
    parts.beginName(bytes, start, end);
    this.best = this.count;
    const { index } = this;
    const { host, hostEnd } = parts;
    let hash = 0;
    for (let at = hostEnd - 1; at >= 0; at -= 1) {
      if (host[at] === DOT && at > 0 && index.hasWildcards) {
        this.visitConnections(this.groupOf(1, hash, at + 1), client);
      }
      hash = hashOctet(hash, host[at] ?? 0);
    }
    this.visitConnections(this.groupOf(0, hash, 0), client);
    this.visitConnections(index.anyHost, client);
    return this.best === this.count ? NO_ROUTE : this.best;
  }

  /** Conditions that share what `find` made of the request: to be asked after it. */
  conditionOf(when: L7Conditions): BoundConditions {
    return new BoundConditions(new Conditions(when), this.parts);
  }

  /** The group of the host from `start` on: exact (0), or what follows "*." (1). */
  private groupOf(owner: number, hash: number, start: number): HostGroup | undefined {
    const { host, hostEnd } = this.parts;
    const number = this.index.hosts.find(owner, hash, host, start, hostEnd);
    return number < 0 ? undefined : this.index.groups[number];
  }

  private visit(
    group: HostGroup | undefined,
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
  ): void {
    if (group === undefined) return;
    this.scan(group.any, head, bytes, client);
    if (this.parts.path[0] === SLASH && this.parts.pathEnd > 0) {
      this.walk(group.root, 1, head, bytes, client);
    }
    const list = group.regex;
    for (let i = 0; i < list.length; i += 1) {
      const route = list[i] ?? 0;
      if (route >= this.best) break;
      const conditions = this.conditions[route];
      if (
        conditions?.restHolds(head, bytes, client, this.parts) === true &&
        conditions.regexHolds(this.parts)
      ) {
        this.best = route;
      }
    }
  }

  private visitConnections(group: HostGroup | undefined, client: ClientAddress): void {
    if (group === undefined) return;
    const list = group.connections;
    for (let i = 0; i < list.length; i += 1) {
      const route = list[i] ?? 0;
      if (route >= this.best) return;
      if (this.conditions[route]?.sourceHolds(client) !== false) this.best = route;
    }
  }

  /** Visits the nodes that the segments from `p` on lead to; after the end: no segment is left. */
  private walk(
    node: PathNode,
    p: number,
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
  ): void {
    this.scan(node.deep, head, bytes, client);
    const { path, pathEnd } = this.parts;
    if (p > pathEnd) {
      this.scan(node.here, head, bytes, client);
      return;
    }
    let q = p;
    let hash = 0;
    while (q < pathEnd && path[q] !== SLASH) {
      hash = hashOctet(hash, path[q] ?? 0);
      q += 1;
    }
    const number = this.index.segments.find(node.number, hash, path, p, q);
    const child = number < 0 ? undefined : this.index.children[number];
    if (child !== undefined) this.walk(child, q + 1, head, bytes, client);
    if (node.star !== null && q > p) this.walk(node.star, q + 1, head, bytes, client);
  }

  private scan(
    list: Int32Array,
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
  ): void {
    for (let i = 0; i < list.length; i += 1) {
      const route = list[i] ?? 0;
      if (route >= this.best) return;
      const conditions = this.conditions[route] ?? null;
      if (conditions === null || conditions.restHolds(head, bytes, client, this.parts)) {
        this.best = route;
        return;
      }
    }
  }
}

/** Conditions of a limit, asked for the request that its router looked at last. */
export class BoundConditions {
  constructor(
    private readonly conditions: Conditions,
    private readonly parts: RequestParts,
  ) {}

  hold(head: RequestHead, bytes: Uint8Array, client: ClientAddress): boolean {
    return this.conditions.hold(head, bytes, client, this.parts);
  }
}
