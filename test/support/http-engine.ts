/**
 * The HTTP engine in the test's own process, with whatever members a test gives it: real sockets, the
 * pool that records owners, no daemon.
 *
 * Invariant: end() fails when a buffer, a kept request or an exchange is still somebody's.
 */
import { HttpEngine } from '../../appliance/l7/http/engine.js';
import type { Binding } from '../../appliance/l7/http/client-connection.js';
import type { Exchange } from '../../appliance/l7/http/exchange.js';
import type { EndReason, HttpObserver } from '../../appliance/l7/http/observer.js';
import {
  Heads,
  type HttpMember,
  type HttpPool,
  type HttpRoute,
  type HttpService,
} from '../../appliance/l7/http/runtime.js';
import { defaultLimits, type Limits } from '../../appliance/l7/http1/limits.js';
import {
  defaultRequestRules,
  RequestPlan,
  type RequestRules,
} from '../../appliance/l7/http1/rewrite-request.js';
import { ResponsePlan } from '../../appliance/l7/http1/rewrite-response.js';
import { availableCodings } from '../../appliance/l7/compress/codecs.js';
import { CompressionPlan } from '../../appliance/l7/compress/plan.js';
import { WaitingList, type WaitingPlaces } from '../../appliance/l7/http/waiting.js';
import type { ConnectionHandler } from '../../appliance/l7/ring/handler.js';
import type { ServerSide } from '../../appliance/l7/tls/sides.js';
import { TlsEngine } from '../../native/ffi/tls-engine.js';
import { TlsTransport } from '../../appliance/l7/tls/transport.js';
import type { L7Pool, L7Service, L7Timeouts } from '../../appliance/l7/tables.js';
import { poolWith, serviceAt, timeouts } from './l7-tables.js';
import { type DriverOptions, loopback, RingDriver } from './ring-driver.js';

export interface EngineOptions {
  readonly ports: readonly number[];
  readonly pool?: Partial<L7Pool>;
  readonly service?: Partial<L7Service>;
  readonly timeouts?: Partial<L7Timeouts>;
  readonly rules?: Partial<RequestRules>;
  readonly limits?: Partial<Limits>;
  readonly ring?: DriverOptions;
  readonly compression?: CompressionPlan;
  /** Requests that a member takes at a time. */
  readonly most?: number;
  /** Clients speak TLS. */
  readonly tls?: Omit<ServerSide, 'ends'>;
  /** Ports of members that get copies. */
  readonly mirror?: number;
}

/** What became of an exchange. */
export interface Ended {
  readonly status: number;
  readonly reason: EndReason;
  readonly attempts: number;
}

class Member implements HttpMember {
  idleHead = -1;
  idleCount = 0;
  active = 0;
  failures = 0;
  readonly host = '127.0.0.1';
  readonly address: Uint8Array;
  constructor(
    readonly id: string,
    readonly key: string,
    port: number,
  ) {
    this.address = loopback(port);
  }
  begun(): this {
    this.active += 1;
    return this;
  }
  transferred(): void {
    // Bandwidth is the balancer's.
  }
  end(_now: number, _micros: number, _bytes: number, failed: boolean): void {
    this.active -= 1;
    if (failed) this.failures += 1;
  }
}

const service = serviceAt(80, { routes: [] });
const pool = poolWith([]);

function placesFor(count: number): WaitingPlaces {
  let left = count;
  return {
    take: () => left > 0 && left-- > 0,
    give: () => {
      left += 1;
    },
  };
}

export class EngineDriver implements HttpObserver {
  readonly driver: RingDriver;
  readonly engine: HttpEngine;
  readonly members: Member[];
  readonly binding: Binding;
  readonly ended: Ended[] = [];
  readonly refusals: string[] = [];
  /** Of each handshake null, or why it failed. */
  readonly handshakes: (string | null)[] = [];
  #tls: TlsTransport | null = null;
  mirrored: Member | null = null;
  port = 0;
  connects = 0;
  reuses = 0;
  retries = 0;
  open = 0;

