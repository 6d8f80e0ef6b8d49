/**
 * From a snapshot's tables to what the stream engine carries out: the balancers, persistence and limits
 * that HTTP has, for connections.
 */
import type { Balancer } from '../balance/balancer.js';
import type { MemberState } from '../balance/members.js';
import type { Chooser } from '../balance/persistence.js';
import { type WaitingLinks, WaitingQueue } from '../balance/waiting-queue.js';
import type { ClientAddress } from '../client-address.js';
import type { Balancers, ServiceParts } from '../http/services.js';
import { ConnectionRule } from '../limits/connection-limits.js';
import { Limiter } from '../limits/limiter.js';
import { Router } from '../routing/router.js';
import type { Snapshot } from '../snapshot.js';
import type { StreamLimits, StreamPool, StreamSticky } from '../stream/runtime.js';
import { StreamService } from '../stream/service.js';
import type { L7Pool, L7Route, L7Service } from '../tables.js';
import { rowName } from '../telemetry/row-registry.js';
import type { PoolTls } from '../tls/services.js';
import type { ClientSide } from '../tls/sides.js';

const noBytes = new Uint8Array(0);

class BalancedStreams implements StreamPool {
  readonly pool: L7Pool;
  readonly waiting: WaitingQueue;

  constructor(
    readonly chooser: Chooser,
    parts: ServiceParts,
    links: WaitingLinks,
    row: number,
    private readonly tls: PoolTls | null,
  ) {
    this.pool = chooser.balancer.pool;
    this.waiting = new WaitingQueue(parts.balancing.memory, links, row, this.pool.queue);
  }

  tlsTo(member: MemberState): ClientSide | null {
    return this.tls?.side(member) ?? null;
  }

  get full(): boolean {
    return this.chooser.balancer.full;
  }

  pick(hash: number, now: number, tried: MemberState | null): MemberState | null {
    return this.chooser.balancer.pick(hash, now, tried);
  }
}

/** Clients stick to members by their address; each pool has its own memory of them. */
class Sticky implements StreamSticky {
  find(client: ClientAddress, pool: StreamPool, now: number): MemberState | null {
    if (!(pool instanceof BalancedStreams)) return null;
    const { chooser } = pool;
    const member = chooser.lookup(null, noBytes, client, now);
    return member !== null && chooser.balancer.take(member, now) ? member : null;
  }

  learn(client: ClientAddress, pool: StreamPool, member: MemberState, now: number): void {
    if (pool instanceof BalancedStreams) pool.chooser.learn(null, noBytes, client, now, member);
  }
}

class Limits implements StreamLimits {
  readonly #rule: ConnectionRule;
  readonly #limiter: Limiter;

  constructor(
    service: L7Service,
    private readonly parts: ServiceParts,
  ) {
    const { buckets } = parts;
    this.#rule = new ConnectionRule(service, buckets.seedLow, buckets.seedHigh);
    const router = new Router(service);
    this.#limiter = new Limiter(buckets, service, (when) => router.conditionOf(when));
  }

  enter(client: number, address: ClientAddress): boolean {
    return this.parts.connections.enter(client, this.#rule, address);
  }

  leave(client: number): void {
    this.parts.connections.leave(client);
  }

  allow(_route: L7Route, address: ClientAddress, _name: string, now: number): boolean {
    return this.#limiter.takeConnection(address, now) === 0;
  }
}

/** The services of `protocol: tcp` and `tls`, by name. */
export function streamServices(
  snapshot: Snapshot,
  balancers: Balancers,
  parts: ServiceParts,
  links: WaitingLinks,
): Map<string, StreamService> {
  const services = new Map<string, StreamService>();
  for (const [name, service] of snapshot.services) {
    if (service.protocol === 'http') continue;
    const pools = new Map<string, BalancedStreams>();
    const balancerOf = (pool: string): Balancer => balancers.of(pool, service.port);
    services.set(
      name,
      new StreamService(service, {
        pool(of) {
          let made = pools.get(of);
          if (made === undefined) {
            const chooser = parts.choosers.of(name, service.persistence, balancerOf(of), true);
            const row = snapshot.rows.get(rowName.pool(of)) ?? 0;
            made = new BalancedStreams(chooser, parts, links, row, parts.tls.pool(of));
            pools.set(of, made);
          }
          return made;
        },
        sticky: service.persistence === null ? null : new Sticky(),
        limits: new Limits(service, parts),
        secure: parts.tls.service(name),
      }),
    );
  }
  return services;
}
