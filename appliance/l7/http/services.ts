/**
 * From a snapshot's tables to what the engine carries out: services with their routes, limits and
 * pools. Made when a snapshot comes; nothing here runs for a request but what forwards to its parts.
 */
import { randomFillSync } from 'node:crypto';
import { Balancer, type BalancerOptions } from '../balance/balancer.js';
import type { BalanceMemory } from '../balance/memory.js';
import type { Members, MemberState } from '../balance/members.js';
import type { Chooser, Choosers } from '../balance/persistence.js';
import type { ClientAddress } from '../client-address.js';
import { availableCodings } from '../compress/codecs.js';
import { CompressionPlan } from '../compress/plan.js';
import { Edits } from '../http1/edits.js';
import type { Fault } from '../http1/faults.js';
import type { FieldSection } from '../http1/fields.js';
import { defaultLimits, type Limits } from '../http1/limits.js';
import type { RequestHead } from '../http1/request-head.js';
import { RequestIds } from '../http1/request-id.js';
import { RequestPlan } from '../http1/rewrite-request.js';
import { ResponsePlan } from '../http1/rewrite-response.js';
import type { Writer } from '../http1/writer.js';
import { ConnectionRule, type ConnectionLimits } from '../limits/connection-limits.js';
import type { TokenBuckets } from '../limits/buckets.js';
import { Limiter } from '../limits/limiter.js';
import { FixedAnswer, type HttpDate, RedirectTemplate } from '../routing/answers.js';
import { Rewrite } from '../routing/rewrite.js';
import { Router } from '../routing/router.js';
import { WeightedChoice } from '../routing/weighted-choice.js';
import type { Snapshot } from '../snapshot.js';
import type { L7Pool, L7Route, L7Service } from '../tables.js';
import { rowName } from '../telemetry/row-registry.js';
import type { PoolTls, TlsSides } from '../tls/services.js';
import type { ClientSide, ServerSide } from '../tls/sides.js';
import { Heads, type HttpPool, type HttpRoute, type HttpService } from './runtime.js';
import { WaitingList } from './waiting.js';

/** What a worker has for all its services. */
export interface ServiceParts {
  readonly members: Members;
  readonly choosers: Choosers;
  readonly buckets: TokenBuckets;
  readonly connections: ConnectionLimits;
  readonly balancing: Omit<BalancerOptions, 'row'>;
  /** Set once a second. */
  readonly date: HttpDate;
  readonly tls: TlsSides;
  /** The worker's number, for request ids. */
  readonly worker: number;
}

/** Balancers by pool and port: a member without a port of its own has its service's. */
export class Balancers {
  readonly #made = new Map<string, Balancer>();

  /** `before`: of the last snapshot, of which tables that did not change are taken. */
  constructor(
    private readonly snapshot: Snapshot,
    private readonly parts: ServiceParts,
    private before: Balancers | null = null,
  ) {}

  /** All are made: the last snapshot can be forgotten. */
  forget(): void {
    this.before = null;
  }

  /** Throws RangeError for a pool that the snapshot has not. */
  of(name: string, servicePort: number): Balancer {
    const pool = this.snapshot.pools.get(name);
    if (pool === undefined) throw new RangeError(`the snapshot has no pool ${name}`);
    const port = pool.members.some((member) => member.port === 0) ? servicePort : 0;
    const key = `${port} ${name}`;
    let balancer = this.#made.get(key);
    if (balancer === undefined) {
      balancer = this.#make(pool, servicePort, this.before?.made(key) ?? null);
      this.#made.set(key, balancer);
    }
    return balancer;
  }

  made(key: string): Balancer | null {
    return this.#made.get(key) ?? null;
  }

  get all(): IterableIterator<Balancer> {
    return this.#made.values();
  }

  #make(pool: L7Pool, servicePort: number, previous: Balancer | null): Balancer {
    const { members, balancing } = this.parts;
    const { rows } = this.snapshot;
    const states = pool.members.map((member) =>
      members.of(
        member,
        member.port === 0 ? servicePort : member.port,
        rows.get(rowName.member(member.id)) ?? 0,
      ),
    );
    const row = rows.get(rowName.pool(pool.name)) ?? 0;
    return new Balancer(pool, states, { ...balancing, row, previous });
  }
}

class BalancedPool implements HttpPool {
  readonly pool: L7Pool;
  readonly waiting: WaitingList;

