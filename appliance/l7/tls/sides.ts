/**
 * Who stands behind a connection of TLS: a service for its clients, or a pool for its member.
 *
 * Invariant: whoever has a side has what makes its connections secure, so nothing that is to be secret
 * can go on in the clear for want of it.
 */
import type { TlsContext } from '../../../native/ffi/tls-context.js';
import type { TlsFailure } from '../../../native/ffi/tls-error.js';
import type { ClientHello } from '../routing/client-hello.js';

/** Makes connections secure: transport.ts, or refused.ts where there is no TLS. */
export interface TlsEnds {
  /** A client's connection is TLS from here on. */
  accept(slot: number, side: ServerSide): void;
  /** A connection that is being made will be TLS, after these bytes in the clear (they are copied). */
  connect(slot: number, side: ClientSide, first: Uint8Array): void;
  /** The name that a client has asked for, in lower case, while `Connections.secured` is told; empty: none. */
  serverName(slot: number): string;
  /** What members are told of the certificate of a client whose handshake is over, as field lines. */
  certificateLines(slot: number): Uint8Array | null;
  /** Bytes of the wire that came before `accept`, in a buffer of Owner.handler. */
  received(slot: number, buffer: number): void;
}

export interface ServerSide {
  readonly ends: TlsEnds;
  readonly service: string;
  /** Whether bytes may arrive before `Connections.secured`. */
  readonly earlyData: boolean;
  /** The context for a hello that is whole, or the alert to refuse it with. */
  choose(hello: ClientHello): TlsContext | number;
  /** What is asked of clients, as a text that is another one whenever that is; empty: nothing. */
  readonly demands: string;
  /** What members are told of a client's certificate, as field lines; null: it does not fit. */
  certificateLines(ssl: number): Uint8Array | null;
}

export interface ClientSide {
  readonly ends: TlsEnds;
  readonly context: TlsContext;
  /** Whom the certificate must name and who is asked for; null: its address must be there. */
  readonly name: string | null;
  /** Of the pool, for people; the member's id, and its address as text. */
  readonly pool: string;
  readonly member: string;
  readonly address: string;
  /** Of connections by the present context. */
  readonly sessions: ClientSessions;
}

export interface ClientSessions {
  /** Tries to go on with an earlier session. */
  resume(ssl: number): void;
  /** A session to resume later. Whether it is kept. */
  keep(session: number): boolean;
}

/** Hears of each handshake once. One that a peer never began is none. */
export interface TlsObserver {
  /**
   * With a client; `version` is that of the wire, TLS1_2 or TLS1_3 of native/ffi/tls-versions.ts.
   * `early`: data came before it was over.
   */
  accepted(side: ServerSide, resumed: boolean, version: number, early: boolean): void;
  refused(side: ServerSide, failure: TlsFailure, why: string): void;
  /** With a member. */
  made(side: ClientSide, resumed: boolean, version: number): void;
  notMade(side: ClientSide, failure: TlsFailure, why: string): void;
}
