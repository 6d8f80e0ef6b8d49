/**
 * A session until it is known where to: PROXY header, ClientHello or handshake, limits, route.
 *
 * Invariants: where TLS ends here, no member hears of a client before its handshake is over. Whoever is refused is reset, or told by a TLS alert, which arrives because the connection
 * then ends in order.
 */
import { errno } from '../../../native/ffi/io-uring-abi.js';
import { Owner } from '../ring/buffer-pool.js';
import { peerOf } from '../../../native/ffi/tcp-socket.js';
import { progress, type Progress } from '../http1/faults.js';
import { latin1 } from '../http1/fields.js';
import { ProxyHeader } from '../http1/proxy-protocol.js';
import { alert, alertRecord } from './alerts.js';
import type { HelloReader } from './runtime.js';
import type { Reaching } from './reaching.js';
import type { StreamEnd } from './observer.js';
import type { StreamService } from './service.js';
import { State, type StreamSession } from './session.js';
import type { Streams } from './streams.js';

/** Buffers that a client may fill before it is known where to; a ClientHello of 16 KiB needs as many. */
const OPENING_WINDOW = 8;
/** Bytes of a PROXY header of version 2 after its fixed part. */
const PROXY_SIZE = 2048;
/** Milliseconds that a client has to take an alert and to end; bytes that may arrive meanwhile. */
const LINGER = 2000;
const LINGER_BYTES = 1_048_576;

const sockaddr = new Uint8Array(28);

export class Opening {
  readonly #streams: Streams;
  readonly #reaching: Reaching;
  readonly #proxy = new ProxyHeader({ size: PROXY_SIZE, versions: 'both' });
  /** A PROXY header as a whole, however it came. */
  readonly #scratch = new Uint8Array(PROXY_SIZE + 16);
  readonly #random: Uint32Array;

  constructor(streams: Streams, reaching: Reaching) {
    this.#streams = streams;
    this.#reaching = reaching;
    this.#random = crypto.getRandomValues(new Uint32Array(1));
    if (this.#random[0] === 0) this.#random[0] = 1;
  }

  accept(slot: number, service: StreamService): void {
    const streams = this.#streams;
    const { connections, deadlines } = streams;
    const session = streams.begin(slot, service);
    session.state = State.proxy;
    streams.observer.accepted(service);
    if (peerOf(connections.slots.fd[slot] as number, sockaddr) < 0) {
      streams.over(session, 'client-gone', false);
      return;
    }
    session.source.setSockaddr(sockaddr);
    const accepts = service.service.proxyProtocol === 'accept';
    if (accepts || service.tls || service.secure !== null) {
      deadlines.set(slot, service.service.timeouts.head);
    }
    if (accepts) return;
    if (service.secure !== null) service.secure.ends.accept(slot, service.secure);
    this.#enter(session, service);
  }

  /** More of what the client sends first. */
  received(session: StreamSession): void {
    const { service } = session;
    if (service === null) return;
    if (session.state === State.proxy) this.#readProxy(session, service);
    else if (session.state === State.hello) this.#readHello(session, service);
    this.#spareBuffers(session);
  }

  /** TLS has ended here: the client is who it is, and has asked for a name or not. */
  secured(session: StreamSession): void {
    const { service } = session;
    const ends = service?.secure?.ends;
    if (service === null || ends === undefined || session.state !== State.hello) return;
    session.name = ends.serverName(session.client);
    this.#route(session, service);
  }

  /** How many more buffers a client may fill. */
  room(session: StreamSession): number {
    const { input, pool } = this.#streams;
    const held = input.buffers[session.client] as number;
    // A header or a hello that is not whole must not wait for more room than there will be.
    const whole = session.state === State.waiting || session.state === State.connecting;
    return (whole ? pool.fairShare(OPENING_WINDOW) : OPENING_WINDOW) - held;
  }

  /** While it is ending: something arrived that nobody wants. */
  threwAway(session: StreamSession, bytes: number): void {
    session.thrown += bytes;
    if (session.thrown > LINGER_BYTES) this.#streams.over(session, session.reason, true);
  }

  expired(session: StreamSession): void {
    switch (session.state) {
      case State.waiting:
        this.#streams.over(session, 'busy', true);
        return;
      case State.connecting:
        this.#reaching.failed(session, errno.ETIMEDOUT);
        return;
      case State.ending:
        this.#streams.over(session, session.reason, true);
        return;
      default:
        this.#streams.over(session, 'too-slow', true);
    }
  }

  #enter(session: StreamSession, service: StreamService): void {
    const { limits } = service;
    if (limits !== null) {
      if (!limits.enter(session.client, session.source)) {
        this.#streams.over(session, 'limit', true);
        return;
      }
      session.entered = true;
    }
    if (!service.tls && service.secure === null) {
      this.#route(session, service);
      return;
    }
    session.state = State.hello;
    if (service.secure !== null) return;
    session.hello = this.#streams.lendHello();
    this.#readHello(session, service);
  }

