/**
 * All traffic of a worker: gives each connection to the engine of its service's protocol, and makes of
 * a snapshot what the engines carry out.
 *
 * Invariant: a slot has one engine from its first event to its last.
 */
import { errnoName } from '../../../native/ffi/libc.js';
import { setSessionStore } from '../../../native/ffi/tls-stored-sessions.js';
import { TlsError } from '../../../native/ffi/tls-error.js';
import { Members, type MemberState } from '../balance/members.js';
import { Choosers } from '../balance/persistence.js';
import { WaitingLinks } from '../balance/waiting-queue.js';
import type { Binding } from '../http/client-connection.js';
import { HttpEngine } from '../http/engine.js';
import type { HttpService } from '../http/runtime.js';
import { Balancers, HttpServices, type ServiceParts } from '../http/services.js';
import { ConnectionLimits } from '../limits/connection-limits.js';
import type { Connections } from '../ring/connections.js';
import { HttpDate } from '../routing/answers.js';
import { ClientHello } from '../routing/client-hello.js';
import { KeyRing } from '../tls/key-ring.js';
import type { TlsSecrets } from '../tls/secrets.js';
import { TlsSides } from '../tls/services.js';
import { RefusedTls } from '../tls/refused.js';
import type { ClientSide, TlsEnds, TlsObserver } from '../tls/sides.js';
import { TlsTransport } from '../tls/transport.js';
import type { Snapshot } from '../snapshot.js';
import { StreamEngine } from '../stream/engine.js';
import type { StreamService } from '../stream/service.js';
import type { L7Service } from '../tables.js';
import { HttpTelemetry } from '../telemetry/http-telemetry.js';
import { StreamTelemetry } from '../telemetry/stream-telemetry.js';
import { TlsTelemetry } from '../telemetry/tls-telemetry.js';
import { WorkerCounters } from '../telemetry/worker-counters.js';
import type { Engine, EngineContext } from './engine.js';
import { Own } from './memory.js';
import { streamServices } from './stream-services.js';

type Serving =
  | { readonly kind: 'http'; readonly service: string; readonly binding: Binding }
  | { readonly kind: 'stream'; readonly service: string; current: StreamService };

const SECOND = 1000;
const MINUTE = 60_000;
/** Sentences that are remembered as told. */
const MOST_TOLD = 1000;
/** Sets of the table of sticky clients that are looked at each second: all of them within an hour or so. */
const STICKY_SETS = 16;

export class Traffic implements Engine {
  readonly #context: EngineContext;
  readonly #connections: Connections;
  readonly #telemetry: HttpTelemetry;
  readonly #streamTelemetry: StreamTelemetry;
  readonly #tlsTelemetry: TlsTelemetry;
  readonly #sides: TlsSides;
  readonly #http: HttpEngine;
  readonly #streams: StreamEngine;
  readonly #parts: ServiceParts;
  readonly #services: HttpServices;
  readonly #links: WaitingLinks;
  /** By listener. */
  readonly #serving: (Serving | undefined)[] = [];
  /** Slots of the stream engine: 1. */
  readonly #stream: Uint8Array;
  readonly #tick: number;
  #httpServices: ReadonlyMap<string, HttpService> = new Map();
  #streamServices: ReadonlyMap<string, StreamService> = new Map();
  readonly #date = new HttpDate();
  #balancers: Balancers | null = null;
  #onDrained: (() => void) | null = null;
  /** Why there is no TLS, until that was told. */
  #withoutTls: string | null = null;
  readonly #told = new Map<string, number>();

