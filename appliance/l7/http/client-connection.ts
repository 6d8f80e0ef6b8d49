/**
 * A client's connection in HTTP/1: reads requests one after the other, begins their exchanges, and
 * writes the answers (RFC 9112 §9).
 *
 * Invariants:
 * - One exchange at a time; what a client sends ahead waits in `inbound`, within its window.
 * - After a refusal, or an answer whose request was not read to its end, nothing more is read as a
 *   request: where the next one begins would be in doubt.
 * - The connection ends in order: everything is sent, then the end, and what still arrives is thrown
 *   away for a while, so that the last answer is not lost to a reset (RFC 9112 §9.6).
 */
import { peerOf } from '../../../native/ffi/tcp-socket.js';
import { Endpoint } from '../endpoint.js';
import { writeUnavailable } from '../limits/answers.js';
import type { L7Timeouts } from '../tables.js';
import { asItIs, codingOf, contentCoding } from '../http1/coding.js';
import { faults, progress, type Fault } from '../http1/faults.js';
import { bodyKind } from '../http1/framing.js';
import { method } from '../http1/methods.js';
import { isRepeatable } from '../http1/connection.js';
import { noLines, type Peer } from '../http1/peer.js';
import { type Endpoints, ProxyHeader } from '../http1/proxy-protocol.js';
import type { RequestHead } from '../http1/request-head.js';
import type { ResponseHead } from '../http1/response-head.js';
import { passage, passageOf, writeResponse } from '../http1/rewrite-response.js';
import type { Answer } from './answers.js';
import { answers } from './answers.js';
import { BodyReader, type BodySink, bodyStep, BodyWriter } from './body.js';
import { CodedBody, codedAtOnce, type CodedBodyOwner } from './coded-body.js';
import { Role, WINDOW, type Core } from './core.js';
import type { Downstream } from './downstream.js';
import { endsOf, nobody } from './ends.js';
import type { Exchange } from './exchange.js';
import type { Inbound } from './inbound.js';
import type { EndReason } from './observer.js';
import {
  addFields,
  sendOfRoute,
  sendOwn,
  sendRefusal,
  sendTooMany,
  treatmentOf,
} from './own-answers.js';
import { Pace } from './pace.js';
import type { ServerSide } from '../tls/sides.js';
import type { HttpRoute, HttpService } from './runtime.js';

const State = { proxy: 0, head: 1, exchange: 2, tunnel: 3, ending: 4, closing: 5 } as const;

/** Milliseconds that a client has to take the last answer and to end, after all was sent. */
const LINGER = 2000;
/** Milliseconds after which a client that found no room may try again. */
const FULL_RETRY = 1000;
/** Buffers that a client may fill with heads. */
const HEAD_BUFFERS = 4;
/** Bytes that may arrive meanwhile. */
const LINGER_BYTES = 1_048_576;

/** What a listener serves now; snapshots replace it. */
export interface Binding {
  service: HttpService;
  port: number;
}

const sockaddr = new Uint8Array(28);

export class ClientConnection implements Downstream, CodedBodyOwner {
  /** Of bodies of requests. */
  readonly reader = new BodyReader();
  /** Of bodies of answers. */
  readonly writer: BodyWriter;
  readonly address = new Endpoint();
  /** Of the address. */
  hash = 0;
  bodyTaken = false;
  early = false;

  #state: number = State.closing;
  #binding: Binding | null = null;
  #exchange: Exchange | null = null;
  #head: RequestHead | null = null;
  #peer: Peer | null = null;
  /** What its TLS was begun with, whatever the service becomes meanwhile; null: there is none. */
  #secure: ServerSide | null = null;
  /** What was asked of the client's certificate when it came. */
  #demands = '';
  /** What a PROXY header said. */
  #told: ProxyHeader | null = null;
  /** The client has sent its last byte. */
  #ended = false;
  /** The member's side of a tunnel has ended. */
  #memberEnded = false;
  #advancing = false;
  readonly #pace = new Pace();
  /** The answer's body, while it is coded. */
  #coded: CodedBody | null = null;
  /** The service that its connection counts for. */
  #entered: HttpService | null = null;
  /** Bytes that were thrown away at the end. */
  #thrown = 0;

