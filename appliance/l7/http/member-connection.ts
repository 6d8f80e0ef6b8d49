/**
 * A connection to a member: sends the requests of exchanges, one after the other, and reads the answers.
 *
 * Invariants:
 * - It waits for the next request only when the last answer was whole, the member lets it go on, and
 *   nothing more arrived: bytes that nobody asked for end it.
 * - The slot is closed by nobody else; after close() no exchange hears of it.
 */
import { progress } from '../http1/faults.js';
import { bodyKind } from '../http1/framing.js';
import type { ResponseHead } from '../http1/response-head.js';
import type { L7Pool } from '../tables.js';
import { answers } from './answers.js';
import { BodyReader, bodyStep, BodyWriter } from './body.js';
import { Role, type Core, WINDOW } from './core.js';
import type { Exchange } from './exchange.js';
import type { Inbound } from './inbound.js';
import type { HttpMember } from './runtime.js';

/** More interim answers to a request than this are no answer: nothing else would bound them. */
const MOST_INTERIM = 64;
/** Bytes of a long answer after which they are told of. */
const TELL = 262_144;
/** Milliseconds that the last bytes of a tunnel may take. */
const FLUSH = 5000;

/** Buffers that may be filled before the head of an answer is read: as many as a coder takes. */
const HEAD_ROOM = 4;

const State = { connecting: 0, head: 1, body: 2, idle: 3, closing: 4 } as const;

export class MemberConnection {
  /** Of answers. */
  readonly reader = new BodyReader();
  /** Of bodies of requests. */
  readonly writer: BodyWriter;
  #state: number = State.closing;
  #exchange: Exchange | null = null;
  #member: HttpMember | null = null;
  #pool: L7Pool | null = null;
  #head: ResponseHead | null = null;
  #requests = 0;
  #reused = false;
  /** Bytes of this request went out. */
  #began = false;
  /** Bytes of this answer have come. */
  #heard = false;
  /** Interim answers to this request. */
  #interims = 0;
  /** The member lets the connection go on. */
  #persistent = false;
  /** Bytes of the answer that the balancer knows of. */
  #told = 0;

  constructor(
    private readonly core: Core,
    readonly slot: number,
    readonly inbound: Inbound,
  ) {
    this.writer = new BodyWriter(core.connections);
  }

  get connected(): boolean {
    return this.#state === State.head || this.#state === State.body;
  }

