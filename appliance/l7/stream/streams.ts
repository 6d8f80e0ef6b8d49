/**
 * What the parts of the stream engine share: sessions by slot, what clients sent before their member
 * was reached, counts of bytes, and the end of a session.
 *
 * Invariants:
 * - A session ends once: both connections are closed, its member, limits and queue get back what it
 *   had, and all its bytes are told.
 * - From then on no slot leads to it; of those slots only onClosed is still to come.
 */
import type { Deadlines, DeadlineTimers } from '../http/deadlines.js';
import { Owner, type BufferPool } from '../ring/buffer-pool.js';
import { Chains } from '../ring/chains.js';
import type { Connections } from '../ring/connections.js';
import { noStreamObserver, type StreamEnd, type StreamObserver } from './observer.js';
import type { HelloReader } from './runtime.js';
import type { StreamService } from './service.js';
import { State, StreamSession } from './session.js';

/** Buffers that one side may fill before the other takes them. */
export const WINDOW = 16;
/** Bytes of a connection after which they are told of while it runs. */
const TELL = 262_144;

export interface StreamOptions {
  readonly connections: Connections;
  /** The loop: one timer for each slot, by its number, and `queueTimer`. */
  readonly timers: DeadlineTimers;
  /** Of all engines of the loop together, because a slot's timer passes from one to the other. */
  readonly deadlines: Deadlines;
  readonly queueTimer: number;
  /** A slot that connect() gave is ours until its onClosed. */
  claim(slot: number): void;
  /** For services of `protocol: tls`. */
  newHello(): HelloReader;
  readonly observer?: StreamObserver;
  /** After drain(): the last session is over. */
  onDrained?(): void;
}

export class Streams {
  readonly connections: Connections;
  readonly pool: BufferPool;
  readonly timers: DeadlineTimers;
  readonly deadlines: Deadlines;
  readonly observer: StreamObserver;
  /** By the client's slot: what came before it could be passed on. */
  readonly input: Chains;
  /** Sessions that are not over. */
  open = 0;
  draining = false;

  readonly #bySlot: (StreamSession | null)[];
  /** Bytes received, by slot: since they were last told, and before. */
  readonly #fresh: Int32Array;
  readonly #told: Float64Array;
  readonly #spare: StreamSession[] = [];
  readonly #hellos: HelloReader[] = [];

  constructor(readonly options: StreamOptions) {
    const { connections } = options;
    const slots = connections.slots.count;
    this.connections = connections;
    this.pool = connections.pool;
    this.timers = options.timers;
    this.deadlines = options.deadlines;
    this.observer = options.observer ?? noStreamObserver;
    this.input = new Chains(this.pool, slots, this.pool.owner('stream input'));
    this.#bySlot = new Array<StreamSession | null>(slots).fill(null);
    this.#fresh = new Int32Array(slots);
    this.#told = new Float64Array(slots);
  }

  at(slot: number): StreamSession | null {
    return this.#bySlot[slot] as StreamSession | null;
  }

  begin(client: number, service: StreamService): StreamSession {
    const session = this.#spare.pop() ?? new StreamSession();
    session.begin(client, service, this.timers.now);
    this.join(session, client);
    this.open += 1;
    return session;
  }

  /** A slot leads to the session from now on. */
  join(session: StreamSession, slot: number): void {
    this.#bySlot[slot] = session;
    this.#fresh[slot] = 0;
    this.#told[slot] = 0;
  }

  /** The connection to a member came to nothing. */
  leavePeer(session: StreamSession): void {
    const { peer } = session;
    session.peer = -1;
    this.#bySlot[peer] = null;
    this.connections.close(peer);
  }

  lendHello(): HelloReader {
    const hello = this.#hellos.pop() ?? this.options.newHello();
    hello.reset();
    return hello;
  }

  giveHello(session: StreamSession): void {
    if (session.hello === null) return;
    this.#hellos.push(session.hello);
    session.hello = null;
  }

  count(session: StreamSession, slot: number, bytes: number): void {
    const fresh = (this.#fresh[slot] as number) + bytes;
    this.#fresh[slot] = fresh;
    if (fresh >= TELL) session.member?.transferred(this.timers.now, this.#tell(session));
  }

  /** Bytes from the client so far, without a PROXY header. */
  fromClient(session: StreamSession): number {
    return (this.#told[session.client] as number) + (this.#fresh[session.client] as number);
  }

  toClient(session: StreamSession): number {
    const { peer } = session;
    return peer < 0 ? 0 : (this.#told[peer] as number) + (this.#fresh[peer] as number);
  }

  /** `cut`: with resets, so that both ends know that something was lost. */
  over(session: StreamSession, reason: StreamEnd, cut: boolean): void {
    const { client, peer, member, service } = session;
    if (session.state === State.waiting) session.pool?.waiting.remove(client);
    session.state = State.over;
    this.deadlines.clear(client);
    this.input.clear(client);
    this.giveHello(session);
    this.#close(client, cut);
    if (peer >= 0) this.#close(peer, cut);
    const rest = this.#tell(session);
    if (member !== null) member.end(this.timers.now, session.connectMicros, rest, false);
    if (session.entered) service?.limits?.leave(client);
    this.observer.finished(session, reason);
    session.forget();
    this.#spare.push(session);
    this.open -= 1;
    if (this.draining && this.open === 0) this.options.onDrained?.();
  }

  /** Ends all that is left. */
  cut(): void {
    for (let slot = 0; slot < this.#bySlot.length; slot += 1) {
      const session = this.at(slot);
      if (session !== null) this.over(session, 'stopped', true);
    }
  }

  /** A buffer that nobody wants. */
  drop(buffer: number): void {
    this.pool.release(buffer, Owner.handler);
  }

  #close(slot: number, cut: boolean): void {
    this.#bySlot[slot] = null;
    if (cut) this.connections.reset(slot);
    else this.connections.close(slot);
  }

  /** Returns how many bytes in both directions were new. */
  #tell(session: StreamSession): number {
    const { client, peer } = session;
    const from = this.#fresh[client] as number;
    const to = peer < 0 ? 0 : (this.#fresh[peer] as number);
    if (from + to === 0) return 0;
    this.#fresh[client] = 0;
    this.#told[client] = (this.#told[client] as number) + from;
    if (peer >= 0) {
      this.#fresh[peer] = 0;
      this.#told[peer] = (this.#told[peer] as number) + to;
    }
    this.observer.moved(session, from, to);
    return from + to;
  }
}
