/**
 * A worker process: hears of the daemon what to serve and on which sockets, and runs the loop.
 *
 * Invariants:
 * - It has no rights when it touches traffic: modules are loaded, the ring is made and the memory is
 *   mapped before, sockets come from the daemon.
 * - It goes on when the daemon is gone, by what it knows, for as long as it was told to.
 * - What it cannot obey is its end: another one takes its place, instead of one that serves by half.
 */
import { pinThread } from '../../../native/ffi/affinity.js';
import { IoUringError } from '../../../native/ffi/io-uring-error.js';
import { close } from '../../../native/ffi/libc.js';
import { Mapping } from '../../../native/ffi/memory.js';
import { Poller } from '../../../native/ffi/poller.js';
import {
  receivePacket,
  sendPacket,
  type PacketMessage,
} from '../../../native/ffi/packet-channel.js';
import {
  becomeUnprivileged,
  forbidCoreFiles,
  raiseDescriptors,
} from '../../../native/ffi/privileges.js';
import { TlsEngine } from '../../../native/ffi/tls-engine.js';
import { openBufferPool } from '../ring/checked-buffer-pool.js';
import { MOST_LISTENERS } from '../ring/acceptor.js';
import { WorkerLoop } from '../ring/worker-loop.js';
import type { Snapshot } from '../snapshot.js';
import { ENGINE_TIMERS, type Engine } from './engine.js';
import { Own, OwnMemory, ownBytes, SharedMemory, sharedBytes } from './memory.js';
import type { FromWorker, ListenItem, SnapshotPart, ToWorker } from './messages.js';
import { unpackSecrets } from '../tls/secrets.js';
import { nextSnapshot } from './snapshots.js';
import { Traffic } from './traffic.js';

/** Bytes of a buffer: a whole TLS record, and the largest head. */
const BUFFER = 16_384;
const RECEIVING = 8192;
/** Large buffers, for bodies whose receivers keep up. */
const LARGE_BUFFERS = 256;
/** Descriptors beside those of connections, listening sockets and memory. */
const OTHERS = 64;

export interface WorkerOptions {
  readonly channel: number;
  readonly user: string | number;
  readonly group: string | number;
  /** Milliseconds that it serves on without the daemon; null: for ever. */
  readonly linger: number | null;
}

interface Listening {
  readonly service: string;
  readonly listener: number;
}

type Room = Pick<ToWorker & { readonly kind: 'begin' }, 'connections' | 'sizes'>;

/** What takes longest to make, and is made before it is needed. */
interface Resources {
  readonly connections: number;
  readonly slots: number;
  readonly loop: WorkerLoop | IoUringError;
}

interface Running {
  readonly loop: WorkerLoop;
  readonly engine: Engine;
  readonly own: OwnMemory;
}

export class Worker {
  readonly #options: WorkerOptions;
  #running: Running | null = null;
  #prepared: Resources | null = null;
  #snapshot: Snapshot | null = null;
  readonly #listening = new Map<string, Listening>();
  /** Hears of the channel, in node's own event loop, which the ring watches. */
  readonly #poller = new Poller();
  #orphan = false;
  #fatal: Error | null = null;
  #draining = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** Whether its daemon is gone. */
  get orphan(): boolean {
    return this.#orphan;
  }