  /** `row`: of the pool in shared memory, for the places in its queue. */
  constructor(
    private readonly chooser: Chooser,
    memory: BalanceMemory,
    row: number,
    private readonly tls: PoolTls | null,
  ) {
    const { pool } = chooser.balancer;
    this.pool = pool;
    const waiting = memory.waitingRow(row);
    this.waiting = new WaitingList({
      take: () => pool.queue > 0 && memory.add(waiting, pool.queue),
      give: () => {
        memory.subtract(waiting);
      },
    });
  }

  tlsTo(member: MemberState): ClientSide | null {
    return this.tls?.side(member) ?? null;
  }

  get full(): boolean {
    return this.chooser.balancer.full;
  }

  get setCookie(): Uint8Array | null {
    return this.chooser.setCookie;
  }

  choose(
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
    hash: number,
    now: number,
    tried: MemberState | null,
  ): MemberState | null {
    return this.chooser.choose(head, bytes, client, hash, now, tried);
  }

  answered(answer: FieldSection, bytes: Uint8Array, now: number, member: MemberState): void {
    this.chooser.answered(answer, bytes, now, member);
  }

  hide(head: RequestHead, bytes: Uint8Array): void {
    this.chooser.hide(head, bytes);
  }
}

const noBody = new Uint8Array(0);

class CompiledRoute implements HttpRoute {
  readonly request: RequestPlan;
  readonly response: ResponsePlan;
  readonly rewrite: Rewrite | null;
  readonly status: number;
  readonly #redirect: RedirectTemplate | null = null;
  readonly #fixed: FixedAnswer | null = null;
  readonly #pools: readonly HttpPool[];
  readonly #choice: WeightedChoice;
  readonly #mirror: HttpPool | null = null;
  readonly #mirrorEnd: number = 0;
  /** For shares and mirrors: xorshift32, since clients' addresses would give each client one pool. */
  readonly #random: Int32Array;

  constructor(
    readonly route: L7Route,
    service: L7Service,
    pool: (name: string) => HttpPool,
    seed: number,
    private readonly router: Router,
    private readonly date: HttpDate,
  ) {
    const { action } = route;
    const { forward } = service;
    this.request = new RequestPlan({
      forwardedFor: forward.forwardedFor,
      forwardedOthers: forward.forwardedOthers,
      forwarded: forward.forwarded,
      via: forward.via,
      certificate: forward.certificate,
      requestId: forward.requestId,
      upgrade: forward.upgrade,
      fallbackHost: hostOf(service),
      edits: new Edits(route.requestEdits),
    });
    const edits = new Edits(route.responseEdits);
    this.response = new ResponsePlan({ via: forward.via, edits });
    this.rewrite = Rewrite.of(route);
    this.status = action.kind === 'pools' ? 0 : action.status;
    if (action.kind === 'redirect') {
      this.#redirect = new RedirectTemplate(action.to, action.status, service.address, edits);
    } else if (action.kind === 'respond') this.#fixed = new FixedAnswer(action, edits);
    this.#random = Int32Array.of(seed | 1);
    const all = action.kind === 'pools' ? action.pools : [];
    const pools = all.filter(({ weight }) => weight > 0);
    this.#pools = pools.map(({ pool: name }) => pool(name));
    this.#choice = new WeightedChoice(pools.map(({ weight }) => weight));
    if (action.kind === 'pools' && action.mirror !== null) {
      this.#mirror = pool(action.mirror.pool);
      this.#mirrorEnd = (action.mirror.percent / 100) * 2 ** 32;
    }
  }

  writeAnswer(writer: Writer, head: RequestHead, bytes: Uint8Array, persistent: boolean): void {
    const { date, router } = this;
    this.#redirect?.write(writer, head, bytes, router.parts, persistent, date);
    this.#fixed?.writeHead(writer, head, persistent, date);
  }

  bodyFor(head: RequestHead): Uint8Array {
    return this.#fixed?.bodyFor(head) ?? noBody;
  }

  poolFor(): HttpPool | null {
    const pools = this.#pools;
    if (pools.length === 0) return null;
    return pools[this.#choice.pick(pools.length === 1 ? 0 : this.#draw())] ?? null;
  }

  mirrorFor(): HttpPool | null {
    return this.#mirror !== null && this.#draw() < this.#mirrorEnd ? this.#mirror : null;
  }

  #draw(): number {
    let x = this.#random[0] as number;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random[0] = x;
    return x >>> 0;
  }
}

