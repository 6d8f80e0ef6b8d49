/**
 * The stream engine in the test's own process: real sockets, the pool that records owners, no daemon.
 *
 * Invariant: end() fails when a buffer, a session, a place of a member or a descriptor is left.
 */
import { readdirSync } from 'node:fs';
import type { StreamEngine } from '../../appliance/l7/stream/engine.js';
import type { StreamEnd, StreamObserver } from '../../appliance/l7/stream/observer.js';
import type { StreamMember } from '../../appliance/l7/stream/runtime.js';
import type { StreamSession } from '../../appliance/l7/stream/session.js';
import { addressText } from '../../appliance/l7/http1/peer.js';
import { type DriverOptions, RingDriver } from './ring-driver.js';
import {
  type PlainPool,
  plainService,
  type PlainService,
  streamHandler,
  type StreamServiceOptions,
} from './stream-service.js';

export interface StreamDriverOptions extends StreamServiceOptions {
  readonly ring?: DriverOptions;
}

/** What became of a client's connection. */
export interface EndedStream {
  readonly reason: StreamEnd;
  readonly attempts: number;
  readonly member: string | null;
  readonly name: string;
  readonly client: string;
  readonly fromClient: number;
  readonly toClient: number;
}

export class StreamDriver implements StreamObserver {
  readonly driver: RingDriver;
  readonly engine: StreamEngine;
  readonly port: number;
  /** What new clients get. */
  served: PlainService;
  readonly ended: EndedStream[] = [];
  readonly connects: number[] = [];
  retries = 0;
  opened = 0;
  drained = 0;
  /** Bytes that were told of while connections ran, and at their end. */
  movedFrom = 0;
  movedTo = 0;
  /** Most receiving buffers that were not with the kernel, after any turn. */
  mostInUse = 0;
  readonly #pools: PlainPool[] = [];

  constructor(options: StreamDriverOptions) {
    const slots = options.ring?.slots ?? 1024;
    this.driver = new RingDriver({
      size: 16_384,
      receiving: 512,
      working: 256,
      slots,
      timers: slots + 1,
      ...options.ring,
    });
    this.served = plainService(options);
    this.#pools.push(...this.served.pools.values());
    const { loop, pool } = this.driver;
    const { engine, handler } = streamHandler(loop, () => this.served.service, {
      observer: this,
      onDrained: () => {
        this.drained += 1;
      },
    });
    this.engine = engine;
    this.port = this.driver.listen(1024);
    this.driver.serve({
      ...handler,
      onData: (slot, buffer) => {
        this.mostInUse = Math.max(this.mostInUse, pool.receiving - pool.withKernel);
        handler.onData(slot, buffer);
      },
    });
  }

  /** A new snapshot. */
  serve(options: StreamServiceOptions): void {
    this.served = plainService(options);
    this.#pools.push(...this.served.pools.values());
  }

  pool(name: string): PlainPool {
    const found = this.served.pools.get(name);
    if (found === undefined) throw new Error(`no pool ${name}`);
    return found;
  }

  /** Resolves when so many connections are over. */
  over(count: number): Promise<void> {
    return this.driver.settled(() => this.ended.length >= count);
  }

  end(): void {
    this.driver.end();
    if (this.engine.open !== 0) throw new Error(`${this.engine.open} sessions were not ended`);
    if (this.opened !== this.ended.length) {
      throw new Error(`${this.opened} clients came, ${this.ended.length} were told of as ended`);
    }
    for (const { members, waiting } of this.#pools) {
      if (waiting.length !== 0) throw new Error(`${waiting.length} still wait`);
      for (const { id, active } of members) {
        if (active !== 0) throw new Error(`${id} has ${active} connections that nobody ended`);
      }
    }
  }

  accepted(): void {
    this.opened += 1;
  }
  connected(_member: StreamMember, errno: number, _micros: number): void {
    this.connects.push(errno);
  }
  retried(): void {
    this.retries += 1;
  }
  moved(_session: StreamSession, fromClient: number, toClient: number): void {
    this.movedFrom += fromClient;
    this.movedTo += toClient;
  }
  finished(session: StreamSession, reason: StreamEnd): void {
    const { source, attempts, member, name } = session;
    const { bytes, family, port } = source;
    const text = addressText(family === 4 ? bytes.subarray(12) : bytes, family);
    this.ended.push({
      reason,
      attempts,
      member: member?.id ?? null,
      name,
      client: `${text} ${port}`,
      fromClient: this.engine.fromClient(session),
      toClient: this.engine.toClient(session),
    });
  }
}

/** Sockets that this process has open. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
