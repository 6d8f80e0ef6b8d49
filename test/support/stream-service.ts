/**
 * Services, pools and members for the stream engine without a compiler, a balancer or shared memory:
 * members in turn, as many connections each as told, a queue that is an array.
 */
import { Deadlines } from '../../appliance/l7/http/deadlines.js';
import type { ConnectionHandler } from '../../appliance/l7/ring/handler.js';
import type { WorkerLoop } from '../../appliance/l7/ring/worker-loop.js';
import { ClientHello } from '../../appliance/l7/routing/client-hello.js';
import { StreamEngine } from '../../appliance/l7/stream/engine.js';
import type { StreamObserver } from '../../appliance/l7/stream/observer.js';
import type {
  StreamLimits,
  StreamMember,
  StreamPool,
  StreamQueue,
  StreamSticky,
} from '../../appliance/l7/stream/runtime.js';
import { StreamService } from '../../appliance/l7/stream/service.js';
import type {
  L7Conditions,
  L7Pool,
  L7Route,
  L7Service,
  L7Timeouts,
} from '../../appliance/l7/tables.js';
import { loopback } from './ring-driver.js';

export interface StreamServiceOptions {
  /** Pools by name, each with the ports of its members. */
  readonly pools: Readonly<Record<string, readonly number[]>>;
  /** By default one that takes everything to the first pool. */
  readonly routes?: readonly {
    readonly hosts?: readonly string[];
    readonly sources?: readonly string[];
    readonly pool: string;
  }[];
  readonly service?: Partial<L7Service>;
  readonly timeouts?: Partial<L7Timeouts>;
  readonly pool?: Partial<L7Pool>;
  /** Connections that a member takes at a time. */
  readonly most?: number;
  readonly sticky?: StreamSticky;
  readonly limits?: StreamLimits;
}

export class PlainMember implements StreamMember {
  readonly id: string;
  readonly key: string;
  readonly host = '127.0.0.1';
  readonly address: Uint8Array;
  active = 0;
  failures = 0;
  bytes = 0;

  constructor(pool: string, port: number) {
    this.key = String(port);
    this.id = `${pool}/${this.key}`;
    this.address = loopback(port);
  }
  transferred(_now: number, bytes: number): void {
    this.bytes += bytes;
  }
  end(_now: number, _micros: number, bytes: number, failed: boolean): void {
    this.active -= 1;
    this.bytes += bytes;
    if (failed) this.failures += 1;
  }
}

class PlainQueue implements StreamQueue {
  readonly #clients: number[] = [];
  constructor(private readonly limit: number) {}
  get length(): number {
    return this.#clients.length;
  }
  push(client: number): boolean {
    return this.#clients.length < this.limit && this.#clients.push(client) > 0;
  }
  remove(client: number): boolean {
    const at = this.#clients.indexOf(client);
    return at >= 0 && this.#clients.splice(at, 1).length > 0;
  }
  first(): number {
    return this.#clients[0] ?? -1;
  }
}

export class PlainPool implements StreamPool {
  full = false;
  readonly waiting: PlainQueue;
  readonly members: readonly PlainMember[];
  #turn = 0;

  constructor(
    readonly pool: L7Pool,
    ports: readonly number[],
    private readonly most: number,
  ) {
    this.waiting = new PlainQueue(pool.queue);
    this.members = ports.map((port) => new PlainMember(pool.name, port));
  }

  tlsTo(): null {
    return null;
  }

