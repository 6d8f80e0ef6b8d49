/**
 * Tells when a descriptor that node does not know (netlink socket, BPF ring buffer, eventfd) has
 * something to read: one epoll(7) descriptor, itself watched by node's own event loop through
 * koffi's uv_poll handle. No thread, no timer.
 *
 * Why not a blocking epoll_wait in the thread pool: it takes one of node's four pool threads for
 * good, keeps the process alive, and process.exit() then waits for that thread for ever.
 *
 * Invariants:
 * - The uv_poll handle is closed before node tears its loop down: a callback during tear-down
 *   aborts the process. Hence the `exit` listener.
 * - Its callback runs outside node's callback scope (promises would not continue), so it only
 *   schedules; the listeners run from setImmediate, in the same turn of the loop.
 * - Level-triggered: a listener that leaves data unread is called again in the next turn.
 */
import koffi from 'koffi';
import {
  close,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  epollControl,
  epollCreate,
  epollEventSize,
  EPOLLIN,
  type EPOLLOUT,
  epollReady,
} from './libc.js';

/** Monitors have thousands of sockets under way at once. */
const EVENTS_PER_TURN = 1024;

const open = new Set<Poller>();
process.on('exit', () => {
  for (const poller of open) poller.close();
});

export class Poller {
  readonly #epoll = epollCreate();
  readonly #scratch = Buffer.alloc(epollEventSize * EVENTS_PER_TURN);
  readonly #listeners = new Map<number, { readonly onReady: () => void; readonly round: number }>();
  /** Counts dispatches. */
  #round = 0;
  readonly #handle: ReturnType<typeof koffi.node.poll>;
  #holds = 0;
  #scheduled = false;
  #closed = false;

  constructor() {
    this.#handle = koffi.node.poll(this.#epoll, { readable: true }, () => this.#schedule());
    this.#handle.unref();
    open.add(this);
  }

  /**
   * Calls `onReady` whenever `fd` has something to read or, when asked for, can be written to; and
   * when it has an error. The caller keeps owning `fd`.
   */
  add(fd: number, onReady: () => void, events: typeof EPOLLIN | typeof EPOLLOUT = EPOLLIN): void {
    this.#mustBeOpen();
    epollControl(this.#epoll, EPOLL_CTL_ADD, fd, events);
    this.#listeners.set(fd, { onReady, round: this.#round });
  }

  /** Call it before closing `fd`. Unknown descriptors are fine. */
  remove(fd: number): void {
    if (this.#closed || !this.#listeners.delete(fd)) return;
    epollControl(this.#epoll, EPOLL_CTL_DEL, fd, 0);
  }

  /** Keeps the process alive until as many unref() followed. Without it nothing here does. */
  ref(): void {
    if (this.#closed) return;
    this.#holds += 1;
    if (this.#holds === 1) this.#handle.ref();
  }

  unref(): void {
    if (this.#closed || this.#holds === 0) return;
    this.#holds -= 1;
    if (this.#holds === 0) this.#handle.unref();
  }

  /** Idempotent. No listener is called afterwards. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    open.delete(this);
    this.#listeners.clear();
    this.#handle.close();
    close(this.#epoll);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    if (this.#closed) return;
    this.#round += 1;
    for (const fd of epollReady(this.#epoll, this.#scratch)) {
      // An earlier listener of this round may have removed it, or closed the poller; or closed its
      // descriptor and added another of the same number, which this event is not about.
      const listener = this.#listeners.get(fd);
      if (listener !== undefined && listener.round !== this.#round) listener.onReady();
    }
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new Error('the poller is closed');
  }
}
