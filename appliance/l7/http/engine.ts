/**
 * The HTTP engine of a worker: gives what happens on the ring to the client's or the member's side of
 * the slot.
 *
 * Invariant: after drain() no connection serves another request, and nothing that was begun is cut.
 */
import type { WorkerLoop } from '../ring/worker-loop.js';
import type { Binding } from './client-connection.js';
import { Core, Role } from './core.js';
import type { HttpObserver } from './observer.js';

export class HttpEngine {
  readonly core: Core;
  readonly #queueTimer: number;

  /** Timers of the loop: one for each slot, by its number, and `queueTimer`. */
  constructor(loop: WorkerLoop, queueTimer: number, observer?: HttpObserver) {
    this.core = new Core(loop.connections, loop, queueTimer, observer);
    this.#queueTimer = queueTimer;
  }

  accept(slot: number, binding: Binding): void {
    this.core.client(slot).accept(binding);
  }

  onConnect(slot: number, errno: number): void {
    this.core.member(slot).onConnect(errno);
  }

  onData(slot: number, buffer: number): void {
    const { core } = this;
    if (core.role[slot] === Role.client) core.client(slot).onData(buffer);
    else core.member(slot).onData(buffer);
  }

  onSecured(slot: number): void {
    this.core.client(slot).onSecured();
  }

  onEnd(slot: number, errno: number): void {
    const { core } = this;
    if (core.role[slot] === Role.client) core.client(slot).onEnd(errno);
    else core.member(slot).onEnd(errno);
  }

  onSent(slot: number, bytes: number): void {
    const { core } = this;
    if (core.role[slot] === Role.client) core.client(slot).onSent(bytes);
    else core.member(slot).onSent();
  }

  onSendError(slot: number, errno: number): void {
    const { core } = this;
    if (core.role[slot] === Role.client) core.client(slot).onSendError(errno);
    else core.member(slot).onSendError(errno);
  }

  onFinished(slot: number): void {
    const { core } = this;
    if (core.role[slot] === Role.client) core.client(slot).onFinished();
    else core.member(slot).onFinished();
  }

  onClosed(slot: number): void {
    const { core } = this;
    if (core.role[slot] === Role.client) core.client(slot).onClosed();
    else core.member(slot).onClosed();
  }

  room(slot: number): number {
    const { core } = this;
    return core.role[slot] === Role.client ? core.client(slot).room() : core.member(slot).room();
  }

  bulk(slot: number): number {
    const { core } = this;
    return core.role[slot] === Role.client ? core.client(slot).bulk() : core.member(slot).bulk();
  }

  quiet(slot: number): boolean {
    const { core } = this;
    return core.role[slot] === Role.client ? core.client(slot).quiet : core.member(slot).quiet;
  }

  onTimer(slot: number): void {
    const { core } = this;
    if (slot === this.#queueTimer) {
      core.lookAtQueues();
      return;
    }
    if (!core.deadlines.fired(slot)) return;
    if (core.role[slot] === Role.client) core.client(slot).onDeadline();
    else if (core.role[slot] === Role.member) core.member(slot).onDeadline();
  }

  /** Whether the slot is one of ours. */
  has(slot: number): boolean {
    return this.core.role[slot] !== Role.none;
  }

  close(): void {
    this.core.close();
  }
}
