/**
 * The loop of a layer-7 worker: one io_uring, its buffers, its timers and its connections.
 *
 * A turn asks for what is due, enters the kernel once, hands on what happened and fires timers. It
 * blocks node's own event loop meanwhile, so a worker does its work in the turns and hears of the
 * rest through its eventfd. `run` watches node's loop in the ring as well, and lets node have its
 * turn when that has something to do, when there is nothing else, and ten times a second.
 *
 * Invariants:
 * - Timers fire after the completions that arrived before them, so a peer that answered in time is
 *   not given up because the worker was late.
 * - The memory is unmapped only after the kernel is done with it.
 */
import { errno, IORING_CQE_F_MORE } from '../../../native/ffi/io-uring-abi.js';
import { IoUringError } from '../../../native/ffi/io-uring-error.js';
import { IoUring } from '../../../native/ffi/io-uring.js';
import { drainEventfd } from '../../../native/ffi/libc.js';
import { nodeLoopDescriptor } from '../../../native/ffi/node-loop.js';
import { listenTcp } from '../../../native/ffi/tcp-socket.js';
import { Acceptor } from './acceptor.js';
import { ArgumentBlocks } from './arguments.js';
import type { BufferPool } from './buffer-pool.js';
import { Connections, type ReceiveMode } from './connections.js';
import type { ConnectionHandler } from './handler.js';
import { BUFFER_GROUP, Kind, MOST_SLOTS, Ring, tagOf } from './ring.js';
import { TimerWheel } from './timer-wheel.js';

export interface WorkerLoopOptions {
  /** From openBufferPool(). The loop closes it; without a loop the caller does. */
  readonly pool: BufferPool;
  /** Most connections at a time, in both directions. */
  readonly slots: number;
  /** Slots that accepting leaves to connections of our own. */
  readonly reserve?: number;
  /** Timers of the handler, numbered from 0. */
  readonly timers: number;
  /** An eventfd that others signal; the caller closes it. */
  readonly wakeFd?: number;
  /** Without it, the best that the kernel can do within the room. */
  readonly receiveMode?: ReceiveMode;
  /** Entries of the two queues. */
  readonly entries?: number;
  readonly completions?: number;
  /** As in IoUringOptions. */
  readonly submissionArray?: 'omitted' | 'kept';
}

const ENTRIES = 4096;
const COMPLETIONS = 16_384;
/** Milliseconds: node gets a turn as often under load, and when there is nothing to do. */
const YIELD = 100;
const LONGEST_WAIT = 1000;
/** Milliseconds after which handlers hear of what was sent although nothing else happened. */
const SILENCE = 10;
/** Turns of at most 10 ms that a loop may take to close its connections. */
const CLOSING_TURNS = 500;

const wakeTag = tagOf(Kind.wake, 0);
const nodeTag = tagOf(Kind.node, 0);

/** What performance.now() lacks, which begins with each process. */
const processBegan = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds of the machine's monotonic clock, as a word: the same in all workers. */
function clock(): number {
  return (performance.now() + processBegan) | 0;
}

/** Of a wait (below 0: for ever) and one that has an end. */
function shorter(wait: number, other: number): number {
  return wait >= 0 && wait < other ? wait : other;
}

/** Whether a receive may have a limit of bytes (kernel 6.17): without it that is EINVAL at once. */
function capsReceives(ring: Ring): boolean {
  const probe = {
    result: 0,
    completed(_kind: number, _slot: number, _generation: number, result: number): void {
      this.result = result;
    },
  };
  ring.receiveMany(-1, 1, tagOf(Kind.none, 0), 0);
  ring.enter(LONGEST_WAIT);
  ring.reap(probe);
  return probe.result === -errno.EBADF;
}

export class WorkerLoop {
  readonly pool: BufferPool;
  readonly connections: Connections;
  readonly receiveMode: ReceiveMode;
  /**
   * Milliseconds with fractions of the monotonic clock when the turn began, in an array because a
   * double that is passed around is a heap object.
   */
  readonly clock = new Float64Array(1);

