/**
 * Where everything stands in a worker's region of counters: a head that names the layout, then
 * rows of doubles. The one definition for who writes (worker-counters.ts) and who reads
 * (counter-reader.ts).
 *
 * Invariants:
 * - A region has one writer, so its counters need no atomic operations; a double is read and
 *   written whole on the machines that Weir runs on.
 * - A row is a whole number of cache lines.
 * - Counters only grow. Gauges are what is there now, and are zeroed when their writer is gone.
 */
import { bucketCount } from './histogram.js';

/** Columns. What a row has depends on what it is: a service has clients, a member connections to it. */
export const counter = {
  /** Connections: of clients to a service, of workers to a member. */
  opened: 0,
  /** Those that are open now. */
  active: 1,
  requests: 2,
  /** Those that wait for their end now. */
  underWay: 3,
  /** Those that wait for a member with room now. */
  queued: 4,
  status1xx: 5,
  status2xx: 6,
  status3xx: 7,
  status4xx: 8,
  status5xx: 9,
  /** Content, without heads: from the client, and to it. */
  bytesIn: 10,
  bytesOut: 11,
  /** Refused by a limit of requests, by one of connections … */
  refusedRate: 12,
  refusedConnections: 13,
  refusedQueueFull: 14,
  refusedQueueTimeout: 15,
  refusedNoMember: 16,
  refusedBadRequest: 17,
  refusedTooSlow: 18,
  /** Further members that were tried. */
  retries: 19,
  connectsOk: 20,
  connectsFailed: 21,
  /** Requests on a connection to the member that was there already. */
  reused: 22,
  ejections: 23,
  upgrades: 24,
  /** Answers that Weir compressed; their bytes before and after. */
  compressions: 25,
  compressedIn: 26,
  compressedOut: 27,
  /** Ended by the client before the answer did; broken or timed out by the member. */
  clientAborts: 28,
  memberFailures: 29,
  /** Handshakes of TLS, with clients or the member: whole ones, those that went on with a session … */
  tlsFull: 30,
  tlsResumed: 31,
  /** … both by version … */
  tls12: 32,
  tls13: 33,
  /** … and those that failed, by TlsFailure of native/ffi/tls-error.ts. */
  tlsGone: 34,
  tlsAlert: 35,
  tlsIncompatible: 36,
  tlsCertificate: 37,
  tlsName: 38,
  tlsOther: 39,
  /** Of those that did not: early data came with them. */
  tlsEarly: 40,
} as const;

export type Counter = (typeof counter)[keyof typeof counter];

export const gauges: readonly Counter[] = [counter.active, counter.underWay, counter.queued];

/**
 * Durations: their sum, the longest, and the buckets of histogram.ts. Services and routes have the
 * whole time of a request, members that from the request to the head of their answer; services of
 * tcp and tls, their routes and members the time until a member was connected.
 */
export const durationSum = 41;
export const durationMax = 42;
export const durationBuckets = 43;

const lineDoubles = 8;
export const rowDoubles = Math.ceil((durationBuckets + bucketCount) / lineDoubles) * lineDoubles;

const headBytes = 64;
const magic = 0x574c3743;

/** Rows that are enough for some thousands of members; memory is taken only by those in use. */
export const defaultRows = 8192;

/** Bytes of a region with room for rows 0 … rows - 1. */
export function counterRegionBytes(rows: number): number {
  return headBytes + rows * rowDoubles * 8;
}

/** A region, seen by its writer or a reader. */
export interface CounterRegion {
  readonly rows: number;
  /** All rows, one after the other. */
  readonly values: Float64Array;
}

/**
 * Zero memory, or memory that had this layout, as a region. Throws when it has another one: then
 * it belongs to another build of Weir.
 */
export function counterRegion(
  buffer: ArrayBufferLike,
  offset: number,
  rows: number,
): CounterRegion {
  const head = new Int32Array(buffer, offset, headBytes / 4);
  const wanted = [magic, rows, rowDoubles];
  const fresh = wanted.every((_, i) => head[i] === 0);
  if (!fresh && wanted.some((word, i) => head[i] !== word)) {
    throw new Error(
      `the counters in shared memory have ${head[1]} rows of ${head[2]} numbers, this build has ${rows} of ${rowDoubles}: restart all workers`,
    );
  }
  head.set(wanted);
  return { rows, values: new Float64Array(buffer, offset + headBytes, rows * rowDoubles) };
}
