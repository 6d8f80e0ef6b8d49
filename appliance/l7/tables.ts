/**
 * The tables of the layer-7 tier: what the compiler makes of intent and health, and workers execute.
 * Plain data that survives JSON, because it crosses to other processes; no behaviour.
 *
 * Invariant: everything is resolved here. A worker asks for no default, no name of another section
 * and no rule of precedence: a pool that another stands in for is named as the one that serves.
 * As in control/tables.ts, an object that did not change keeps its identity from one compilation
 * to the next. Durations are milliseconds, sizes bytes.
 */
import type { AlgorithmName } from '../balance/choice.js';
import type { CertificateWord } from './http1/certificate-fields.js';
import type { FieldEdit } from './http1/edits.js';

export type L7Algorithm = AlgorithmName;

export interface L7Tables {
  readonly unit: L7Unit;
  readonly services: ReadonlyMap<string, L7Service>;
  /** Those that services lead to, and those that may come to stand in for them. */
  readonly pools: ReadonlyMap<string, L7Pool>;
}

export interface L7Unit {
  readonly name: string;
  /** Workers; 0: one a core. */
  readonly workers: number;
  /** Connections of a worker in both directions; each client needs one, and mostly one to a member. */
  readonly connections: number;
}

/** `tls` is passed through by the name that the client asks for, `tcp` byte by byte. */
export type L7Protocol = 'http' | 'tls' | 'tcp';

export interface L7Service {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: L7Protocol;
  /** The first whose conditions hold decides; when none does: 404, or the connection is closed. */
  readonly routes: readonly L7Route[];
  readonly persistence: L7Persistence | null;
  /** All must allow a request. */
  readonly limits: readonly L7RateLimit[];
  /** Most client connections at one time, of all workers; 0: any. */
  readonly connections: number;
  readonly connectionsPerClient: number;
  /** Bits of a client's address that count for limits of each client. */
  readonly clientPrefix: number;
  readonly clientPrefix6: number;
  readonly timeouts: L7Timeouts;
  /** Largest body of a request; 0: any. */
  readonly maxBody: number;
  /** The largest head of a request, 16,384 at most, and its fields. */
  readonly maxHead: number;
  readonly maxFields: number;
  /** `accept`: every connection must begin with a PROXY header, of version 1 or 2. */
  readonly proxyProtocol: 'off' | 'accept';
  readonly forward: L7Forward;
  readonly compression: L7Compression | null;
  readonly accessLog: L7AccessLog | null;
  readonly serverTiming: boolean;
  /** TLS ends here; null: what clients send is taken as it comes. */
  readonly tls: L7Tls | null;
}

export type L7TlsPolicy = 'modern' | 'intermediate';

/** TLS of a service's clients. Certificates are named; their keys come to workers in another way. */
export interface L7Tls {
  readonly policy: L7TlsPolicy;
  /** The first is for clients whose name no other fits, unless these are refused. */
  readonly certificates: readonly string[];
  /** Protocols that are offered by ALPN, the preferred one first; empty: ALPN is not answered. */
  readonly alpn: readonly string[];
  readonly tickets: boolean;
  /** Whether requests of safe methods may come with the hello (RFC 8470). */
  readonly earlyData: boolean;
  readonly unknownNames: 'default' | 'refuse';
  readonly clients: {
    readonly mode: 'optional' | 'required';
    readonly authorities: readonly string[];
    readonly depth: number;
    /** What members are told of their certificates. */
    readonly headers: readonly CertificateWord[];
  } | null;
}

/** TLS towards the members of a pool. */
export interface L7MemberTls {
  readonly policy: L7TlsPolicy;
  readonly verify: boolean;
  /** null: those of the system. */
  readonly authorities: readonly string[] | null;
  /** Whom certificates must name, and who is asked for; null: they must have the member's address. */
  readonly serverName: string | null;
  /** What the unit shows of itself. */
  readonly certificate: string | null;
}