  constructor(
    private readonly core: Core,
    readonly slot: number,
    readonly inbound: Inbound,
  ) {
    this.writer = new BodyWriter(core.connections);
  }

  get requestDone(): boolean {
    return this.reader.done;
  }

  get requestBytes(): number {
    return this.reader.total;
  }

  /** Bytes that the client has not yet taken. */
  get pending(): number {
    return this.core.connections.unsent(this.slot);
  }

  get sink(): BodySink {
    return this.#coded ?? this.writer;
  }

  get bodyRoom(): number {
    const room = this.core.pool.fairShare(WINDOW) - this.heldOut;
    if (this.#coded === null) return room;
    const coded = Math.floor(this.#coded.room / this.core.pool.size);
    return coded < room ? coded : room;
  }

  /** Buffers of these. */
  get heldOut(): number {
    return this.core.connections.heldOut(this.slot);
  }

  /** The other end, in the words of heads. */
  get peer(): Peer {
    if (this.#peer === null) {
      const port = this.#binding?.port ?? 0;
      const secure = this.#secure;
      const scheme = secure === null ? 'http' : 'https';
      const known = this.core.peers.of(this.address, this.hash, port, scheme);
      const certificate = secure === null ? noLines : secure.ends.certificateLines(this.slot);
      this.#peer = certificate === noLines ? known : { ...known, certificate };
    }
    return this.#peer;
  }

  /** For the PROXY header of a member. */
  get ends(): Endpoints {
    if (this.#told !== null) return this.#told;
    const service = this.#binding?.service.service;
    return service === undefined ? nobody : endsOf(this.address, this.address.port, service);
  }

  accept(binding: Binding): void {
    const { core, slot } = this;
    core.role[slot] = Role.client;
    core.clients += 1;
    this.#binding = binding;
    this.#peer = null;
    this.#ended = false;
    this.early = false;
    this.#pace.reset();
    this.#memberEnded = false;
    this.#thrown = 0;
    this.reader.done = true;
    const { service } = binding.service;
    const { tls } = binding.service;
    this.#secure = tls;
    this.#demands = tls?.demands ?? '';
    core.observer.accepted(binding.service);
    if (peerOf(core.connections.slots.fd[slot] as number, sockaddr) < 0) {
      // Gone already.
      this.#state = State.closing;
      core.connections.close(slot);
      return;
    }
    this.address.setSockaddr(sockaddr);
    this.#told = null;
    this.hash = this.address.hash();
    core.deadlines.set(slot, service.timeouts.head);
    this.#state = State.proxy;
    if (service.proxyProtocol !== 'off') return;
    if (tls !== null) this.#beginTls(tls);
    this.#enter(binding);
  }

  onData(buffer: number): void {
    this.inbound.add(buffer);
    this.pump();
  }

  /** What waited for TLS to be sure of the client goes on. */
  onSecured(): void {
    this.early = false;
    this.pump();
  }

  #beginTls(tls: ServerSide): void {
    this.early = tls.earlyData;
    tls.ends.accept(this.slot, tls);
  }

  /** Uses what has arrived, as far as the state allows. */
  pump(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    while (this.#step());
    this.#advancing = false;
  }

  onEnd(errno: number): void {
    this.#ended = true;
    switch (this.#state) {
      case State.exchange:
        // If it has only finished sending, it may wait for its answer. Of its body, what lies here may
        // be the rest: #relay() sees.
        if (errno !== 0) this.abort('client-gone');
        else if (!this.reader.done && this.inbound.empty) this.#breaksOff();
        return;
      case State.tunnel: {
        const upstream = this.#exchange?.upstream;
        if (errno !== 0 || upstream === null || upstream === undefined) this.abort('client-gone');
        else if (this.#memberEnded) this.#tunnelOver();
        else {
          this.reader.ended();
          this.core.connections.finish(upstream.slot);
        }
        return;
      }
      case State.ending:
        if (errno !== 0 || this.pending === 0) this.close();
        return;
      default:
        this.close();
    }
  }

  onSent(bytes: number): void {
    const { core, slot } = this;
    this.#pace.took(bytes, this.pending);
    const timeouts = this.#binding?.service.service.timeouts;
    if (timeouts === undefined) return;
    if (this.#state === State.head) {
      if (!this.inbound.empty) {
        // Requests wait for it to take answers. Half a head has a deadline that this does not put off.
        if (this.#head === null) this.#paceAnswer(timeouts);
        this.pump();
      } else if (this.#head === null) core.deadlines.set(slot, timeouts.keepAlive);
    } else if (this.#state === State.exchange) {
      this.#paceAnswer(timeouts);
      if (this.#coded !== null && this.takesMore()) this.#coded.resume();
      this.#exchange?.upstream?.roomier();
    } else if (this.#state === State.tunnel) {
      core.deadlines.set(slot, timeouts.tunnel);
      this.#exchange?.upstream?.roomier();
    } else if (this.#state === State.ending && this.pending > 0) this.#paceAnswer(timeouts);
  }

  onSendError(_errno: number): void {
    if (this.#state === State.closing) return;
    this.abort('client-gone');
  }

  /** Everything was sent, and the end after it. */
  onFinished(): void {
    // Of a tunnel, only this half is over.
    if (this.#state === State.tunnel) return;
    if (this.#ended) this.close();
    else this.core.deadlines.set(this.slot, LINGER);
  }

  onDeadline(): void {
    switch (this.#state) {
      case State.head:
        // Between two requests nobody waits for an answer.
        if (this.pending > 0) this.abort('client-too-slow');
        else if (this.#head === null && this.inbound.empty) this.#end();
        else this.refuse(faults.timeout);
        return;
      case State.exchange:
        if (this.#exchange !== null && this.#exchange.list !== null)
          this.#exchange.answer(answers.busy);
        else if (this.pending > 0) this.abort('client-too-slow');
        else if (!this.reader.done && this.#exchange !== null) {
          const timeouts = this.#binding?.service.service.timeouts;
          if (timeouts !== undefined && this.#memberWaits(timeouts)) {
            this.core.deadlines.set(this.slot, timeouts.idle);
          } else if (this.#exchange.answered) this.abort('client-too-slow');
          else this.refuse(faults.timeout);
        }
        return;
      case State.tunnel:
        this.abort('client-too-slow');
        return;
      default:
        // What is cut must not look whole: a body may end with the connection.
        if (this.pending > 0) this.abort('client-too-slow');
        else this.close();
    }
  }

  room(): number {
    switch (this.#state) {
      case State.closing:
        return 0;
      case State.ending:
        return 1;
      case State.head:
      case State.proxy:
        if (this.#crowded) return 0;
        return this.core.pool.fairShare(HEAD_BUFFERS) - this.inbound.held;
      default: {
        const upstream = this.#exchange?.upstream;
        if (this.reader.done) return this.core.pool.fairShare(HEAD_BUFFERS) - this.inbound.held;
        const out =
          upstream === null || upstream === undefined
            ? 0
            : this.core.connections.heldOut(upstream.slot);
        return this.core.pool.fairShare(WINDOW) - this.inbound.held - out;
      }
    }
  }

  /** How much of a body is worth receiving at once, in buffers. */
  bulk(): number {
    const relaying = this.#state === State.exchange || this.#state === State.tunnel;
    return relaying ? this.reader.wants(this.room(), this.core.pool.size) : 0;
  }

  /** An answer is whole, and no further request waits for the client to take it. */
  get quiet(): boolean {
    return this.#state === State.head && this.inbound.empty;
  }

  /** The member took something of the request. */
  roomier(): void {
    if (!this.reader.done) this.core.connections.touch(this.slot);
  }

  /** An answer is being written: the client has to take it in time. */
  writing(): void {
    const timeouts = this.#binding?.service.service.timeouts;
    if (timeouts === undefined || this.pending === 0) return;
    if (this.#state === State.tunnel) this.core.deadlines.set(this.slot, timeouts.tunnel);
    else this.#paceAnswer(timeouts);
  }

  /** The client has to take what there is with some speed. */
  #paceAnswer(timeouts: L7Timeouts): void {
    const { deadlines, timers } = this.core;
    deadlines.set(this.slot, this.#pace.answerLeft(timers.now, timeouts));
  }

  /** Whether it is the member that holds up the request's body; then its time does not count. */
  #memberWaits(timeouts: L7Timeouts): boolean {
    const { connections, timers } = this.core;
    const upstream = this.#exchange?.upstream;
    if (upstream?.connected === true && connections.unsent(upstream.slot) === 0) return false;
    this.#pace.waitsForMember(timers.now, this.reader.total, timeouts);
    return true;
  }

  /** So has what the client sends. */
  #paceRequest(timeouts: L7Timeouts): void {
    const { deadlines, timers } = this.core;
    deadlines.set(this.slot, this.#pace.requestLeft(timers.now, this.reader.total, timeouts));
  }

  /** Passes on the head of an answer. Whether there was memory for it. */
  writeHead(exchange: Exchange, head: ResponseHead, inbound: Inbound, interim: boolean): boolean {
    const { core, slot } = this;
    const { route } = exchange;
    if (route === null) return false;
    const id = core.beginHead();
    if (id < 0) return false;
    const treated = interim ? asItIs : treatmentOf(core, exchange, head);
    const coding = codingOf(treated);
    const { bytes } = core.pool;
    const small = codedAtOnce(coding, head, bytes, inbound);
    const length = small === null ? -1 : small.length;
    const way = interim ? passage.plain : passageOf(head, exchange, treated, length);
    if (way === passage.untilClose || !this.reader.done || core.draining) {
      exchange.persistent = false;
    }
    const { persistent } = exchange;
    const { response } = route;
    writeResponse(core.writer, head, bytes, exchange, response, persistent, treated, length);
    if (!interim) addFields(core, exchange);
    if (!core.endHead(slot, id)) return false;
    if (!interim) {
      this.writer.begin(slot, way === passage.chunked);
      if (small !== null) {
        inbound.at += head.length;
        // The head is on its way: nothing else may follow it.
        exchange.answered = true;
        if (!this.writer.bytes(small, 0, length)) return false;
      } else if (coding !== contentCoding.identity && head.body !== bodyKind.none) {
        this.#coded = new CodedBody(core.compressors, coding, core.pool, this.writer, this, head);
      }
      this.bodyTaken = small !== null;
    }
    this.writing();
    return true;
  }

  queued(): void {
    const timeouts = this.#binding?.service.service.timeouts;
    if (timeouts !== undefined) this.core.deadlines.set(this.slot, timeouts.queue);
  }

  leftQueue(): void {
    const timeouts = this.#binding?.service.service.timeouts;
    if (timeouts !== undefined) this.#awaitBody(timeouts);
  }

  /** From now on the client may send the rest of its request. */
  #awaitBody(timeouts: L7Timeouts): void {
    if (this.reader.done) {
      this.core.deadlines.clear(this.slot);
      return;
    }
    this.#pace.begin(this.core.timers.now);
    this.#paceRequest(timeouts);
  }

  bodyEnded(): boolean {
    return this.#coded === null;
  }

  codedRoom(): void {
    this.#exchange?.upstream?.roomier();
  }

  takesMore(): boolean {
    return this.heldOut < WINDOW;
  }

  codedEnd(whole: boolean): void {
    this.#coded = null;
    if (whole) this.exchangeEnded('complete');
    else this.abort('no-memory');
  }

  /** After an accepted Upgrade or CONNECT: bytes go both ways until both ends have ended. */
  beginTunnel(): void {
    const service = this.#binding?.service;
    if (service === undefined) return;
    this.#state = State.tunnel;
    this.reader.begin(bodyKind.tunnel, 0, this.inbound, service.heads.limits);
    this.core.deadlines.set(this.slot, service.service.timeouts.tunnel);
    this.pump();
  }

  /** The member's side of a tunnel has ended. */
  tunnelEnded(): void {
    this.#memberEnded = true;
    this.core.connections.finish(this.slot);
    if (this.#ended) this.#tunnelOver();
  }

  #tunnelOver(): void {
    this.#exchange?.tunnelOver();
    this.#leave('complete');
    this.#state = State.ending;
    if (this.pending === 0 && this.core.connections.finished(this.slot)) this.close();
    else this.core.deadlines.set(this.slot, LINGER);
  }

  /** A redirect or a fixed answer of the route. */
  answerRoute(route: HttpRoute, head: RequestHead, bytes: Uint8Array): void {
    const { core, slot } = this;
    const exchange = this.#exchange;
    if (exchange === null) return;
    const goesOn = this.reader.done && !core.draining;
    const sent = sendOfRoute(core, slot, exchange, route, head, bytes, goesOn);
    if (sent === 'sent') this.exchangeEnded('complete');
    else if (sent === 'too-long') this.refuse(faults.targetTooLong);
    else this.abort('no-memory');
  }

  /** An answer of Weir's own ends the exchange. */
  answerWith(one: Answer, reason: EndReason): void {
    const { core, slot } = this;
    const exchange = this.#exchange;
    if (exchange === null || this.#state === State.closing) return;
    if (sendOwn(core, slot, exchange, one, this.reader.done)) this.exchangeEnded(reason);
    else this.abort('no-memory');
  }

  answerTooMany(wait: number): void {
    const { core, slot } = this;
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (sendTooMany(core, slot, exchange, wait, this.reader.done)) this.exchangeEnded('complete');
    else this.abort('no-memory');
  }

  /** The request is none: says why and ends the connection. */
  refuse(fault: Fault): void {
    const { core, slot } = this;
    const binding = this.#binding;
    if (binding === null || this.#state === State.closing) return;
    core.observer.refused(binding.service, fault);
    const exchange = this.#exchange;
    sendRefusal(core, slot, fault, exchange?.method !== method.head);
    if (exchange !== null) {
      exchange.refusedBy(fault);
      exchange.cancel();
      this.#leave('bad-request');
    }
    this.#end();
  }

  /** The answer was written to its end. */
  exchangeEnded(reason: EndReason): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    const goesOn = exchange.persistent && this.reader.done;
    const asked = exchange.clientCloses && this.reader.done && this.inbound.empty;
    this.#leave(reason);
    if (!goesOn) {
      this.#end(asked);
      return;
    }
    this.#state = State.head;
    const { core, slot, inbound } = this;
    const timeouts = this.#binding?.service.service.timeouts;
    if (inbound.empty) {
      // Connections that wait hold no buffer.
      inbound.clear();
      if (this.#ended) {
        this.#end();
        return;
      }
      if (timeouts !== undefined) core.deadlines.set(slot, timeouts.keepAlive);
      return;
    }
    if (timeouts !== undefined) core.deadlines.set(slot, timeouts.head);
    core.connections.touch(slot);
    this.pump();
  }

  /** Ends the connection at once, and lets the client know that it was cut. */
  abort(reason: EndReason): void {
    if (this.#state === State.closing) return;
    this.#state = State.closing;
    const exchange = this.#exchange;
    if (exchange !== null) {
      exchange.cancel();
      this.#leave(reason);
    }
    this.core.deadlines.clear(this.slot);
    this.core.connections.reset(this.slot);
  }

  close(): void {
    if (this.#state === State.closing) return;
    this.#state = State.closing;
    const exchange = this.#exchange;
    if (exchange !== null) {
      exchange.cancel();
      this.#leave('client-gone');
    }
    this.core.deadlines.clear(this.slot);
    this.core.connections.close(this.slot);
  }

  onClosed(): void {
    const { core, slot } = this;
    this.#state = State.closing;
    // The loop may have closed it by itself.
    this.#exchange?.cancel();
    this.#leave('client-gone');
    this.inbound.clear();
    this.#head = null;
    core.deadlines.clear(slot);
    core.role[slot] = Role.none;
    core.clients -= 1;
    this.#entered?.leave(slot);
    this.#entered = null;
    if (this.#binding !== null) core.observer.closed(this.#binding.service);
    this.#binding = null;
  }

  /** The rest of the request will not come. Answers to those before it still go out. */
  #breaksOff(): void {
    const exchange = this.#exchange;
    if (exchange === null || exchange.answered) {
      this.abort('client-gone');
      return;
    }
    exchange.cancel();
    this.#leave('client-gone');
    this.#end();
  }

  #leave(reason: EndReason): void {
    this.#coded?.abort();
    this.#coded = null;
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.release(reason);
  }

  /** Sends what is there and then the end. */
  #end(asked = false): void {
    if (this.#state === State.closing || this.#state === State.ending) return;
    const { core, slot } = this;
    this.#state = State.ending;
    this.inbound.clear();
    // A client that asked for the end sends nothing more, so that no reset can take its answer away.
    if (asked) core.connections.closeWhenSent(slot);
    else core.connections.finish(slot);
    const timeouts = this.#binding?.service.service.timeouts;
    core.deadlines.set(slot, Math.max(LINGER, this.pending > 0 ? (timeouts?.idle ?? 0) : 0));
  }

  /** The client's address is known: whether it may have another connection. */
  #enter(binding: Binding): void {
    const { core, slot } = this;
    this.#state = State.head;
    if (binding.service.enter(slot, this.address)) {
      this.#entered = binding.service;
      return;
    }
    const id = core.beginHead();
    if (id >= 0) {
      writeUnavailable(core.writer, FULL_RETRY, { minor: 1 }, false, false);
      core.endHead(slot, id);
    }
    this.#end();
  }

  /** It asks and asks and does not take the answers: no more requests are read until it does. */
  get #crowded(): boolean {
    return this.heldOut >= WINDOW;
  }

  /** Whether to look again. */
  #step(): boolean {
    switch (this.#state) {
      case State.head:
        return !this.#crowded && this.#readHead();
      case State.exchange:
      case State.tunnel:
        return this.#relay();
      case State.proxy:
        return this.#readProxy();
      case State.ending:
        this.#thrown += this.inbound.end - this.inbound.at;
        this.inbound.clear();
        if (this.#thrown > LINGER_BYTES) this.close();
        return false;
      default:
        this.inbound.clear();
        return false;
    }
  }

  #readHead(): boolean {
    const { core, inbound, slot } = this;
    const binding = this.#binding;
    if (binding === null || !inbound.fill()) return false;
    const { service } = binding;
    const { bytes } = core.pool;
    let head = this.#head;
    if (head === null) {
      head = service.heads.request;
      head.reset(inbound.at);
    }
    let step = head.parse(bytes, inbound.end);
    while (step === progress.more) {
      if (!inbound.more) {
        if (this.#ended) {
          // The rest will not come.
          this.#end();
          return false;
        }
        if (this.#head === null) {
          this.#head = service.heads.lendRequest();
          core.deadlines.set(slot, service.service.timeouts.head);
        }
        head.move(inbound.economise());
        return false;
      }
      const delta = inbound.compact();
      if (delta !== 0) head.move(delta);
      if (!inbound.join()) {
        this.refuse(faults.headTooLarge);
        return false;
      }
      step = head.parse(bytes, inbound.end);
    }
    if (step === progress.done && this.early && !isRepeatable(head)) {
      this.#hold(service);
      return false;
    }
    this.#head = null;
    if (step === progress.refused) {
      this.refuse(head.fault ?? faults.badTarget);
      return false;
    }
    inbound.at = head.end;
    // Its certificate was judged by what is no longer asked: it has to come anew.
    if (this.#secure !== null && (service.tls?.demands ?? '') !== this.#demands) {
      if (head !== service.heads.request) service.heads.giveBack(head);
      this.#end();
      return false;
    }
    if (this.#secure !== null && this.peer.certificate === null) {
      this.refuse(faults.certificateTooLarge);
      return false;
    }
    const exchange = core.takeExchange();
    this.#exchange = exchange;
    this.#state = State.exchange;
    this.reader.begin(head.body, head.length, inbound, service.heads.limits);
    exchange.begin(this, service, head, bytes);
    if (head !== service.heads.request) service.heads.giveBack(head);
    // What is to be kept of the request is kept elsewhere: thousands of slow answers hold no buffers.
    if (inbound.empty) inbound.clear();
    else inbound.economise();
    if (this.#exchange !== exchange) return true;
    if (exchange.list === null) this.#awaitBody(service.service.timeouts);
    return true;
  }

  /** The request in hand is read once more when TLS is sure of the client (RFC 8470 §3). */
  #hold(service: HttpService): void {
    const head = this.#head ?? service.heads.lendRequest();
    this.#head = head;
    this.inbound.economise();
    head.reset(this.inbound.at);
  }

  /** Passes on what there is of the request's body, or of a tunnel. */
  #relay(): boolean {
    const { core, slot, inbound } = this;
    const exchange = this.#exchange;
    if (exchange === null || this.reader.done) return false;
    const { upstream } = exchange;
    // Before it is connected the bytes wait here: another member may be tried with them.
    if (upstream?.connected !== true || inbound.empty) return false;
    exchange.bodyGone = true;
    const timeouts = this.#binding?.service.service.timeouts;
    // Before more is written: what the member has not taken by now, it holds up.
    if (timeouts !== undefined) this.#memberWaits(timeouts);
    const step = this.reader.relay(core.pool.bytes, inbound, upstream.writer);
    if (timeouts !== undefined) {
      if (this.#state === State.tunnel) core.deadlines.set(slot, timeouts.tunnel);
      else this.#paceRequest(timeouts);
    }
    if (step === bodyStep.done) {
      if (this.pending === 0) core.deadlines.clear(slot);
    } else if (step === bodyStep.more) {
      if (this.#ended && this.#state === State.exchange) this.#breaksOff();
    } else if (step === bodyStep.refused) {
      const fault = this.reader.fault ?? faults.badChunkSize;
      if (exchange.answered) this.abort('bad-request');
      else this.refuse(fault);
    } else if (step === bodyStep.noRoom) {
      if (exchange.answered) this.abort('no-memory');
      else exchange.answer(answers.overloaded, 'no-memory');
    }
    return this.#state === State.head;
  }

  #readProxy(): boolean {
    const { core, inbound, slot } = this;
    const binding = this.#binding;
    if (binding === null || !inbound.fill()) return false;
    const header = new ProxyHeader();
    for (;;) {
      header.reset(inbound.at);
      const step = header.parse(core.pool.bytes, inbound.end);
      if (step === progress.done) break;
      if (step === progress.more) {
        if (!inbound.more) {
          inbound.economise();
          return false;
        }
        inbound.compact();
        if (inbound.join()) continue;
      }
      // Whoever does not speak it is no proxy that is trusted here.
      this.abort('bad-request');
      return false;
    }
    inbound.at = header.end;
    if (header.family !== 0) {
      this.address.set(header.source, 0, header.family, header.sourcePort);
      this.hash = this.address.hash();
      this.#peer = null;
      this.#told = header;
    }
    core.deadlines.set(slot, binding.service.service.timeouts.head);
    const tls = this.#secure;
    if (tls === null) {
      this.#enter(binding);
      return true;
    }
    // What is left here is not yet plain.
    const rest: number[] = [];
    for (let buffer = inbound.give(); buffer >= 0; buffer = inbound.give()) rest.push(buffer);
    this.#beginTls(tls);
    this.#enter(binding);
    for (const buffer of rest) tls.ends.received(slot, buffer);
    return true;
  }
}