  pick(_hash: number, _now: number, tried: StreamMember | null): PlainMember | null {
    const { members, most } = this;
    for (let i = 0; i < members.length; i += 1) {
      const member = members[this.#turn++ % members.length];
      if (member === undefined || (member === tried && members.length > 1)) continue;
      if (this.take(member)) return member;
    }
    this.full = members.some(({ active }) => active >= most);
    return null;
  }

  take(member: PlainMember): boolean {
    if (member.active >= this.most) return false;
    member.active += 1;
    return true;
  }
}

const defaultTimeouts: L7Timeouts = {
  head: 10_000,
  idle: 10_000,
  keepAlive: 10_000,
  slowestBody: 0,
  connect: 10_000,
  response: 10_000,
  queue: 10_000,
  tunnel: 60_000,
};

const defaultService: L7Service = {
  name: 'streams',
  address: '127.0.0.1',
  port: 80,
  protocol: 'tcp',
  routes: [],
  persistence: null,
  limits: [],
  connections: 0,
  connectionsPerClient: 0,
  clientPrefix: 32,
  clientPrefix6: 64,
  timeouts: defaultTimeouts,
  maxBody: 0,
  maxHead: 16_384,
  maxFields: 100,
  proxyProtocol: 'off',
  forward: {
    forwardedFor: 'keep',
    forwardedOthers: 'keep',
    forwarded: 'keep',
    via: null,
    certificate: 'remove',
    requestId: null,
    upgrade: 'none',
  },
  compression: null,
  accessLog: null,
  serverTiming: false,
  tls: null,
};

const defaultPool: L7Pool = {
  name: '',
  algorithm: 'round-robin',
  hash: 'source',
  members: [],
  whenDown: 'reset',
  queue: 0,
  idleConnections: 0,
  idleTimeout: 0,
  requestsPerConnection: 0,
  retries: 2,
  proxyProtocol: 'off',
  ejection: null,
  tls: null,
};

export function streamRoute(
  name: string,
  pool: string,
  conditions: Pick<Partial<L7Conditions>, 'hosts' | 'sources'> = {},
): L7Route {
  return {
    name,
    when: {
      hosts: conditions.hosts ?? null,
      paths: null,
      methods: null,
      headers: [],
      query: [],
      cookies: [],
      sources: conditions.sources ?? null,
    },
    action: {
      kind: 'pools',
      pools: [{ pool, weight: 1 }],
      rewrite: null,
      host: null,
      mirror: null,
    },
    requestEdits: [],
    responseEdits: [],
    limits: [],
  };
}

export interface PlainService {
  readonly service: StreamService;
  readonly pools: ReadonlyMap<string, PlainPool>;
}

export function plainService(options: StreamServiceOptions): PlainService {
  const pools = new Map(
    Object.entries(options.pools).map(([name, ports]) => [
      name,
      new PlainPool({ ...defaultPool, ...options.pool, name }, ports, options.most ?? Infinity),
    ]),
  );
  const [first = ''] = pools.keys();
  const routes = (options.routes ?? [{ pool: first }]).map((route, index) =>
    streamRoute(String(index + 1), route.pool, route),
  );
  const service = new StreamService(
    {
      ...defaultService,
      routes,
      ...options.service,
      timeouts: { ...defaultTimeouts, ...options.timeouts },
    },
    {
      pool: (name) => pools.get(name),
      sticky: options.sticky ?? null,
      limits: options.limits ?? null,
      secure: null,
    },
  );
  return { service, pools };
}

export interface StreamHandler {
  readonly engine: StreamEngine;
  readonly handler: ConnectionHandler;
  /** Slots that connect() gave and that are not yet closed. */
  readonly claimed: ReadonlySet<number>;
}

/**
 * The engine as the only one of a loop, whose timers are one for each slot and one more. `service` is
 * asked for each client.
 */
export function streamHandler(
  loop: WorkerLoop,
  service: (listener: number) => StreamService,
  parts: { readonly observer?: StreamObserver; onDrained?(): void } = {},
): StreamHandler {
  const slots = loop.connections.slots.count;
  const claimed = new Set<number>();
  const engine = new StreamEngine({
    connections: loop.connections,
    timers: loop,
    deadlines: new Deadlines(loop, slots),
    queueTimer: slots,
    claim: (slot) => claimed.add(slot),
    newHello: () => new ClientHello(),
    ...parts,
  });
  const handler: ConnectionHandler = {
    onAccept: (slot, listener) => engine.accept(slot, service(listener)),
    onConnect: (slot, errno) => engine.onConnect(slot, errno),
    onData: (slot, buffer) => engine.onData(slot, buffer),
    onEnd: (slot, errno) => engine.onEnd(slot, errno),
    onSent: (slot, bytes) => engine.onSent(slot, bytes),
    onSendError: (slot, errno) => engine.onSendError(slot, errno),
    onFinished: (slot) => engine.onFinished(slot),
    onClosed: (slot) => {
      engine.onClosed(slot);
      claimed.delete(slot);
    },
    room: (slot) => engine.room(slot),
    bulk: (slot) => engine.bulk(slot),
    quiet: (slot) => engine.quiet(slot),
    onTimer: (timer) => engine.onTimer(timer),
    onWake: () => {
      throw new Error('nobody wakes this loop');
    },
    onAcceptError: (_listener, errno) => {
      throw new Error(`accepting fails with errno ${errno}`);
    },
  };
  return { engine, handler, claimed };
}