  constructor(context: EngineContext) {
    this.#context = context;
    const { loop, own, shared, worker } = context;
    const { connections } = loop;
    const slots = connections.slots.count;
    this.#connections = connections;
    this.#stream = new Uint8Array(slots);
    this.#tick = slots + 2;
    const counters = new WorkerCounters(own.counters);
    const log = own.log();
    this.#telemetry = new HttpTelemetry(counters, log, worker + 1);
    this.#streamTelemetry = new StreamTelemetry(counters, log, worker + 1, () => loop.now);
    this.#tlsTelemetry = new TlsTelemetry(counters, (side, why) => {
      this.#tellOfMember(side, why);
    });
    this.#sides = new TlsSides(this.#tls(this.#tlsTelemetry), new KeyRing(), (message) => {
      context.tell({ kind: 'trouble', message });
    });
    this.#http = new HttpEngine(loop, slots, this.#telemetry);
    this.#telemetry.attach(this.#http.core);
    this.#links = new WaitingLinks(slots);
    this.#streams = new StreamEngine({
      connections,
      timers: loop,
      deadlines: this.#http.core.deadlines,
      queueTimer: slots + 1,
      claim: (slot) => {
        this.#stream[slot] = 1;
      },
      newHello: () => new ClientHello(),
      observer: this.#streamTelemetry,
      onDrained: () => {
        this.#drained();
      },
    });
    this.#streamTelemetry.attach(this.#streams);
    this.#parts = {
      members: new Members(own.balance),
      choosers: new Choosers(shared.sticky),
      buckets: shared.buckets,
      connections: new ConnectionLimits(shared.services, shared.clients, slots),
      balancing: {
        memory: own.balance,
        seed: worker + 1,
        ejections: {
          ejected: ({ id }: MemberState, hold, why) => {
            context.tell({ kind: 'ejected', member: id, hold, why });
          },
          returned: ({ id }: MemberState) => {
            context.tell({ kind: 'returned', member: id });
          },
        },
      },
      date: this.#date,
      tls: this.#sides,
      worker,
    };
    setSessionStore(shared.sessions);
    this.#services = new HttpServices(this.#parts);
    loop.setTimer(this.#tick, SECOND);
  }

  setSecrets(secrets: TlsSecrets): void {
    this.#http.core.challenges.set(secrets.challenges);
    this.#context.shared.sessions.setKeys(secrets.ticketKeys);
    for (const message of this.#sides.ring.set(secrets)) {
      this.#context.tell({ kind: 'trouble', message });
    }
  }

  get clients(): number {
    return this.#http.core.clients + this.#streams.open;
  }

  apply(snapshot: Snapshot): void {
    const { rows, logs } = snapshot;
    const others = this.#sides.apply(snapshot.services.values(), snapshot.pools.values());
    this.#tlsTelemetry.adopt(rows);
    if (!this.#sides.empty) this.#tellWithoutTls();
    const balancers = new Balancers(snapshot, this.#parts, this.#balancers);
    const http = this.#services.of(snapshot, balancers);
    const streams = streamServices(snapshot, balancers, this.#parts, this.#links);
    const target = ({ accessLog }: L7Service): number =>
      accessLog === null ? 0 : (logs.get(accessLog.to) ?? 0);
    for (const one of http.values()) this.#telemetry.adopt(one, rows, target(one.service));
    for (const one of streams.values()) {
      this.#streamTelemetry.adopt(one, rows, target(one.service));
    }
    for (const balancer of balancers.all) {
      for (const member of balancer.members) {
        this.#telemetry.adoptMember(member, rows);
        this.#streamTelemetry.adoptMember(member, rows);
      }
    }
    this.#httpServices = http;
    this.#streamServices = streams;
    balancers.forget();
    this.#balancers = balancers;
    for (const serving of this.#serving) if (serving !== undefined) this.#renew(serving);
    // Connections that wait there speak as members were spoken to before.
    for (const balancer of balancers.all) {
      if (!others.includes(balancer.pool.name)) continue;
      for (const member of balancer.members) this.#http.core.closeIdle(member);
    }
    this.#parts.choosers.retire();
    for (const gone of this.#parts.members.retire()) this.#http.core.closeIdle(gone);
    this.#everySecond();
  }

  listen(service: string, listener: number): void {
    const http = this.#httpServices.get(service);
    const stream = this.#streamServices.get(service);
    if (http !== undefined) {
      const binding = { service: http, port: http.service.port };
      this.#serving[listener] = { kind: 'http', service, binding };
    } else if (stream !== undefined) {
      this.#serving[listener] = { kind: 'stream', service, current: stream };
    } else throw new RangeError(`the snapshot has no service ${service}`);
  }

  drain(onDrained: () => void): void {
    this.#onDrained = onDrained;
    this.#http.core.draining = true;
    this.#streams.drain();
    this.#drained();
  }

  close(): void {
    this.#http.close();
    this.#sides.close();
  }

  onAccept(slot: number, listener: number): void {
    const serving = this.#serving[listener];
    if (serving === undefined) {
      // Accepted in the same turn in which its service went.
      this.#connections.reset(slot);
      return;
    }
    if (serving.kind === 'http') this.#http.accept(slot, serving.binding);
    else {
      this.#stream[slot] = 1;
      this.#streams.accept(slot, serving.current);
    }
  }

  onConnect(slot: number, errno: number): void {
    if (this.#stream[slot] === 1) this.#streams.onConnect(slot, errno);
    else this.#http.onConnect(slot, errno);
  }

  onData(slot: number, buffer: number): void {
    if (this.#stream[slot] === 1) this.#streams.onData(slot, buffer);
    else this.#http.onData(slot, buffer);
  }

  onSecured(slot: number): void {
    if (this.#stream[slot] === 1) this.#streams.onSecured(slot);
    else this.#http.onSecured(slot);
  }

  onEnd(slot: number, errno: number): void {
    if (this.#stream[slot] === 1) this.#streams.onEnd(slot, errno);
    else this.#http.onEnd(slot, errno);
  }

  onSent(slot: number, bytes: number): void {
    if (this.#stream[slot] === 1) this.#streams.onSent(slot, bytes);
    else this.#http.onSent(slot, bytes);
  }

  onSendError(slot: number, errno: number): void {
    if (this.#stream[slot] === 1) this.#streams.onSendError(slot, errno);
    else this.#http.onSendError(slot, errno);
  }

  onFinished(slot: number): void {
    if (this.#stream[slot] === 1) this.#streams.onFinished(slot);
    else this.#http.onFinished(slot);
  }

  onClosed(slot: number): void {
    if (this.#stream[slot] === 1) {
      this.#stream[slot] = 0;
      this.#streams.onClosed(slot);
    } else {
      this.#http.onClosed(slot);
      if (this.#onDrained !== null) this.#drained();
    }
  }

  bulk(slot: number): number {
    return this.#stream[slot] === 1 ? this.#streams.bulk(slot) : this.#http.bulk(slot);
  }

  quiet(slot: number): boolean {
    return this.#stream[slot] !== 1 && this.#http.quiet(slot);
  }

  room(slot: number): number {
    return this.#stream[slot] === 1 ? this.#streams.room(slot) : this.#http.room(slot);
  }

  onTimer(timer: number): void {
    if (timer === this.#tick) {
      this.#context.loop.setTimer(timer, SECOND);
      this.#everySecond();
    } else if (timer === this.#tick - 1 || this.#stream[timer] === 1) this.#streams.onTimer(timer);
    else this.#http.onTimer(timer);
  }

  onWake(): void {
    // The process reads its messages itself.
  }

  onAcceptError(listener: number, errno: number): void {
    const service = this.#serving[listener]?.service ?? 'a service that is gone';
    this.#context.tell({
      kind: 'trouble',
      message: `a worker cannot accept connections of ${service}: ${errnoName(errno)}; it tries again`,
    });
  }

  #renew(serving: Serving): void {
    if (serving.kind === 'http') {
      const service = this.#httpServices.get(serving.service);
      if (service === undefined) return;
      serving.binding.service = service;
      serving.binding.port = service.service.port;
    } else serving.current = this.#streamServices.get(serving.service) ?? serving.current;
  }

  #everySecond(): void {
    const { head } = this.#context.own;
    head[Own.heartbeat] = ((head[Own.heartbeat] ?? 0) + 1) | 0;
    head[Own.clients] = this.clients;
    const { now } = this.#context.loop;
    this.#date.set(Date.now());
    const seconds = Math.floor(Date.now() / 1000);
    for (const { ids } of this.#httpServices.values()) if (ids !== null) ids.now = seconds;
    for (const balancer of this.#balancers?.all ?? []) balancer.sweep(now);
    this.#context.shared.buckets.sweep(now);
    this.#context.shared.sticky.sweep(now, STICKY_SETS);
  }

  /** Without it, services and pools that need it fail, and the others serve. */
  #tls(observer: TlsObserver): TlsEnds {
    try {
      return new TlsTransport(this.#connections, this.#context.newTls(), observer);
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      this.#withoutTls = error.message;
      return new RefusedTls(this.#connections, error.message, observer);
    }
  }

  #tellWithoutTls(): void {
    if (this.#withoutTls === null) return;
    const message = `a worker has no TLS, so services and pools with it fail: ${this.#withoutTls}`;
    this.#withoutTls = null;
    this.#context.tell({ kind: 'trouble', message });
  }

  #tellOfMember({ pool, address, name }: ClientSide, why: string): void {
    const whom = name === null ? address : `${address} (${name})`;
    this.#tellSometimes(`no TLS with the member ${whom} of ${pool}: ${why}`);
  }

  /** What may happen with every request is told once a minute. */
  #tellSometimes(message: string): void {
    const now = Date.now();
    if (now - (this.#told.get(message) ?? 0) < MINUTE) return;
    if (this.#told.size >= MOST_TOLD) this.#told.clear();
    this.#told.set(message, now);
    this.#context.tell({ kind: 'trouble', message });
  }

  #drained(): void {
    const told = this.#onDrained;
    if (told === null || this.clients > 0) return;
    this.#onDrained = null;
    told();
  }
}