  #readProxy(session: StreamSession, service: StreamService): void {
    const streams = this.#streams;
    const header = this.#proxy;
    header.reset(0);
    const { shelf, client } = session;
    const step = header.parse(this.#scratch, shelf.copyFirst(streams.input, client, this.#scratch));
    if (step === progress.more) return;
    if (step !== progress.done) {
      streams.over(session, 'bad-proxy-header', true);
      return;
    }
    // What is on the shelf was not yet the whole header.
    streams.input.consume(client, header.end - shelf.length);
    shelf.clear();
    streams.count(session, client, streams.input.bytes[client] as number);
    if (header.family !== 0) {
      session.source.set(header.source, 0, header.family, header.sourcePort);
      session.destination.set(header.destination, 0, header.family, header.destinationPort);
    }
    const { secure } = service;
    const rest: number[] = [];
    if (secure !== null) {
      while ((streams.input.head[client] as number) >= 0) {
        rest.push(streams.input.shift(client, Owner.handler));
      }
      secure.ends.accept(client, secure);
    }
    this.#enter(session, service);
    for (const buffer of rest) secure?.ends.received(client, buffer);
  }

  /** While they are scarce, clients that have no member hold no buffers. */
  #spareBuffers(session: StreamSession): void {
    const { input, pool } = this.#streams;
    if (session.state === State.over || session.state === State.relay) return;
    if (pool.withKernel >= pool.receiving >> 1 || (input.bytes[session.client] as number) === 0)
      return;
    if (session.shelf.take(input, session.client)) session.fed = 0;
  }

  #readHello(session: StreamSession, service: StreamService): void {
    const { hello } = session;
    if (hello === null) return;
    const step = this.#feed(session, hello);
    if (step === progress.more) {
      if (this.room(session) <= 0) this.#refuse(session, alert.decodeError, 'bad-hello');
      return;
    }
    if (step === progress.done) {
      session.name = latin1(hello.bytes, hello.nameStart, hello.nameEnd);
      this.#streams.giveHello(session);
      this.#route(session, service);
    } else this.#refuse(session, hello.fault?.alert ?? alert.decodeError, 'bad-hello');
  }

  /** Gives the reader what it has not yet seen; that stays where it is. */
  #feed(session: StreamSession, hello: HelloReader): Progress {
    const { input, pool } = this.#streams;
    let skip = session.fed;
    for (let id = input.head[session.client] as number; id >= 0; id = pool.next[id] as number) {
      const length = pool.length[id] as number;
      if (skip < length) {
        const begin = id * pool.size + (pool.start[id] as number);
        session.fed += length - skip;
        const step = hello.feed(pool.bytes, begin + skip, begin + length);
        if (step !== progress.more) return step;
        skip = length;
      }
      skip -= length;
    }
    return progress.more;
  }

  /** Says why, if there is a way to say it. */
  #refuse(session: StreamSession, description: number, reason: StreamEnd): void {
    const streams = this.#streams;
    const { connections } = streams;
    const { client } = session;
    const record = alertRecord(description);
    if (
      description < 0 ||
      connections.writeBytes(client, record, 0, record.length) < record.length
    ) {
      streams.over(session, reason, true);
      return;
    }
    session.state = State.ending;
    session.reason = reason;
    streams.giveHello(session);
    streams.input.clear(client);
    connections.finish(client);
    streams.deadlines.set(client, LINGER);
  }

  #route(session: StreamSession, service: StreamService): void {
    const streams = this.#streams;
    const { source, name } = session;
    const index = service.find(name, source);
    const route = service.service.routes[index];
    if (route === undefined) {
      this.#refuse(session, service.tls ? alert.unrecognizedName : -1, 'no-route');
      return;
    }
    session.route = index;
    const allowed = service.limits?.allow(route, source, name, streams.timers.now) ?? true;
    if (!allowed) {
      streams.over(session, 'limit', true);
      return;
    }
    // Who sticks to a member sticks to its pool.
    const number = service.sticky === null ? this.#draw() : source.hash();
    const pool = service.poolFor(index, number);
    if (pool === null) {
      streams.over(session, 'no-route', true);
      return;
    }
    session.pool = pool;
    this.#reaching.choose(session, pool);
  }

  /** A number below 2^32 (xorshift). */
  #draw(): number {
    const random = this.#random;
    let x = random[0] as number;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    random[0] = x;
    return random[0];
  }
}