/** Without the port that the scheme has by itself (RFC 9110 §4.2). */
function hostOf({ address, port, tls }: L7Service): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return port === (tls === null ? 80 : 443) ? host : `${host}:${port}`;
}

class CompiledService implements HttpService {
  readonly ids: RequestIds | null;
  readonly routes: readonly HttpRoute[];
  readonly compression: CompressionPlan | null;
  readonly tls: ServerSide | null;
  readonly #router: Router;
  readonly #limiter: Limiter;
  readonly #rule: ConnectionRule;
  readonly #connections: ConnectionLimits;

  constructor(
    readonly service: L7Service,
    readonly heads: Heads,
    parts: ServiceParts,
    balancer: (pool: string) => Balancer,
    unit: string,
    rows: ReadonlyMap<string, number>,
  ) {
    const named = new Set(
      service.routes.flatMap(({ action }) =>
        action.kind === 'pools' ? action.pools.map(({ pool }) => pool) : [],
      ),
    );
    const pools = new Map<string, HttpPool>();
    const pool = (name: string): HttpPool => {
      let made = pools.get(name);
      if (made === undefined) {
        // A copy of a request sticks to nobody.
        const persistence = named.has(name) ? service.persistence : null;
        const several = named.size > 1;
        made = new BalancedPool(
          parts.choosers.of(service.name, persistence, balancer(name), several),
          parts.balancing.memory,
          rows.get(rowName.pool(name)) ?? 0,
          parts.tls.pool(name),
        );
        pools.set(name, made);
      }
      return made;
    };
    const seeds = randomFillSync(new Uint32Array(service.routes.length + 4));
    const router = new Router(service);
    this.#router = router;
    const { date } = parts;
    this.routes = service.routes.map(
      (route, index) =>
        new CompiledRoute(route, service, pool, seeds[index + 4] ?? 1, router, date),
    );
    this.compression =
      service.compression === null
        ? null
        : new CompressionPlan(service.compression, availableCodings());
    this.#limiter = new Limiter(parts.buckets, service, (when) => this.#router.conditionOf(when));
    this.#rule = new ConnectionRule(service, parts.buckets.seedLow, parts.buckets.seedHigh);
    this.#connections = parts.connections;
    this.tls = parts.tls.service(service.name);
    const { requestId } = service.forward;
    this.ids =
      requestId === null
        ? null
        : new RequestIds(requestId.format, seeds, { unit, worker: parts.worker });
  }

  get fault(): Fault | null {
    return this.#router.fault;
  }

  find(head: RequestHead, bytes: Uint8Array, client: ClientAddress): number {
    return this.#router.find(head, bytes, client);
  }

  enter(slot: number, client: ClientAddress): boolean {
    return this.#connections.enter(slot, this.#rule, client);
  }

  leave(slot: number): void {
    this.#connections.leave(slot);
  }

  limit(
    route: number,
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
    now: number,
  ): number {
    return this.#limiter.take(route, head, bytes, client, now);
  }
}

/** Makes services, and keeps what may be kept from one snapshot to the next. */
export class HttpServices {
  readonly #heads = new Map<string, Heads>();

  constructor(private readonly parts: ServiceParts) {}

  /** The services of `protocol: http`, by name. */
  of(snapshot: Snapshot, balancers: Balancers): Map<string, HttpService> {
    const services = new Map<string, HttpService>();
    for (const [name, service] of snapshot.services) {
      if (service.protocol !== 'http') continue;
      services.set(
        name,
        new CompiledService(
          service,
          this.#headsOf(service),
          this.parts,
          (pool) => balancers.of(pool, service.port),
          snapshot.unit.name,
          snapshot.rows,
        ),
      );
    }
    return services;
  }

  #headsOf({ maxHead, maxFields, maxBody }: L7Service): Heads {
    const key = `${maxHead} ${maxFields} ${maxBody}`;
    let heads = this.#heads.get(key);
    if (heads === undefined) {
      const limits: Limits = Object.freeze({
        ...defaultLimits,
        line: Math.min(defaultLimits.line, maxHead),
        head: maxHead,
        fields: maxFields,
        body: maxBody === 0 ? defaultLimits.body : maxBody,
      });
      heads = new Heads(limits);
      this.#heads.set(key, heads);
    }
    return heads;
  }
}
