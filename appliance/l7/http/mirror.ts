/**
 * The client of a mirrored request: it hears nothing, takes everything at once and never complains.
 *
 * Invariant: nothing that becomes of a copy is seen by the client of the original.
 */
import type { ClientAddress } from '../client-address.js';
import type { Peer } from '../http1/peer.js';
import type { Endpoints } from '../http1/proxy-protocol.js';
import { type BodySink, BodyWriter } from './body.js';
import type { Core } from './core.js';
import type { Downstream } from './downstream.js';
import type { Exchange } from './exchange.js';
import type { EndReason } from './observer.js';

/** Buffers that a copy's answer may fill, which are thrown away at once. */
const MIRROR_ROOM = 4;

export class MirrorClient implements Downstream {
  readonly writer: BodyWriter;
  readonly requestDone = true;
  readonly requestBytes = 0;
  readonly pending = 0;
  readonly heldOut = 0;
  readonly bodyTaken = false;
  readonly bodyRoom = MIRROR_ROOM;
  #exchange: Exchange | null = null;

  constructor(
    private readonly core: Core,
    readonly address: ClientAddress,
    readonly hash: number,
    readonly peer: Peer,
    readonly ends: Endpoints,
    readonly early: boolean,
  ) {
    this.writer = new BodyWriter(core.connections);
    this.writer.begin(-1, false);
  }

  get sink(): BodySink {
    return this.writer;
  }

  bodyEnded(): boolean {
    return true;
  }

  attach(exchange: Exchange): void {
    this.#exchange = exchange;
    this.core.copies += 1;
  }

  writeHead(): boolean {
    return true;
  }
  writing(): void {
    // Taken already.
  }
  pump(): void {
    // The whole request was sent.
  }
  roomier(): void {
    // As above.
  }
  leftQueue(): void {
    // As below.
  }
  queued(): void {
    // Copies never wait.
  }
  beginTunnel(): void {
    this.abort('complete');
  }
  tunnelEnded(): void {
    this.exchangeEnded('complete');
  }
  answerWith(_answer: unknown, reason: EndReason): void {
    this.exchangeEnded(reason);
  }
  answerRoute(): void {
    this.exchangeEnded('complete');
  }
  answerTooMany(): void {
    this.exchangeEnded('complete');
  }
  refuse(): void {
    this.#exchange?.cancel();
    this.exchangeEnded('bad-request');
  }
  exchangeEnded(reason: EndReason): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    this.#exchange = null;
    this.core.copies -= 1;
    exchange.release(reason);
  }
  abort(reason: EndReason): void {
    this.#exchange?.cancel();
    this.exchangeEnded(reason);
  }
}