  get #sentAll(): boolean {
    return this.core.connections.unsent(this.slot) === 0;
  }

  /** The next request is an exchange's; its head is about to be written. */
  begin(exchange: Exchange, member: HttpMember, pool: L7Pool, reused: boolean): void {
    const { core, slot } = this;
    this.#exchange = exchange;
    this.#member = member;
    this.#pool = pool;
    this.#reused = reused;
    this.#began = false;
    this.#heard = false;
    this.#interims = 0;
    this.#told = 0;
    this.#persistent = false;
    this.reader.done = false;
    this.reader.total = 0;
    const timeouts = exchange.service?.service.timeouts;
    if (reused) {
      this.#requests += 1;
      this.#state = State.head;
      if (timeouts !== undefined) core.deadlines.set(slot, timeouts.response);
    } else {
      core.role[slot] = Role.member;
      this.#requests = 1;
      this.#state = State.connecting;
      if (timeouts !== undefined) core.deadlines.set(slot, timeouts.connect);
    }
  }

  onConnect(errno: number): void {
    const { core } = this;
    const exchange = this.#exchange;
    if (this.#member !== null) core.observer.connected(this.#member, errno);
    if (this.#state !== State.connecting) return;
    if (errno !== 0) {
      if (exchange === null) this.close();
      else exchange.failed('member-failed', 'unsent', answers.badGateway);
      return;
    }
    this.#state = State.head;
    if (exchange === null) {
      this.close();
      return;
    }
    core.deadlines.set(this.slot, exchange.service?.service.timeouts.response ?? 0);
    exchange.client?.pump();
  }

  onData(buffer: number): void {
    if (this.#state === State.idle || this.#exchange === null) {
      this.core.drop(buffer);
      this.close();
      return;
    }
    if (this.#reused && !this.#began && this.#state === State.head) {
      // No byte of the request is out, so this is no answer to it.
      this.core.drop(buffer);
      this.#exchange.failed('bad-response', 'stale', answers.badResponse);
      return;
    }
    this.#heard = true;
    this.inbound.add(buffer);
    this.#advance(this.#exchange);
  }

  onEnd(errno: number): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.close();
      return;
    }
    if (errno === 0 && this.#state === State.body && this.reader.ended()) {
      this.#persistent = false;
      const { client } = exchange;
      if (this.reader.kind === bodyKind.tunnel) client?.tunnelEnded();
      else if (client?.sink.end(this.core.pool.bytes, null) === false) {
        exchange.failed('no-memory', 'sent', answers.overloaded);
      } else exchange.complete();
      return;
    }
    const reason = this.#state === State.body ? 'member-cut' : 'member-failed';
    const stale = this.#reused && !this.#heard;
    exchange.failed(reason, stale ? 'stale' : 'sent', answers.badGateway);
  }

  onSent(): void {
    this.#began = true;
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (this.#state === State.head) {
      this.core.deadlines.set(this.slot, exchange.service?.service.timeouts.response ?? 0);
    } else if (this.#state === State.body && this.reader.kind === bodyKind.tunnel) {
      // A tunnel lives by bytes in either direction.
      this.core.deadlines.set(this.slot, exchange.service?.service.timeouts.tunnel ?? 0);
    }
    exchange.client?.roomier();
  }

  /** The end of a tunnel was sent. */
  onFinished(): void {
    if (this.#exchange === null) this.close();
  }

  onSendError(_errno: number): void {
    // An answer that tells why may still be here; the end of the connection follows it.
  }

  /** The deadline has come. */
  onDeadline(): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.close();
      return;
    }
    const { client } = exchange;
    if (this.#state === State.body && client !== null && client.pending > 0) {
      // It waits for the client, who has a deadline of its own.
      this.core.deadlines.set(this.slot, exchange.service?.service.timeouts.idle ?? 0);
      return;
    }
    if (this.#state === State.head && client?.requestDone === false && this.#sentAll) {
      // It waits for the rest of the request, and the client has a deadline of its own for that.
      this.core.deadlines.set(this.slot, exchange.service?.service.timeouts.response ?? 0);
      return;
    }
    const how = this.#state === State.connecting ? 'unsent' : 'sent';
    exchange.failed('member-timeout', how, answers.gatewayTimeout);
  }

  /** Bytes of the answer that the balancer does not know of yet. */
  get untold(): number {
    return this.reader.total - this.#told;
  }

  /** How many more buffers may be filled now. */
  room(): number {
    if (this.#state === State.closing) return 0;
    const client = this.#exchange?.client;
    if (client === null || client === undefined || this.#state !== State.body) {
      return HEAD_ROOM - this.inbound.held;
    }
    return client.bodyRoom - this.inbound.held;
  }

  /** A request is whole, and its answer is waited for. */
  get quiet(): boolean {
    return this.#state === State.head && this.#exchange?.client?.requestDone === true;
  }

  /** How much of a body is worth receiving at once, in buffers. */
  bulk(): number {
    if (this.#state !== State.body) return 0;
    return this.reader.wants(this.room(), this.core.pool.size);
  }

  /** The client took something. */
  roomier(): void {
    this.core.connections.touch(this.slot);
  }

  /** The exchange is over and the answer was whole. */
  rest(): void {
    const { core, slot } = this;
    const pool = this.#pool;
    const member = this.#member;
    this.#exchange = null;
    this.#head = null;
    if (
      !this.#persistent ||
      core.draining ||
      pool === null ||
      member === null ||
      pool.proxyProtocol !== 'off' ||
      !this.inbound.empty ||
      this.#requests >= pool.requestsPerConnection ||
      member.idleCount >= pool.idleConnections ||
      !this.#sentAll
    ) {
      this.close();
      return;
    }
    this.#state = State.idle;
    // An empty buffer in hand goes back now: connections that wait hold none.
    this.inbound.clear();
    core.deadlines.set(slot, pool.idleTimeout);
    core.idle.push(member, slot);
  }

  /** Sends what is there, then the end, and closes. */
  flush(): void {
    if (this.#state === State.closing) return;
    this.#exchange = null;
    this.core.connections.finish(this.slot);
    this.core.deadlines.set(this.slot, FLUSH);
  }

  close(): void {
    if (this.#state === State.closing) return;
    const { core, slot } = this;
    this.#state = State.closing;
    this.#exchange = null;
    core.idle.remove(slot);
    core.deadlines.clear(slot);
    core.connections.close(slot);
  }

  onClosed(): void {
    this.#state = State.closing;
    // The loop may have closed it by itself.
    this.core.idle.remove(this.slot);
    this.inbound.clear();
    this.#head = null;
    this.#member = null;
    this.#pool = null;
    this.core.deadlines.clear(this.slot);
    this.core.role[this.slot] = Role.none;
  }

  #advance(exchange: Exchange): void {
    if (this.#state === State.head && !this.#readHeads(exchange)) return;
    if (this.#state === State.body) this.#relay(exchange);
  }

  /** Whether the head of the final answer was read and passed on. */
  #readHeads(exchange: Exchange): boolean {
    const { core, inbound } = this;
    const { bytes } = core.pool;
    const { service, client } = exchange;
    if (service === null || client === null) return false;
    while (inbound.fill()) {
      let head = this.#head;
      if (head === null) {
        head = service.heads.response;
        head.reset(inbound.at, exchange.method, exchange.upgrade);
      }
      let step = head.parse(bytes, inbound.end);
      while (step === progress.more) {
        if (!inbound.more) {
          this.#head ??= service.heads.lendResponse();
          return false;
        }
        const delta = inbound.compact();
        if (delta !== 0) head.move(delta);
        if (!inbound.join()) break;
        step = head.parse(bytes, inbound.end);
      }
      if (step !== progress.done) {
        exchange.failed('bad-response', 'sent', answers.badResponse);
        return false;
      }
      inbound.at = head.end;
      const whole = head.interim ? this.#interim(exchange, head) : this.#final(exchange, head);
      if (this.#head !== null) {
        service.heads.giveBack(this.#head);
        this.#head = null;
      }
      if (whole) return this.#state === State.body;
      if (this.#exchange !== exchange) return false;
    }
    return false;
  }

  /** 1xx: another head follows. Always false. */
  #interim(exchange: Exchange, head: ResponseHead): boolean {
    this.#interims += 1;
    const held = exchange.client?.heldOut ?? 0;
    if (this.#interims > MOST_INTERIM || held > 2 * WINDOW) {
      exchange.failed('bad-response', 'sent', answers.badResponse);
      return false;
    }
    // HTTP/1.0 knows no interim answers (RFC 9110 §15.2).
    if (
      exchange.minor === 1 &&
      exchange.client?.writeHead(exchange, head, this.inbound, true) === false
    ) {
      exchange.failed('no-memory', 'sent', answers.overloaded);
    }
    return false;
  }

  #final(exchange: Exchange, head: ResponseHead): boolean {
    const { core, slot, inbound } = this;
    const { client, service } = exchange;
    if (client === null || service === null) return false;
    this.#persistent = head.persistent;
    if (head.body === bodyKind.tunnel) {
      // RFC 9110 §7.8: nobody switches before the request is whole.
      if (!client.requestDone) {
        exchange.failed('bad-response', 'sent', answers.badResponse);
        return false;
      }
      this.writer.begin(slot, false);
    }
    if (!client.writeHead(exchange, head, inbound, false)) {
      exchange.failed('no-memory', 'sent', answers.overloaded);
      return false;
    }
    exchange.heard(head, core.pool.bytes);
    this.#state = State.body;
    const body = client.bodyTaken ? bodyKind.none : head.body;
    this.reader.begin(body, head.length, inbound, service.heads.answers);
    if (client.bodyTaken) this.reader.total = head.length;
    const tunnel = head.body === bodyKind.tunnel;
    core.deadlines.set(
      slot,
      tunnel ? service.service.timeouts.tunnel : service.service.timeouts.idle,
    );
    if (tunnel) client.beginTunnel();
    return true;
  }

  #relay(exchange: Exchange): void {
    const { core, slot } = this;
    const { client, service } = exchange;
    if (client === null || service === null) return;
    const step = this.reader.relay(core.pool.bytes, this.inbound, client.sink);
    client.writing();
    switch (step) {
      case bodyStep.done:
        exchange.complete();
        return;
      case bodyStep.more: {
        const { untold } = this;
        if (untold >= TELL) {
          this.#member?.transferred(core.timers.now, untold);
          this.#told += untold;
        }
        const { timeouts } = service.service;
        const tunnel = this.reader.kind === bodyKind.tunnel;
        core.deadlines.set(slot, tunnel ? timeouts.tunnel : timeouts.idle);
        return;
      }
      case bodyStep.refused:
        exchange.failed('bad-response', 'sent', answers.badResponse);
        return;
      default:
        exchange.failed('no-memory', 'sent', answers.overloaded);
    }
  }
}
