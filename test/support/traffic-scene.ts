/**
 * A worker's whole traffic (worker/traffic.ts) between clients and a member that are loops on rings
 * themselves, three in one thread: nothing but the worker's own parts runs for a request.
 *
 * Invariant: the clients' and the member's handlers allocate nothing once a connection is warm.
 */
import { BufferPool, Owner } from '../../appliance/l7/ring/buffer-pool.js';
import type { ConnectionHandler } from '../../appliance/l7/ring/handler.js';
import { WorkerLoop } from '../../appliance/l7/ring/worker-loop.js';
import type { Snapshot } from '../../appliance/l7/snapshot.js';
import type { L7Pool, L7Service } from '../../appliance/l7/tables.js';
import { RowRegistry, rowNames } from '../../appliance/l7/telemetry/row-registry.js';
import {
  type MemorySizes,
  OwnMemory,
  ownBytes,
  prepareShared,
  sharedBytes,
  SharedMemory,
} from '../../appliance/l7/worker/memory.js';
import { ENGINE_TIMERS } from '../../appliance/l7/worker/engine.js';
import { Traffic } from '../../appliance/l7/worker/traffic.js';
import { TlsEngine } from '../../native/ffi/tls-engine.js';
import { listenTcp, localPort } from '../../native/ffi/tcp-socket.js';
import { poolWith, serviceAt, tablesOf } from './l7-tables.js';
import { loopback } from './ring-driver.js';
import { QuietHandler } from './ring-handlers.js';

const SLOTS = 512;
/** Bytes of a number on the heap. */
const CLOCK = 16;
const sizes: MemorySizes = {
  rows: 64,
  workers: 4,
  sticky: 1024,
  sessions: 16,
  clients: 1024,
  log: 1 << 20,
};

/** Asks again as soon as it has the answer; from the second time on with the cookie that it got. */
class Asking extends QuietHandler {
  answers = 0;
  wrong = 0;
  readonly #asks: (Uint8Array | undefined)[] = [];
  constructor(
    connections: ConstructorParameters<typeof QuietHandler>[0],
    private readonly first: Uint8Array,
    private readonly next: (cookie: string) => Uint8Array,
  ) {
    super(connections);
  }
  override onConnect(slot: number, errno: number): void {
    if (errno !== 0) throw new Error(`a client cannot connect: errno ${errno}`);
    this.connections.writeBytes(slot, this.first, 0, this.first.length);
  }
  override onData(slot: number, buffer: number): void {
    const { pool } = this.connections;
    const start = buffer * pool.size + (pool.start[buffer] as number);
    const length = pool.length[buffer] as number;
    // "2" of the status; the answers of the member come in one piece.
    if (pool.bytes[start + 9] !== 0x32) this.wrong += 1;
    let ask = this.#asks[slot];
    if (ask === undefined) {
      const text = Buffer.from(pool.bytes.subarray(start, start + length)).toString('latin1');
      ask = this.next(/^set-cookie: ([^;\r]+)/im.exec(text)?.[1] ?? '');
      this.#asks[slot] = ask;
    }
    pool.release(buffer, Owner.handler);
    this.answers += 1;
    this.connections.writeBytes(slot, ask, 0, ask.length);
  }
}

class Answering extends QuietHandler {
  constructor(
    connections: ConstructorParameters<typeof QuietHandler>[0],
    private readonly answer: Uint8Array,
  ) {
    super(connections);
  }
  override onData(slot: number, buffer: number): void {
    this.connections.pool.release(buffer, Owner.handler);
    this.connections.writeBytes(slot, this.answer, 0, this.answer.length);
  }
}

export interface TrafficOptions {
  readonly service?: Partial<L7Service>;
  readonly pool?: Partial<L7Pool>;
  readonly first: string;
  /** The requests after the first; `cookie` is what the first answer set. */
  readonly next: (cookie: string) => string;
  readonly answer: string;
  readonly clients: number;
}

const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