  /** Tells that everything is loaded, waits for the first message, and serves until the end. */
  async run(): Promise<void> {
    this.#tell({ kind: 'loaded' });
    await this.#begun();
    const running = this.#running;
    if (running === null) return;
    await running.loop.run();
    if (this.#fatal !== null) throw this.#fatal;
    running.loop.close(() => {
      running.engine.close();
    });
  }

  /** Until `begin` came, or the daemon is gone. */
  #begun(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#poller.ref();
      this.#poller.add(this.#options.channel, () => {
        try {
          this.#readMessages();
        } catch (error) {
          const fatal = error instanceof Error ? error : new Error(String(error));
          reject(fatal);
          // Also when nobody waits for this any more.
          this.#fatal = fatal;
          this.#running?.loop.stop();
        }
        if (this.#running !== null || this.#orphan) resolve();
      });
    });
  }

  #readMessages(): void {
    for (;;) {
      const packet = receivePacket(this.#options.channel);
      if (packet === null) return;
      if (packet === 'ended') {
        this.#orphaned();
        return;
      }
      this.#obey(JSON.parse(packet.data.toString()) as ToWorker, packet);
      // It is of no use, and has said so: the rest is for another one.
      if (this.#orphan) return;
    }
  }

  #obey(message: ToWorker, { descriptors }: PacketMessage): void {
    switch (message.kind) {
      case 'prepare':
        // Where it fails it will fail again, and then it matters.
        this.#prepared = this.#resourcesFor(message);
        return;
      case 'begin':
        this.#begin(message, descriptors);
        return;
      case 'keep':
        return;
      case 'snapshot':
        this.#apply(message, descriptors);
        return;
      case 'secrets':
        this.#takeSecrets(message.bytes, descriptors);
        this.#tell({ kind: 'secrets', version: message.version });
        return;
      case 'listen':
        this.#listen(message.items, descriptors);
        return;
      case 'unlisten':
        for (const key of message.keys) this.#unlisten(key);
        return;
      case 'sync':
        this.#mustRun().own.head[Own.snapshot] = message.number;
        this.#tell({ kind: 'applied', number: message.number });
        return;
      case 'drain':
        this.drain(message.limit);
    }
  }

  #begin(message: ToWorker & { readonly kind: 'begin' }, descriptors: readonly number[]): void {
    const [sharedFd = -1, ownFd = -1] = descriptors;
    const { sizes, worker, cpu } = message;
    const shared = Mapping.open(sharedFd, { length: sharedBytes(sizes), access: 'write' }).buffer;
    const ownBuffer = Mapping.open(ownFd, { length: ownBytes(sizes), access: 'write' }).buffer;
    // The descriptors stay open, as those of `keep`: the next daemon finds the memory by them.
    const own = new OwnMemory(sizes, shared, ownBuffer);
    if (cpu !== null) pinThread(cpu);
    const { loop, slots } = this.#resourcesFor(message);
    this.#prepared = null;
    if (loop instanceof IoUringError) {
      this.#tell({ kind: 'unable', sentence: loop.message });
      this.#orphan = true;
      return;
    }
    const engine = new Traffic({
      loop,
      own,
      shared: new SharedMemory(sizes, shared, worker),
      worker,
      newTls: () => new TlsEngine(),
      tell: (event) => {
        this.#tell({ kind: 'event', event });
      },
    });
    loop.serve(engine);
    becomeUnprivileged(this.#options.user, this.#options.group);
    forbidCoreFiles();
    this.#running = { loop, engine, own };
    if (slots < message.connections) {
      const text = `a worker may have ${slots} connections instead of ${message.connections}, because of the limit of open files`;
      this.#tell({ kind: 'event', event: { kind: 'trouble', message: text } });
    }
  }

  /** Those that were prepared, if they fit. */
  #resourcesFor({ connections, sizes }: Room): Resources {
    const ready = this.#prepared;
    if (ready?.connections === connections) return ready;
    if (ready !== null && !(ready.loop instanceof IoUringError)) ready.loop.close();
    const others = OTHERS + MOST_LISTENERS + sizes.workers;
    const allowed = raiseDescriptors(connections + others);
    const slots = Math.max(16, Math.min(connections, allowed - others));
    const pool = openBufferPool({
      size: BUFFER,
      receiving: RECEIVING,
      working: slots,
      large: LARGE_BUFFERS,
    });
    const loop = WorkerLoop.open({
      pool,
      slots,
      // Each client needs a connection to its member as well, but not all at the same time.
      reserve: slots >> 3,
      timers: slots + ENGINE_TIMERS,
    });
    return { connections, loop, slots };
  }

  #apply(message: ToWorker & { readonly kind: 'snapshot' }, descriptors: readonly number[]): void {
    const { engine } = this.#mustRun();
    const [fd = -1] = descriptors;
    const mapping = Mapping.open(fd, { length: message.bytes, access: 'read' });
    close(fd);
    let part: SnapshotPart;
    try {
      part = JSON.parse(Buffer.from(mapping.buffer).toString()) as SnapshotPart;
    } finally {
      mapping.close();
    }
    const snapshot = nextSnapshot(part, this.#snapshot);
    engine.apply(snapshot);
    this.#snapshot = snapshot;
  }

  #takeSecrets(bytes: number, descriptors: readonly number[]): void {
    const { engine } = this.#mustRun();
    const [fd = -1] = descriptors;
    const mapping = Mapping.open(fd, { length: bytes, access: 'read' });
    close(fd);
    try {
      engine.setSecrets(unpackSecrets(Buffer.from(mapping.buffer)));
    } finally {
      mapping.close();
    }
  }

  #listen(items: readonly ListenItem[], descriptors: readonly number[]): void {
    const { loop, engine } = this.#mustRun();
    if (this.#draining) {
      for (const fd of descriptors) close(fd);
      return;
    }
    for (const [index, { key, service, backlog }] of items.entries()) {
      const fd = descriptors[index];
      if (fd === undefined) throw new RangeError(`no socket came for ${key}`);
      const listener = loop.adopt(fd, backlog);
      engine.listen(service, listener);
      this.#listening.set(key, { service, listener });
    }
  }

  #unlisten(key: string): void {
    const { loop } = this.#mustRun();
    const found = this.#listening.get(key);
    if (found === undefined) return;
    this.#listening.delete(key);
    loop.unlisten(found.listener);
  }

  /** Finishes what is under way, at most for so many milliseconds, and ends. */
  drain(limit: number): void {
    const running = this.#running;
    if (running === null) {
      // It has nothing yet.
      process.exit(0);
    }
    if (this.#draining) return;
    this.#draining = true;
    const { engine, loop } = running;
    for (const key of [...this.#listening.keys()]) this.#unlisten(key);
    const left = (): void => {
      if (loop.listeners === 0) this.#tell({ kind: 'draining' });
      else setImmediate(left);
    };
    left();
    const end = (): void => {
      this.#running?.loop.stop();
    };
    engine.drain(end);
    setTimeout(end, limit).unref();
  }

  #orphaned(): void {
    if (this.#orphan) return;
    this.#orphan = true;
    this.#poller.remove(this.#options.channel);
    if (this.#options.linger === null) return;
    setTimeout(() => {
      this.#running?.loop.stop();
    }, this.#options.linger).unref();
  }

  #mustRun(): Running {
    if (this.#running === null) throw new Error('the worker was told something before it began');
    return this.#running;
  }

  /** What the daemon does not hear, since it is gone or behind, is lost. */
  #tell(message: FromWorker): void {
    if (this.#orphan) return;
    try {
      sendPacket(this.#options.channel, Buffer.from(JSON.stringify(message)));
    } catch {
      this.#orphaned();
    }
  }
}
