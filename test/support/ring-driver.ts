/**
 * Drives a worker's loop from node's own event loop, so that a test can have real clients in the
 * same process: a turn of the one, a turn of the other. While nothing happens the ring's turn waits
 * for a millisecond, so that waiting costs little.
 *
 * Invariant: end() closes the loop and unmaps its memory, whatever happened before, and then tells
 * of buffers that somebody still had. An error inside a turn fails whoever awaits `settled`.
 */
import { CheckedBufferPool } from '../../appliance/l7/ring/checked-buffer-pool.js';
import type { ConnectionHandler } from '../../appliance/l7/ring/handler.js';
import { WorkerLoop, type WorkerLoopOptions } from '../../appliance/l7/ring/worker-loop.js';
import { localPort, listenTcp } from '../../native/ffi/tcp-socket.js';
import { sockaddr } from '../../native/ffi/socket-address.js';

export interface DriverOptions extends Partial<Omit<WorkerLoopOptions, 'pool'>> {
  readonly size?: number;
  readonly receiving?: number;
  readonly working?: number;
  readonly large?: number;
}

/** 127.0.0.1 at a port, as bytes of its own. */
export function loopback(port: number): Uint8Array {
  return Uint8Array.from(sockaddr(4, Uint8Array.of(127, 0, 0, 1), port));
}

export class RingDriver {
  readonly pool: CheckedBufferPool;
  readonly loop: WorkerLoop;
  #next: NodeJS.Immediate | null = null;
  /** Turns in a row in which nothing happened. */
  #idle = 0;
  #ended = false;
  #waiters: {
    readonly until: () => boolean;
    readonly resolve: () => void;
    reject(e: unknown): void;
  }[] = [];
  #failure: { readonly error: unknown } | null = null;

  constructor(options: DriverOptions = {}) {
    const { size = 4096, receiving = 256, working = 64, large = 8, ...rest } = options;
    this.pool = new CheckedBufferPool({ size, receiving, working, large });
    const loop = WorkerLoop.open({ pool: this.pool, slots: 1024, timers: 16, ...rest });
    if (loop instanceof Error) {
      this.pool.close();
      throw loop;
    }
    this.loop = loop;
  }

  serve(handler: ConnectionHandler): void {
    this.loop.serve(handler);
    this.#turn();
  }

  /** Listens on a free port of 127.0.0.1, which it returns. */
  listen(backlog = 512): number {
    const fd = listenTcp(loopback(0), backlog);
    const port = localPort(fd);
    this.loop.adopt(fd, backlog);
    return port;
  }

  /** Resolves once `until` holds; it is asked after every turn. */
  settled(until: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ until, resolve, reject });
    });
  }

  /** Closes everything. Throws what failed inside a turn, and when buffers are not where they belong. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#next !== null) clearImmediate(this.#next);
    for (const waiter of this.#waiters) waiter.reject(new Error('the driver ended'));
    if (this.#failure !== null) throw this.#failure.error;
    const census = (): Record<string, number> => this.pool.census();
    let last: Record<string, number> = {};
    this.loop.close(() => {
      last = census();
    });
    const strangers = Object.keys(last).filter((owner) => owner !== 'free' && owner !== 'kernel');
    if (strangers.length > 0) throw new Error(`buffers leaked: ${JSON.stringify(last)}`);
  }

  #turn(): void {
    try {
      const wait = this.#idle > 2 ? 1 : 0;
      this.#idle = this.loop.turn(wait) > 0 ? 0 : this.#idle + 1;
      this.#next = setImmediate(() => this.#turn());
    } catch (error) {
      this.#failure = { error };
    }
    this.#tell();
  }

  #tell(): void {
    const failure = this.#failure;
    if (failure !== null) for (const waiter of this.#waiters) waiter.reject(failure.error);
    const waiting = failure === null ? this.#waiters : [];
    this.#waiters = waiting.filter((waiter) => {
      if (!waiter.until()) return true;
      waiter.resolve();
      return false;
    });
  }
}