  constructor(options: EngineOptions) {
    this.driver = new RingDriver({
      size: 16_384,
      receiving: 256,
      working: 256,
      slots: 1024,
      timers: 1025,
      ...options.ring,
    });
    const { loop } = this.driver;
    this.engine = new HttpEngine(loop, 1024, this);
    if (options.tls !== undefined) {
      this.#tls = new TlsTransport(loop.connections, new TlsEngine(), {
        accepted: () => this.handshakes.push(null),
        refused: (_side, _failure, why) => this.handshakes.push(why),
      });
    }
    this.members = options.ports.map((port) => new Member(`web/${port}`, String(port), port));
    if (options.mirror !== undefined) {
      this.mirrored = new Member('copies', 'copies', options.mirror);
      this.members.push(this.mirrored);
    }
    this.binding = { service: this.#service(options), port: 80 };
    const { engine, binding } = this;
    const handler: ConnectionHandler = {
      onAccept: (slot) => {
        engine.accept(slot, binding);
      },
      onConnect: (slot, errno) => {
        engine.onConnect(slot, errno);
      },
      onData: (slot, buffer) => {
        engine.onData(slot, buffer);
      },
      onEnd: (slot, errno) => {
        engine.onEnd(slot, errno);
      },
      onSent: (slot, bytes) => {
        engine.onSent(slot, bytes);
      },
      onSendError: (slot, errno) => {
        engine.onSendError(slot, errno);
      },
      onFinished: (slot) => {
        engine.onFinished(slot);
      },
      onClosed: (slot) => {
        engine.onClosed(slot);
      },
      room: (slot) => engine.room(slot),
      bulk: (slot) => engine.bulk(slot),
      quiet: (slot) => engine.quiet(slot),
      onTimer: (timer) => {
        engine.onTimer(timer);
      },
      onWake: () => {
        throw new Error('nobody wakes this loop');
      },
      onAcceptError: (_listener, errno) => {
        throw new Error(`accepting fails with errno ${errno}`);
      },
    };
    this.port = this.driver.listen();
    this.driver.serve(handler);
  }

  /** Closes everything and checks that nothing is left. */
  end(): void {
    try {
      this.driver.end();
      const { core } = this.engine;
      if (this.open !== 0) throw new Error(`${this.open} clients were not told of as closed`);
      if (this.#tls !== null && this.#tls.open !== 0) {
        throw new Error(`${this.#tls.open} connections of TLS were not freed`);
      }
      if (core.exchanges !== 0) throw new Error(`${core.exchanges} exchanges were not ended`);
      if (core.retained.used !== 0) throw new Error(`${core.retained.used} requests were kept`);
      for (const { id, active, idleCount } of this.members) {
        if (active !== 0) throw new Error(`${id} has ${active} requests that nobody ended`);
        if (idleCount !== 0) throw new Error(`${id} has ${idleCount} connections that are closed`);
      }
    } finally {
      this.engine.close();
      this.#tls?.close();
    }
  }

  accepted(): void {
    this.open += 1;
  }
  closed(): void {
    this.open -= 1;
  }
  refused(_service: HttpService, { code }: { readonly code: string }): void {
    this.refusals.push(code);
  }
  finished(exchange: Exchange, reason: EndReason): void {
    this.ended.push({ status: exchange.status, reason, attempts: exchange.attempts });
  }
  connected(): void {
    this.connects += 1;
  }
  reused(): void {
    this.reuses += 1;
  }
  retried(): void {
    this.retries += 1;
  }

  #service(options: EngineOptions): HttpService {
    let turn = 0;
    const members = this.members.filter((member) => member !== this.mirrored);
    const target: HttpPool = {
      pool: { ...pool, ...options.pool },
      waiting: new WaitingList(placesFor(options.pool?.queue ?? 0)),
      full: options.most !== undefined,
      setCookie: null,
      tlsTo: () => null,
      answered: () => undefined,
      hide: () => undefined,
      choose(_head, _bytes, _client, _hash, _now, tried) {
        const { most = Infinity } = options;
        for (let i = 0; i < members.length; i += 1) {
          const member = members[turn++ % members.length];
          if (member === undefined || member.active >= most) continue;
          if (member !== tried || members.length === 1) return member.begun();
        }
        return null;
      },
    };
    const copies: HttpPool | null =
      options.mirror === undefined
        ? null
        : {
            pool: { ...pool, name: 'copies' },
            waiting: new WaitingList(placesFor(0)),
            full: false,
            setCookie: null,
            tlsTo: () => null,
            choose: () => this.mirrored?.begun() ?? null,
            answered: () => undefined,
            hide: () => undefined,
          };
    const route: HttpRoute = {
      route: {
        name: '1',
        when: null,
        action: { kind: 'pools', pools: [], rewrite: null, host: null, mirror: null },
        requestEdits: [],
        responseEdits: [],
        limits: [],
      },
      request: new RequestPlan({ ...defaultRequestRules, ...options.rules }),
      response: new ResponsePlan(),
      rewrite: null,
      status: 0,
      writeAnswer: () => undefined,
      bodyFor: () => new Uint8Array(0),
      poolFor: () => target,
      mirrorFor: () => copies,
    };
    const ends = this.#tls;
    return {
      service: {
        ...service,
        ...options.service,
        timeouts: { ...timeouts, ...options.timeouts },
      },
      heads: new Heads({ ...defaultLimits, ...options.limits }),
      ids: null,
      routes: [route],
      fault: null,
      compression:
        options.compression ??
        (options.service?.compression === undefined || options.service.compression === null
          ? null
          : new CompressionPlan(options.service.compression, availableCodings())),
      tls: options.tls === undefined || ends === null ? null : { ends, ...options.tls },
      find: () => 0,
      enter: () => true,
      leave: () => undefined,
      limit: () => 0,
    };
  }
}
