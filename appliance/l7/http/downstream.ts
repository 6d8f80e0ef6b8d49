/**
 * The side that an exchange answers to, whatever protocol it speaks: a client's connection in HTTP/1,
 * or nobody, for a copy of a request whose answer is thrown away.
 */
import type { ClientAddress } from '../client-address.js';
import type { Fault } from '../http1/faults.js';
import type { Peer } from '../http1/peer.js';
import type { Endpoints } from '../http1/proxy-protocol.js';
import type { RequestHead } from '../http1/request-head.js';
import type { ResponseHead } from '../http1/response-head.js';
import type { Answer } from './answers.js';
import type { BodySink, BodyWriter } from './body.js';
import type { Exchange } from './exchange.js';
import type { Inbound } from './inbound.js';
import type { EndReason } from './observer.js';
import type { HttpRoute } from './runtime.js';

export interface Downstream {
  readonly address: ClientAddress;
  /** Of the address, 32 bits. */
  readonly hash: number;
  /** In the words of heads. */
  readonly peer: Peer;
  /** In those of a PROXY header. */
  readonly ends: Endpoints;
  /** Whether what it sends may be a repetition by anybody: early data of TLS (RFC 8470). */
  readonly early: boolean;
  /** Whether the request was read to its end. */
  readonly requestDone: boolean;
  /** Of the request's body. */
  readonly requestBytes: number;
  /** Bytes, and buffers, that it has not yet taken. */
  readonly pending: number;
  readonly heldOut: number;
  /** Of the answer's body, as the client gets it. */
  readonly writer: BodyWriter;
  /** Where the member's bytes go: there, or into what codes them first. */
  readonly sink: BodySink;
  /** Buffers of the answer's body that may come now. */
  readonly bodyRoom: number;

  /**
   * Passes on the head of an answer, whose body is next in `inbound`. Whether there was memory for it.
   */
  writeHead(exchange: Exchange, head: ResponseHead, inbound: Inbound, interim: boolean): boolean;
  /** After writeHead: it took the whole body as well. */
  readonly bodyTaken: boolean;
  /** A part of an answer was written: it is to be taken in time. */
  writing(): void;
  /** The member's connection takes bytes now, or took some. */
  pump(): void;
  roomier(): void;
  /** The exchange waits for a member with room. */
  queued(): void;
  /** It found one. */
  leftQueue(): void;
  /** After an accepted Upgrade or CONNECT bytes go both ways; the member's side of them has ended. */
  beginTunnel(): void;
  tunnelEnded(): void;

  /** All of the answer's body went into `sink`. Whether it came out, too; else it ends the exchange. */
  bodyEnded(): boolean;

  // Each of these ends the exchange.
  answerWith(answer: Answer, reason: EndReason): void;
  /** A redirect or a fixed answer. */
  answerRoute(route: HttpRoute, head: RequestHead, bytes: Uint8Array): void;
  /** 429: the milliseconds until another try is worth it. */
  answerTooMany(wait: number): void;
  refuse(fault: Fault): void;
  exchangeEnded(reason: EndReason): void;
  /** What was answered so far must not look whole. */
  abort(reason: EndReason): void;
}
