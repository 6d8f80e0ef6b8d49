/**
 * What the stream engine asks of a snapshot and of its neighbours, as narrow as it needs them.
 *
 * Invariant: a connection keeps the service, the pool and the member that it began with, whatever
 * snapshots come after.
 */
import type { ClientSide } from '../tls/sides.js';
import type { ClientAddress } from '../client-address.js';
import type { Progress } from '../http1/faults.js';
import type { L7Pool, L7Route } from '../tables.js';

/** Where connections go: the same object as long as the member keeps its name and address. */
export interface StreamMember {
  readonly id: string;
  readonly key: string;
  /** Its address as text, and as a sockaddr. */
  readonly host: string;
  readonly address: Uint8Array;
  /** Bytes of a connection while it runs. */
  transferred(now: number, bytes: number): void;
  /**
   * A connection is over. `micros`: until it was made, below 0: it never was; `bytes`: those that
   * transferred() was not told of.
   */
  end(now: number, micros: number, bytes: number, failed: boolean): void;
}

/** Who waits for room in a pool, by the slots of their clients. */
export interface StreamQueue {
  readonly length: number;
  /** False: there is no place. */
  push(client: number): boolean;
  /** False: it does not wait here. */
  remove(client: number): boolean;
  /** Who waits longest, and stays; -1: nobody waits. */
  first(): number;
}

export interface StreamPool {
  readonly pool: L7Pool;
  readonly waiting: StreamQueue;
  /** How a connection to a member is made secret; null: it is plain. */
  tlsTo(member: StreamMember): ClientSide | null;
  /** After pick() said null: members serve, but none has room. */
  readonly full: boolean;
  /**
   * A member, with room taken for one connection, which its end() gives back; not `tried` if another
   * can. Null: none serves, or none has room.
   */
  pick(hash: number, now: number, tried: StreamMember | null): StreamMember | null;
}

/** Persistence by the client's address. */
export interface StreamSticky {
  /** The member that the client sticks to, with room taken as by pick(); null: none that can serve. */
  find(client: ClientAddress, pool: StreamPool, now: number): StreamMember | null;
  /** The client was connected there. */
  learn(client: ClientAddress, pool: StreamPool, member: StreamMember, now: number): void;
}

export interface StreamLimits {
  /** Whether the client may have this connection; if so, leave() gives it back. */
  enter(client: number, address: ClientAddress): boolean;
  leave(client: number): void;
  /** Whether the rates of the service and of the route allow it; `name`: what the client asked for. */
  allow(route: L7Route, address: ClientAddress, name: string, now: number): boolean;
}

/** Finds the name in a ClientHello that comes in any pieces: routing/client-hello.ts. */
export interface HelloReader {
  /** After `refused`: the description of the TLS alert that says so. */
  readonly fault: { readonly alert: number } | null;
  /** After `done`: where the name lies, in lower case; empty when there is none. */
  readonly bytes: Uint8Array;
  readonly nameStart: number;
  readonly nameEnd: number;
  reset(): void;
  /** The next bytes of the connection; says `progress` of http1/faults.ts. */
  feed(bytes: Uint8Array, start: number, end: number): Progress;
}
