/**
 * What the control API answers about layer 7: requests, routes and workers. Part of contract.ts,
 * whose conventions and invariant hold here too.
 *
 * A request of a `tcp` or `tls` service is a connection, and its duration the time until a member was
 * connected; those of `http` last from their beginning to the end of their answer. Durations of
 * members end with the head of the answer.
 */

/** Over the last full second. */
export interface ProxyRates {
  readonly connectionsPerSecond: number;
  readonly requestsPerSecond: number;
  /** Answers of class 5xx. */
  readonly errorsPerSecond: number;
  /** Both directions together. */
  readonly bitsPerSecond: number;
}

/** Milliseconds, of the last ten to twenty seconds. */
export interface ProxyLatency {
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Since the workers count; restarts of workers don't begin anew. */
export interface ProxyTotals {
  readonly connections: number;
  readonly requests: number;
  readonly responses: Readonly<Record<'1xx' | '2xx' | '3xx' | '4xx' | '5xx', number>>;
  /** Content, without heads: from clients, and to them. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly refused: {
    /** By a limit of requests, and by one of connections. */
    readonly rate: number;
    readonly connections: number;
    readonly queueFull: number;
    readonly queueTimeout: number;
    readonly noMember: number;
    readonly badRequest: number;
    readonly tooSlow: number;
  };
  /** Further members that were tried. */
  readonly retries: number;
  /** To members. */
  readonly connects: { readonly ok: number; readonly failed: number; readonly reused: number };
  readonly ejections: number;
  readonly upgrades: number;
  readonly compressed: {
    readonly responses: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
  };
  /** Ended by the client before the answer did; broken or timed out by the member. */
  readonly clientAborts: number;
  readonly memberFailures: number;
  /** Handshakes of TLS with clients, or with members. */
  readonly tls: {
    readonly full: number;
    readonly resumed: number;
    /** Those of them with which early data came. */
    readonly early: number;
    /** Both of them, by version. */
    readonly versions: Readonly<Record<'1.2' | '1.3', number>>;
    readonly failed: {
      /** Broken off, or not over in time. */
      readonly gone: number;
      /** The other side refused, and said so. */
      readonly alert: number;
      /** Nothing in common: version, cipher, protocol … */
      readonly incompatible: number;
      /** That of the other side is missing or not valid. */
      readonly certificate: number;
      /** A name that no certificate is for. */
      readonly name: number;
      readonly other: number;
    };
  };
}

export interface ProxyTraffic {
  readonly rates: ProxyRates;
  /** Null when no request ended in that time. */
  readonly latency: ProxyLatency | null;
  readonly totals: ProxyTotals;
  /** Connections of clients that are open now; null for all but services. */
  readonly active: number | null;
  /** Requests that members work on now; null for all but members and pools. */
  readonly underWay: number | null;
  /** Requests that wait for a member with room now; null for all but pools. */
  readonly queued: number | null;
}

/** A route of a proxied service. The first whose conditions hold takes a request. */
export interface RouteRow {
  readonly service: string;
  /** Its `name` in the document, or its number from 1 on. */
  readonly route: string;
  /** Its place among those of the service, from 1 on. */
  readonly order: number;
  /** Its conditions in short; empty when it takes every request. */
  readonly conditions: string;
  /** What it does: `pool`, `redirect` or `respond`. */
  readonly action: 'pool' | 'redirect' | 'respond';
  /** Where it leads, in short: pools with their weights, a target, or a status. */
  readonly target: string;
  /** Part of the service's requests of the last ten to twenty seconds; null when there were none. */
  readonly share: number | null;
  readonly proxy: ProxyTraffic;
}

/** A process that serves layer 7. */
export interface WorkerRow {
  /** Names it: numbers are given out again. */
  readonly worker: number;
  readonly pid: number;
  /** The core that it stays on; null when it may run on any. */
  readonly cpu: number | null;
  readonly state: 'starting' | 'serving' | 'draining';
  /** Connections of clients that are open. */
  readonly clients: number;
  /** Over the last full second. */
  readonly requestsPerSecond: number;
  readonly since: number;
  /** How often it died and was replaced. */
  readonly restarts: number;
}

export interface WorkerRestart {
  /** Workers that were replaced. */
  readonly replaced: number;
  readonly durationMs: number;
  /** Afterwards: the new ones, and old ones that still have connections. */
  readonly workers: readonly WorkerRow[];
}
