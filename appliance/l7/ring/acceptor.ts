/**
 * Listening sockets: a multishot accept for each while there is plenty of room, single ones near
 * the limit, none beyond it.
 *
 * Invariants:
 * - Connections that find no room wait in the kernel's backlog instead of being accepted and closed.
 *   A multishot accept may take a whole backlog at once, hence the single ones.
 * - When descriptors run out, accepting pauses until a connection ends or `RETRY` has passed: never
 *   a loop of failures.
 */
import { errno, IORING_CQE_F_MORE } from '../../../native/ffi/io-uring-abi.js';
import { Kind, tagOf, type Ring } from './ring.js';
import type { TimerWheel } from './timer-wheel.js';

/** Milliseconds until accepting is tried again after it failed for lack of something. */
const RETRY = 100;
/** Most listening sockets of a worker, those that are being closed among them. */
export const MOST_LISTENERS = 4096;

interface Listener {
  readonly fd: number;
  readonly backlog: number;
  readonly generation: number;
  /** An accept is under way; it was told to end. */
  armed: boolean;
  cancelled: boolean;
  /** It is a multishot one. */
  many: boolean;
  /** It is to be closed. */
  leaving: boolean;
}

export class Acceptor {
  /** The errno of the last completion, when it was a failure of which the caller should tell. */
  trouble = 0;

  readonly #ring: Ring;
  readonly #wheel: TimerWheel;
  readonly #timer: number;
  readonly #reserve: number;
  readonly #listeners = new Map<number, Listener>();
  #generation = 0;
  #held = false;
  /** Connections that may come at once: all backlogs. */
  #plenty = 0;
  /** Whether there was more room than that. */
  #many = false;
  /** Whether settle() has something to do. */
  #uneasy = false;

  /** `timer`: of the wheel, for itself. `reserve`: free slots that are left to connections of its own. */
  constructor(ring: Ring, wheel: TimerWheel, timer: number, reserve: number) {
    this.#ring = ring;
    this.#wheel = wheel;
    this.#timer = timer;
    this.#reserve = reserve;
  }

  /** Sockets that are not yet closed. */
  get count(): number {
    return this.#listeners.size;
  }

  /** Takes over a listening socket with the backlog that it was given. Returns its number. */
  add(fd: number, backlog: number): number {
    let listener = 0;
    while (this.#listeners.has(listener)) listener += 1;
    if (listener >= MOST_LISTENERS) throw new RangeError(`more than ${MOST_LISTENERS} listeners`);
    this.#generation = (this.#generation + 1) | 0;
    this.#listeners.set(listener, {
      fd,
      backlog,
      generation: this.#generation,
      armed: false,
      cancelled: false,
      many: false,
      leaving: false,
    });
    this.#plenty += backlog;
    this.#uneasy = true;
    return listener;
  }

  /** Accepts nothing more there and closes it. Unknown numbers are fine. */
  remove(listener: number): void {
    const found = this.#listeners.get(listener);
    if (found === undefined) return;
    found.leaving = true;
    this.#uneasy = true;
  }

  removeAll(): void {
    for (const listener of this.#listeners.keys()) this.remove(listener);
  }

  /**
   * The completion of an accept. Returns the descriptor that is to be served, or -1 when there is
   * none; an unwanted one is closed here, and `trouble` tells what an administrator should know of.
   */
  completed(listener: number, generation: number, result: number, flags: number): number {
    const found = this.#listeners.get(listener);
    const known = found !== undefined && found.generation === generation;
    if (known && (flags & IORING_CQE_F_MORE) === 0) {
      found.armed = false;
      found.cancelled = false;
      // To the end: near the limit the others have their turn first.
      this.#listeners.delete(listener);
      this.#listeners.set(listener, found);
      this.#uneasy = true;
    }
    this.trouble = 0;
    if (result >= 0) {
      // Also of a listener that is leaving: its client was let in, and somebody serves it.
      if (known) return result;
      this.refuse(result);
      return -1;
    }
    switch (-result) {
      case errno.ECANCELED:
      case errno.ECONNABORTED:
      case errno.EINTR:
      case errno.EAGAIN:
        return -1;
      default:
        // Descriptors, memory, or something of the network: what it is shows in the errno.
        this.#held = true;
        this.#wheel.set(this.#timer, RETRY);
        if (known) this.trouble = -result;
        return -1;
    }
  }

  /** Closes a connection that cannot be served. */
  refuse(fd: number): void {
    this.#ring.close(fd, tagOf(Kind.none, 0), 0);
  }

  /** A slot was taken or given back; `free` are left. */
  slotsChanged(free: number): void {
    const room = free - this.#reserve;
    // Otherwise every listener has its accept, and of the right kind.
    if (room <= this.#listeners.size + 1 || room > this.#plenty !== this.#many) this.#uneasy = true;
  }

  /** A connection ended, or time has passed: what was lacking may be there now. */
  retry(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#uneasy = true;
  }

  /** Before a turn ends: accepts where there is room, and stops where there is none. */
  settle(free: number): void {
    if (!this.#uneasy) return;
    this.#uneasy = false;
    let room = this.#held ? 0 : free - this.#reserve;
    const many = room > this.#plenty;
    this.#many = many;
    let ending = 0;
    for (const it of this.#listeners.values()) {
      // One that is being cancelled may still bring a connection.
      if (it.armed) room -= 1;
      if (it.cancelled) ending += 1;
    }
    let excess = -room - ending;
    for (const [listener, it] of this.#listeners) {
      const tag = tagOf(Kind.accept, listener);
      if (it.armed) {
        const unwanted = it.leaving || excess > 0 || (it.many && !many);
        if (!unwanted || it.cancelled) continue;
        it.cancelled = true;
        excess -= 1;
        this.#ring.cancel(tag, it.generation);
      } else if (it.leaving) {
        this.#listeners.delete(listener);
        this.#plenty -= it.backlog;
        this.refuse(it.fd);
      } else if (room > 0) {
        room -= 1;
        it.armed = true;
        it.many = many;
        if (many) this.#ring.acceptMany(it.fd, tag, it.generation);
        else this.#ring.accept(it.fd, tag, it.generation);
      }
    }
  }
}
