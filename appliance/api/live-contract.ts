/**
 * What the control API tells of traffic while somebody looks: `GET /v1/live`, a stream of JSON objects,
 * one a line. Part of contract.ts, whose conventions and invariant hold here too.
 *
 * Numbers per second are of about the last ten seconds, and those of clients and URLs bounded estimates:
 * beyond a thousand different ones a row may have got what belongs to those that it took the place of,
 * `surplus` at most. Where requests come faster than they can be told, each that is told stands for
 * several. Texts that came from clients are as they came; who shows them cleans them.
 */
export const LIVE_VIEWS = ['clients', 'urls', 'flows', 'log'] as const;
export type LiveView = (typeof LIVE_VIEWS)[number];

export const LIVE_ORDERS = ['hits', 'bits', 'errors'] as const;
/** What the top is of. `hits`: requests, connections and flows together. */
export type LiveOrder = (typeof LIVE_ORDERS)[number];

export interface LiveTop {
  /** New connections: flows of the fast path, connections of `tcp` and `tls` services that ended. */
  readonly connectionsPerSecond: number;
  readonly requestsPerSecond: number;
  /**
   * Content, both directions, of requests and connections that ended. The fast path counts none of it by
   * client; null: all of this row is the fast path's.
   */
  readonly bitsPerSecond: number | null;
  /** Answers of class 5xx, and none at all. */
  readonly errorsPerSecond: number;
  /** Part of what it is sorted by that may be somebody else's, per second. */
  readonly surplus: number;
}

export interface ClientTop extends LiveTop {
  readonly client: string;
  /** That it came to last. */
  readonly service: string;
}

export interface UrlTop extends LiveTop {
  readonly service: string;
  readonly host: string | null;
  /** Without its query. */
  readonly path: string;
  /** Of the last answer; 0: none. */
  readonly status: number;
  /** Of the requests that were told, from begin to end. */
  readonly meanMs: number | null;
}

/** A flow of the fast path that began lately. */
export interface LiveFlow {
  readonly time: number;
  readonly protocol: string;
  /** `ADDRESS:PORT` */
  readonly client: string;
  readonly service: string;
  readonly pool: string;
  readonly member: string;
  /** Null for a service that is gone. */
  readonly forwarding: string | null;
  /** Of its entry; `hash`: it has none, and goes where the hash leads. */
  readonly state: 'opening' | 'open' | 'closing' | 'closed' | 'hash';
  /** Time since a recent packet, to one second; null without an entry. */
  readonly idleMs: number | null;
}

/** A request, or a connection of a `tcp` or `tls` service, that is over. */
export interface LiveRequest {
  readonly time: number;
  readonly service: string | null;
  readonly route: string | null;
  readonly client: string | null;
  /** Null for connections, and for requests that the unit answered itself without a member. */
  readonly method: string | null;
  readonly target: string | null;
  readonly host: string | null;
  /** 0: there was no answer. */
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly totalMs: number | null;
  readonly member: string | null;
  readonly userAgent: string | null;
  readonly ended: string;
}

export type LiveMessage =
  | { readonly type: 'hello'; readonly time: number; readonly view: LiveView }
  /** Once a second; `seconds` since it was looked at. */
  | {
      readonly type: 'clients';
      readonly time: number;
      readonly seconds: number;
      readonly rows: readonly ClientTop[];
    }
  | {
      readonly type: 'urls';
      readonly time: number;
      readonly seconds: number;
      readonly rows: readonly UrlTop[];
    }
  /** The newest first. */
  | {
      readonly type: 'flows';
      readonly time: number;
      readonly seconds: number;
      readonly rows: readonly LiveFlow[];
    }
  /** Those since the last message, the oldest first; `skipped` more were not told. */
  | {
      readonly type: 'log';
      readonly time: number;
      readonly seconds: number;
      readonly rows: readonly LiveRequest[];
      readonly skipped: number;
    };
