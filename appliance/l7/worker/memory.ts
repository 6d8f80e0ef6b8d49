/**
 * The memory that workers share with each other and with the daemon, and where everything stands in
 * it: one region for all, and one for each worker, which that worker alone writes.
 *
 * Invariant: the layout follows from the sizes alone, and each part says itself how much it needs; so
 * the daemon and every worker of one build come to the same places.
 */
import { BalanceMemory, type BalanceSizes } from '../balance/memory.js';
import { StickyTable } from '../balance/sticky-table.js';
import { type BucketSizes, defaultBucketSizes, TokenBuckets } from '../limits/buckets.js';
import { type CountSizes, SharedCounts } from '../limits/counts.js';
import {
  counterRegion,
  counterRegionBytes,
  type CounterRegion,
} from '../telemetry/counter-layout.js';
import { SessionTable } from '../tls/session-table.js';
import { LogRing, logRingBytes, LogRingReader } from '../telemetry/log-ring.js';

/** Chosen once for a unit; memory is taken only as it is used. */
export interface MemorySizes {
  /** Rows of services, routes, members and pools (telemetry/row-registry.ts). */
  readonly rows: number;
  /** Most workers at a time, old ones that still drain among them. */
  readonly workers: number;
  /** Clients that are remembered for persistence. */
  readonly sticky: number;
  /** Sessions of TLS that are stored for clients without tickets. */
  readonly sessions: number;
  /** Sets of counted connections: a power of two. */
  readonly clients: number;
  /** Bytes of a worker's ring of log lines: a power of two. */
  readonly log: number;
}

export const defaultSizes: MemorySizes = Object.freeze({
  rows: 16_384,
  workers: 256,
  sticky: 262_144,
  sessions: 16_384,
  clients: 16_384,
  log: 1 << 20,
});

/** Words at the beginning of a worker's own region, written by it alone. */
export const Own = {
  /** Counts turns of the loop: who does not move hangs. */
  heartbeat: 0,
  /** The number of the snapshot that it serves by. */
  snapshot: 1,
  /** Connections of clients that are open. */
  clients: 2,
} as const;
const OWN_HEAD = 128;

const buckets: BucketSizes = defaultBucketSizes;

interface Places {
  readonly balance: number;
  readonly sticky: number;
  readonly buckets: number;
  readonly services: number;
  readonly clients: number;
  readonly sessions: number;
  readonly bytes: number;
}

function line(bytes: number): number {
  return Math.ceil(bytes / 128) * 128;
}

function balanceSizes({ rows }: MemorySizes): BalanceSizes {
  return { members: rows, pools: rows };
}

function serviceCounts({ workers }: MemorySizes): CountSizes {
  return { sets: 1024, workers };
}

function clientCounts({ workers, clients }: MemorySizes): CountSizes {
  return { sets: clients, workers };
}

function places(sizes: MemorySizes): Places {
  const balance = 0;
  const sticky = line(BalanceMemory.sharedBytes(balanceSizes(sizes)));
  const bucketsAt = sticky + line(StickyTable.bytes(sizes.sticky));
  const services = bucketsAt + line(TokenBuckets.bytes(buckets));
  const clients = services + line(SharedCounts.bytes(serviceCounts(sizes)));
  const sessions = clients + line(SharedCounts.bytes(clientCounts(sizes)));
  const bytes = sessions + line(SessionTable.bytes(sizes.sessions));
  return { balance, sticky, buckets: bucketsAt, services, clients, sessions, bytes };
}

/** Bytes of the region of all workers, and of that of one. */
export function sharedBytes(sizes: MemorySizes): number {
  return places(sizes).bytes;
}

export function ownBytes(sizes: MemorySizes): number {
  return (
    OWN_HEAD +
    line(BalanceMemory.ownBytes(balanceSizes(sizes))) +
    line(counterRegionBytes(sizes.rows)) +
    line(logRingBytes(sizes.log))
  );
}

/** Once, by the daemon, on fresh memory; `seed` is two random words. */
export function prepareShared(sizes: MemorySizes, shared: ArrayBufferLike, seed: Int32Array): void {
  TokenBuckets.prepare(shared, places(sizes).buckets, seed);
}

/** What a worker's own region holds, for its writer and for the daemon. */
export class OwnMemory {
  readonly head: Int32Array;
  readonly balance: BalanceMemory;
  readonly counters: CounterRegion;
  readonly #logAt: number;

  constructor(
    readonly sizes: MemorySizes,
    shared: ArrayBufferLike,
    readonly buffer: ArrayBufferLike,
  ) {
    this.head = new Int32Array(buffer, 0, OWN_HEAD / 4);
    const balance = balanceSizes(sizes);
    // The loops of all workers have one clock already.
    this.balance = new BalanceMemory(
      balance,
      { buffer: shared, offset: places(sizes).balance },
      { buffer, offset: OWN_HEAD },
      0,
    );
    const counters = OWN_HEAD + line(BalanceMemory.ownBytes(balance));
    this.counters = counterRegion(buffer, counters, sizes.rows);
    this.#logAt = counters + line(counterRegionBytes(sizes.rows));
  }

  /** For the worker. */
  log(): LogRing {
    return new LogRing(this.buffer, this.#logAt, this.sizes.log);
  }

  /** For the daemon. */
  logReader(): LogRingReader {
    return new LogRingReader(this.buffer, this.#logAt, this.sizes.log);
  }
}

/** What all workers share, as worker `number` sees it. */
export class SharedMemory {
  readonly sticky: StickyTable;
  readonly buckets: TokenBuckets;
  readonly services: SharedCounts;
  readonly clients: SharedCounts;
  readonly sessions: SessionTable;

  constructor(sizes: MemorySizes, buffer: ArrayBufferLike, number: number) {
    const at = places(sizes);
    this.sticky = new StickyTable(buffer, at.sticky, sizes.sticky, 0);
    this.buckets = new TokenBuckets(buffer, at.buckets, buckets, number);
    this.services = new SharedCounts(buffer, at.services, serviceCounts(sizes), number);
    this.clients = new SharedCounts(buffer, at.clients, clientCounts(sizes), number);
    this.sessions = new SessionTable(buffer, at.sessions, sizes.sessions);
  }
}