/** What is told to members about the client, in the words of http1/rewrite-request.ts. */
export interface L7Forward {
  readonly forwardedFor: 'append' | 'set' | 'keep' | 'remove';
  readonly forwardedOthers: 'set' | 'keep' | 'remove';
  readonly forwarded: 'append' | 'set' | 'keep' | 'remove';
  readonly via: string | null;
  /** Fields of certificate-fields.ts that clients send. */
  readonly certificate: 'keep' | 'remove';
  readonly requestId: {
    readonly name: string;
    readonly client: 'keep' | 'replace';
    /** As http1/request-id.ts reads it. */
    readonly format: string;
  } | null;
  readonly upgrade: 'none' | 'websocket' | 'any';
}

export interface L7Timeouts {
  /** For the head of a request, from its first byte (of a connection: from its beginning). */
  readonly head: number;
  /** Between two bytes of a body, to either side, and of a tunnel in both directions. */
  readonly idle: number;
  /** Between two requests of a connection. */
  readonly keepAlive: number;
  /** For the whole of a request's body: its length at this rate, bytes per second, and `idle` more. */
  readonly slowestBody: number;
  /** To connect to a member; for the head of its answer. */
  readonly connect: number;
  readonly response: number;
  /** In the queue of a pool: the longest of those that the service leads to. */
  readonly queue: number;
  /** Of a tunnel, a WebSocket, or a tcp or tls service without a byte in either direction. */
  readonly tunnel: number;
}

export interface L7Route {
  /** Names it in counters and logs: its `name` in the document, or its number from 1 on. */
  readonly name: string;
  readonly when: L7Conditions | null;
  readonly action: L7Action;
  readonly requestEdits: readonly FieldEdit[];
  readonly responseEdits: readonly FieldEdit[];
  readonly limits: readonly L7RateLimit[];
}

export type L7Action =
  | {
      readonly kind: 'pools';
      /** One of these for each request, by weight; mostly one. */
      readonly pools: readonly { readonly pool: string; readonly weight: number }[];
      /** The target's path for the member; `**` is what the pattern's ** matched. */
      readonly rewrite: string | null;
      /** Host for the member; null: as the client asked. */
      readonly host: string | null;
      /** A copy of so many per cent of the requests goes there, and what comes back is dropped. */
      readonly mirror: { readonly pool: string; readonly percent: number } | null;
    }
  | { readonly kind: 'redirect'; readonly to: string; readonly status: number }
  | {
      readonly kind: 'respond';
      readonly status: number;
      readonly contentType: string;
      readonly body: string;
      /** Seconds; null writes no Retry-After. */
      readonly retryAfter: number | null;
    };

/** All that are not null must hold; of a list one. */
export interface L7Conditions {
  /** Lower case, without port; `*.example` is any name below it, never itself. */
  readonly hosts: readonly string[] | null;
  readonly paths: readonly L7PathTest[] | null;
  readonly methods: readonly string[] | null;
  readonly headers: readonly L7FieldTest[];
  readonly query: readonly L7FieldTest[];
  readonly cookies: readonly L7FieldTest[];
  /** Prefixes, `ADDRESS/BITS`. */
  readonly sources: readonly string[] | null;
}

/** `pattern`: `*` stands for one segment, `**` at the end for any number; `regex`: found anywhere. */
export type L7PathTest =
  | { readonly kind: 'pattern'; readonly value: string }
  | { readonly kind: 'regex'; readonly value: string };

export type L7FieldTest = { readonly name: string } & (
  | { readonly kind: 'exact' | 'prefix' | 'regex'; readonly value: string }
  | { readonly kind: 'present' | 'absent' }
);