  readonly #timers: TimerWheel;
  /** Inside turn(), where the wheel's clock is right. */
  #turning = false;
  readonly #uring: IoUring;
  readonly #ring: Ring;
  readonly #acceptor: Acceptor;
  readonly #blocks: ArgumentBlocks;
  readonly #wakeFd: number;
  #wakeArmed = false;
  #nodeArmed = false;
  /** node is to have its turn. */
  #woken = false;
  #handler: ConnectionHandler | null = null;
  /** The acceptor's own timer comes behind the handler's. */
  readonly #acceptTimer: number;
  #running = false;
  #closed = false;
  /** What ring and wheel call; one object, so that their calls stay monomorphic. */
  readonly #completions = {
    completed: (
      kind: number,
      slot: number,
      generation: number,
      result: number,
      flags: number,
    ): void => {
      if (kind === Kind.wake) this.#wake(result, flags);
      else if (kind === Kind.node) this.#nodeHasWork(flags);
      else this.connections.completed(kind, slot, generation, result, flags);
    },
  };
  readonly #timerHandler = {
    onTimer: (timer: number): void => {
      if (timer === this.#acceptTimer) this.#acceptor.retry();
      else this.#served().onTimer(timer);
    },
  };

  private constructor(uring: IoUring, ring: Ring, options: WorkerLoopOptions, mode: ReceiveMode) {
    this.#uring = uring;
    this.#ring = ring;
    this.pool = options.pool;
    this.receiveMode = mode;
    this.#timers = new TimerWheel(options.timers + 1, clock());
    this.#acceptTimer = options.timers;
    this.#acceptor = new Acceptor(ring, this.#timers, this.#acceptTimer, options.reserve ?? 0);
    this.#blocks = new ArgumentBlocks(options.slots);
    this.connections = new Connections(
      ring,
      this.pool,
      this.#acceptor,
      this.#blocks,
      options.slots,
      mode,
    );
    this.#wakeFd = options.wakeFd ?? -1;
  }

  /** A loop of this thread, or why it cannot have one. */
  static open(options: WorkerLoopOptions): WorkerLoop | IoUringError {
    if (options.slots < 1 || options.slots >= MOST_SLOTS) {
      throw new RangeError(`${options.slots} slots: from 1 to ${MOST_SLOTS - 1}`);
    }
    const uring = IoUring.open({
      entries: options.entries ?? ENTRIES,
      completions: options.completions ?? COMPLETIONS,
      ...(options.submissionArray === undefined
        ? {}
        : { submissionArray: options.submissionArray }),
    });
    if (uring instanceof IoUringError) return uring;
    const { pool } = options;
    const refused = uring.registerBuffers(BUFFER_GROUP, pool.ringAddress, pool.ringEntries);
    if (refused !== null) {
      uring.close();
      return refused;
    }
    const ring = new Ring(uring);
    const mode = options.receiveMode ?? (capsReceives(ring) ? 'capped' : 'single');
    return new WorkerLoop(uring, ring, options, mode);
  }

  /** Sets who hears of everything. Before the first turn. */
  serve(handler: ConnectionHandler): void {
    this.#handler = handler;
    this.connections.handler = handler;
  }

  /**
   * Listens at `address`, a sockaddr as bytes, together with the other workers. Returns the
   * listener's number. Throws SystemError.
   */
  listen(address: Uint8Array, backlog: number): number {
    return this.#acceptor.add(listenTcp(address, backlog), backlog);
  }

  /** Takes over a socket that listens already, with the backlog that it was given. */
  adopt(fd: number, backlog: number): number {
    return this.#acceptor.add(fd, backlog);
  }

  /** Accepts no more there. Connections stay. */
  unlisten(listener: number): void {
    this.#acceptor.remove(listener);
  }

  /** Listening sockets that are not yet closed. */
  get listeners(): number {
    return this.#acceptor.count;
  }

  /** Milliseconds of the clock that timers count from, a word; inside a turn that of its beginning. */
  get now(): number {
    return this.#turning ? this.#timers.time : clock();
  }

  /** Sets a timer, in place of its former setting. Never early, late by what a turn takes. */
  setTimer(timer: number, milliseconds: number): void {
    if (!this.#turning) this.#timers.time = clock();
    this.#timers.set(timer, milliseconds);
  }

  cancelTimer(timer: number): void {
    this.#timers.cancel(timer);
  }

  /**
   * One turn, which waits at most `milliseconds` for something to happen (below 0: for ever).
   * Returns how many completions and timers there were.
   */
  turn(milliseconds: number): number {
    if (this.#wakeFd >= 0 && !this.#wakeArmed) {
      this.#wakeArmed = true;
      this.#ring.watch(this.#wakeFd, wakeTag, 0);
    }
    this.connections.settle();
    this.#ring.enter(this.#wait(milliseconds));
    const exactly = performance.now() + processBegan;
    this.clock[0] = exactly;
    const now = exactly | 0;
    this.#timers.time = now;
    this.#turning = true;
    try {
      this.connections.sentQuietly();
      const events = this.#ring.reap(this.#completions);
      return events + this.#timers.advance(now, this.#timerHandler);
    } finally {
      this.#turning = false;
    }
  }

  /** Turns until stop(). */
  async run(): Promise<void> {
    this.#running = true;
    const nodeFd = nodeLoopDescriptor();
    while (this.#running) {
      const twice = this.#turns(nodeFd);
      await new Promise(setImmediate);
      // What node heard in that turn only schedules (native/ffi/poller.ts): it runs in this one, instead
      // of after a wait in the kernel.
      if (twice) await new Promise(setImmediate);
    }
  }

  /**
   * Turns until node is to have its own. Whether two: it has something to do, or there is nothing
   * else. Apart from `run`, since an async function is never compiled well.
   */
  #turns(nodeFd: number): boolean {
    const began = clock();
    while (this.#running) {
      if (nodeFd >= 0 && !this.#nodeArmed) {
        this.#nodeArmed = true;
        this.#ring.watch(nodeFd, nodeTag, 0);
      }
      const events = this.turn(LONGEST_WAIT);
      if (events === 0 || this.#woken) {
        this.#woken = false;
        return true;
      }
      if (((this.#timers.time - began) | 0) >= YIELD) return false;
    }
    return false;
  }

  stop(): void {
    this.#running = false;
  }

  /**
   * Closes everything; the handler hears of each connection's end. `beforeUnmapping` is the last
   * moment at which the pool can be read.
   */
  close(beforeUnmapping?: () => void): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acceptor.removeAll();
    this.connections.closeAll();
    for (let turn = 0; this.connections.open + this.#acceptor.count > 0; turn += 1) {
      if (turn === CLOSING_TURNS) {
        // Not unmapped: the kernel may still write there. The process that comes here is to end.
        throw new Error(`${this.connections.open} connections of a worker do not end`);
      }
      this.turn(10);
    }
    this.#ring.cancelAll();
    this.#ring.enter(0);
    this.#uring.unregisterBuffers(BUFFER_GROUP);
    this.#uring.close();
    beforeUnmapping?.();
    this.#blocks.close();
    this.pool.close();
  }

  #served(): ConnectionHandler {
    if (this.#handler === null) throw new Error('the loop turned before it had a handler');
    return this.#handler;
  }

  #wait(milliseconds: number): number {
    const most = this.connections.silent ? shorter(milliseconds, SILENCE) : milliseconds;
    const delay = this.#timers.nextDelay();
    if (delay < 0) return most;
    // The wheel may be behind the clock by what the last turn took.
    const left = delay - ((clock() - this.#timers.now) | 0);
    return shorter(most, left < 0 ? 0 : left);
  }

  #nodeHasWork(flags: number): void {
    if ((flags & IORING_CQE_F_MORE) === 0) this.#nodeArmed = false;
    this.#woken = true;
  }

  #wake(result: number, flags: number): void {
    if ((flags & IORING_CQE_F_MORE) === 0) this.#wakeArmed = false;
    if (result < 0) return;
    this.#woken = true;
    drainEventfd(this.#wakeFd);
    this.#served().onWake();
  }
}
