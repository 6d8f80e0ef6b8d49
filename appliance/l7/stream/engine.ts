/**
 * The stream engine of a worker, for services of `protocol: tcp` and `tls`: bytes go both ways between
 * a client and its member, uncopied, each end of one becoming an end of the other.
 *
 * Invariants:
 * - It hears of its own slots alone: clients that accept() was given, and what claim() was told of.
 * - One side receives no more than the other takes: a window of buffers, less when buffers are scarce.
 * - A half that ends in order ends the other's half in order, after all bytes; a reset is a reset.
 * - Nothing is allocated for bytes; objects of connections are used again.
 */
import { Owner } from '../ring/buffer-pool.js';
import { Opening } from './opening.js';
import { Reaching } from './reaching.js';
import type { StreamService } from './service.js';
import { ALL_HALVES, Half, State, type StreamSession } from './session.js';
import { Streams, WINDOW, type StreamOptions } from './streams.js';

export class StreamEngine {
  readonly #streams: Streams;
  readonly #opening: Opening;
  readonly #reaching: Reaching;
  readonly #queueTimer: number;

  constructor(options: StreamOptions) {
    this.#streams = new Streams(options);
    this.#reaching = new Reaching(this.#streams);
    this.#opening = new Opening(this.#streams, this.#reaching);
    this.#queueTimer = options.queueTimer;
  }

  /** Clients that are served. */
  get open(): number {
    return this.#streams.open;
  }

  /** Bytes of a session that is not yet forgotten: from its client, and to it. */
  fromClient(session: StreamSession): number {
    return this.#streams.fromClient(session);
  }

  toClient(session: StreamSession): number {
    return this.#streams.toClient(session);
  }

  /** Serves a client as the present snapshot says. */
  accept(slot: number, service: StreamService): void {
    this.#opening.accept(slot, service);
  }

  onConnect(slot: number, code: number): void {
    const session = this.#streams.at(slot);
    if (session === null) return;
    if (code === 0) this.#reaching.connected(session);
    else this.#reaching.failed(session, code);
  }

  onData(slot: number, buffer: number): void {
    const streams = this.#streams;
    const session = streams.at(slot);
    if (session === null) {
      streams.drop(buffer);
      return;
    }
    const length = streams.pool.length[buffer] as number;
    if (session.state === State.relay) {
      streams.connections.write(other(session, slot), buffer, Owner.handler);
      this.#active(session);
      streams.count(session, slot, length);
    } else if (session.state === State.ending) {
      streams.drop(buffer);
      this.#opening.threwAway(session, length);
    } else {
      // Once its PROXY header is read, what is behind that counts.
      if (session.state !== State.proxy) streams.count(session, slot, length);
      streams.input.append(slot, buffer, Owner.handler);
      this.#opening.received(session);
    }
  }

  onSecured(slot: number): void {
    const session = this.#streams.at(slot);
    if (session !== null) this.#opening.secured(session);
  }

  onEnd(slot: number, code: number): void {
    const session = this.#streams.at(slot);
    if (session === null) return;
    const { connections } = this.#streams;
    const ofClient = slot === session.client;
    switch (session.state) {
      case State.relay:
        if (code !== 0) {
          this.#cut(session, ofClient);
          return;
        }
        connections.finish(other(session, slot));
        this.#half(session, ofClient ? Half.clientEnded : Half.memberEnded);
        return;
      case State.waiting:
      case State.connecting:
        // It may have said all that it has to say.
        if (code === 0) session.halves |= Half.clientEnded;
        else this.#streams.over(session, 'client-gone', true);
        return;
      case State.ending:
        session.halves |= Half.clientEnded;
        if (code !== 0 || connections.finished(slot)) {
          this.#streams.over(session, session.reason, false);
        }
        return;
      default:
        this.#streams.over(session, 'client-gone', false);
    }
  }

  onSent(slot: number, _bytes: number): void {
    const session = this.#streams.at(slot);
    if (session === null || session.state !== State.relay) return;
    this.#streams.connections.touch(other(session, slot));
    this.#active(session);
  }

  onSendError(slot: number, _errno: number): void {
    const session = this.#streams.at(slot);
    if (session === null) return;
    if (session.state === State.relay) this.#cut(session, slot === session.client);
    else this.#streams.over(session, session.reason, true);
  }

  onFinished(slot: number): void {
    const session = this.#streams.at(slot);
    if (session === null) return;
    if (session.state === State.relay) {
      this.#half(session, slot === session.client ? Half.clientFinished : Half.memberFinished);
    } else if ((session.halves & Half.clientEnded) !== 0) {
      this.#streams.over(session, session.reason, false);
    }
  }

  onClosed(slot: number): void {
    // Only a loop that is being closed closes by itself.
    const session = this.#streams.at(slot);
    if (session !== null) this.#streams.over(session, 'stopped', true);
  }

  room(slot: number): number {
    const streams = this.#streams;
    const session = streams.at(slot);
    if (session === null) return 0;
    if (session.state === State.relay) {
      const held = streams.connections.heldOut(other(session, slot));
      return streams.pool.fairShare(WINDOW) - held;
    }
    return session.state === State.ending ? 1 : this.#opening.room(session);
  }

  bulk(slot: number): number {
    return this.#streams.at(slot)?.state === State.relay ? this.room(slot) : 0;
  }

  /** What one end takes makes room for the other. */
  quiet(_slot: number): boolean {
    return false;
  }

  onTimer(timer: number): void {
    if (timer === this.#queueTimer) {
      this.#reaching.lookAtQueues();
      return;
    }
    const streams = this.#streams;
    if (!streams.deadlines.fired(timer)) return;
    const session = streams.at(timer);
    if (session === null) return;
    if (session.state === State.relay) streams.over(session, 'idle', true);
    else this.#opening.expired(session);
  }

  /** onDrained is told when the last session is over, now if there is none. No more is accepted. */
  drain(): void {
    this.#streams.draining = true;
    if (this.#streams.open === 0) this.#streams.options.onDrained?.();
  }

  /** Resets all that are left. */
  cut(): void {
    this.#streams.cut();
  }

  #active(session: StreamSession): void {
    const { service, client } = session;
    if (service !== null) this.#streams.deadlines.set(client, service.service.timeouts.tunnel);
  }

  #half(session: StreamSession, half: number): void {
    session.halves |= half;
    if (session.halves === ALL_HALVES) this.#streams.over(session, 'complete', false);
  }

  #cut(session: StreamSession, byClient: boolean): void {
    this.#streams.over(session, byClient ? 'client-reset' : 'member-reset', true);
  }
}

function other(session: StreamSession, slot: number): number {
  return slot === session.client ? session.peer : session.client;
}