export type L7Persistence =
  | {
      readonly kind: 'cookie';
      readonly name: string;
      /** How the member's name is hidden: as it is, signed, or encrypted; `key` is base64 of 32 bytes. */
      readonly protection: 'plain' | 'signed' | 'encrypted';
      readonly key: string;
      /** Seconds; null: until the browser closes. */
      readonly maxAge: number | null;
      readonly path: string;
      readonly domain: string | null;
      readonly secure: boolean;
      readonly httpOnly: boolean;
      readonly sameSite: 'lax' | 'strict' | 'none' | null;
    }
  /** A cookie that members set: its value is remembered from the answer. */
  | { readonly kind: 'application-cookie'; readonly name: string; readonly timeout: number }
  | { readonly kind: 'header'; readonly name: string; readonly timeout: number }
  | { readonly kind: 'query'; readonly name: string; readonly timeout: number }
  | {
      readonly kind: 'source-address';
      readonly timeout: number;
      readonly prefix: number;
      readonly prefix6: number;
    };

export interface L7RateLimit {
  readonly name: string;
  /** Requests (tcp and tls: connections) in a second, and as many at once. */
  readonly perSecond: number;
  readonly burst: number;
  readonly per:
    | { readonly kind: 'service' }
    | { readonly kind: 'client-address' }
    | { readonly kind: 'host' }
    /** Each path by itself, as the client wrote it, without the query. */
    | { readonly kind: 'path' }
    | { readonly kind: 'header'; readonly name: string };
  /** Which requests count; null: all. */
  readonly when: L7Conditions | null;
}

export interface L7Compression {
  /** In the order of preference where the client has none. */
  readonly codings: readonly ('zstd' | 'br' | 'gzip')[];
  readonly minimumSize: number;
  /** `text/*` and the like, lower case. */
  readonly types: readonly string[];
}

export interface L7AccessLog {
  readonly format: 'json' | 'combined';
  /** A file's path, or where syslog listens: `syslog:` and a Unix socket or `ADDRESS:PORT`. */
  readonly to: string;
  /** Part of the requests that is logged, above 0 to 1. */
  readonly sample: number;
  /** Bytes from which on a file gives way to a new one, and how many old ones stay. */
  readonly rotateSize: number;
  readonly rotateKeep: number;
}

export interface L7Pool {
  readonly name: string;
  readonly algorithm: L7Algorithm;
  readonly hash: 'source' | 'source-destination';
  readonly members: readonly L7Member[];
  /** While no member can serve: 503, or the connection is reset. */
  readonly whenDown: 'refuse' | 'reset';
  /** Requests that wait for a member with room; 0: refused at once. */
  readonly queue: number;
  /** Idle connections that are kept to each member, by each worker; how long; requests of one. */
  readonly idleConnections: number;
  readonly idleTimeout: number;
  readonly requestsPerConnection: number;
  /** Further members that are tried; only where nothing was sent or the request is idempotent. */
  readonly retries: number;
  readonly proxyProtocol: 'off' | 'v1' | 'v2';
  readonly ejection: L7Ejection | null;
  /** Connections to members are TLS; null: plain. */
  readonly tls: L7MemberTls | null;
}

/** A member that fails too often takes no new requests for a while: outlier ejection. */
export interface L7Ejection {
  /** Failures in a row: no connection, no answer in time, or a status of 5xx. */
  readonly failures: number;
  /** Share of failures within `within`, of at least `minimum` requests; above 0 to 1. */
  readonly share: number;
  readonly minimum: number;
  readonly within: number;
  /** The first time; each further one as much longer. */
  readonly hold: number;
  /** Never more than this share of the pool. */
  readonly most: number;
}

export interface L7Member {
  /** `POOL/MEMBERKEY`, as in control/tables.ts. */
  readonly id: string;
  readonly key: string;
  readonly address: string;
  /** 0: the service's own port. */
  readonly port: number;
  /** Effective weight, 0 … 65,535: slow start, agents and computed weights included. */
  readonly weight: number;
  /** Takes new requests. */
  readonly takes: boolean;
  readonly state: 'serving' | 'draining' | 'down';
  readonly reason: string;
  /** Requests (tcp and tls: connections) at one time; 0: any. */
  readonly maxConnections: number;
}