export class TrafficScene {
  readonly traffic: Traffic;
  readonly #loops: WorkerLoop[] = [];
  readonly #clients: Asking;
  #turns = 0;

  constructor(options: TrafficOptions) {
    try {
      const member = this.#open();
      const port = this.#listen(member, new Answering(member.connections, latin(options.answer)));
      const worker = this.#open();
      const shared = new ArrayBuffer(sharedBytes(sizes));
      prepareShared(sizes, shared, Int32Array.of(1, 2));
      this.traffic = new Traffic({
        loop: worker,
        own: new OwnMemory(sizes, shared, new ArrayBuffer(ownBytes(sizes))),
        shared: new SharedMemory(sizes, shared, 0),
        worker: 0,
        newTls: () => new TlsEngine(),
        tell: (event) => {
          throw new Error(`the worker says ${JSON.stringify(event)}`);
        },
      });
      const fd = listenTcp(loopback(0), 128);
      const listening = localPort(fd);
      this.traffic.apply(this.#snapshot(listening, port, options));
      worker.serve(this.traffic);
      this.traffic.listen('web', worker.adopt(fd, 128));
      const clients = this.#open();
      this.#clients = new Asking(clients.connections, latin(options.first), (cookie) =>
        latin(options.next(cookie)),
      );
      clients.serve(this.#clients);
      for (let i = 0; i < options.clients; i += 1) {
        if (clients.connections.connect(loopback(listening), null) < 0) throw new Error('no slot');
      }
    } catch (error) {
      this.end();
      throw error;
    }
  }

  get answers(): number {
    return this.#clients.answers;
  }

  /** Turns until so many answers came. */
  upTo(answers: number): void {
    while (this.#clients.answers < answers) {
      for (const loop of this.#loops) {
        loop.turn(0);
        this.#turns += 1;
      }
    }
    if (this.#clients.wrong > 0) throw new Error(`${this.#clients.wrong} answers are not 2xx`);
  }

  /** Bytes of heap that so many requests take, each, without the clock of the loops' turns. */
  heapOf(requests: number): number {
    let allocated = 0;
    const before = this.#turns;
    let used = process.memoryUsage().heapUsed;
    const end = this.answers + requests;
    const step = requests / 20;
    for (let target = this.answers + step; target <= end; target += step) {
      this.upTo(target);
      const now = process.memoryUsage().heapUsed;
      // A collection between two looks hides what was allocated between them, and no more.
      if (now > used) allocated += now - used;
      used = now;
    }
    // A reading of the clock is a number on the heap.
    return (allocated - (this.#turns - before) * CLOCK) / requests;
  }

  end(): void {
    for (const loop of this.#loops.reverse()) loop.close();
    this.#loops.length = 0;
    this.traffic.close();
  }

  #open(): WorkerLoop {
    const pool = new BufferPool({ size: 16_384, receiving: 512, working: 512, large: 16 });
    const loop = WorkerLoop.open({ pool, slots: SLOTS, timers: SLOTS + ENGINE_TIMERS });
    if (loop instanceof Error) throw loop;
    this.#loops.push(loop);
    return loop;
  }

  #listen(loop: WorkerLoop, handler: ConnectionHandler): number {
    const fd = listenTcp(loopback(0), 128);
    loop.adopt(fd, 128);
    loop.serve(handler);
    return localPort(fd);
  }

  #snapshot(listening: number, member: number, options: TrafficOptions): Snapshot {
    const tables = tablesOf(
      [serviceAt(listening, options.service)],
      [poolWith([member], options.pool)],
    );
    const { rows } = new RowRegistry(sizes.rows).assign(rowNames(tables));
    const logs = new Map<string, number>();
    const log = options.service?.accessLog ?? null;
    if (log !== null) logs.set(log.to, 1);
    return {
      number: 1,
      unit: tables.unit,
      services: tables.services,
      pools: tables.pools,
      rows,
      logs,
    };
  }
}
