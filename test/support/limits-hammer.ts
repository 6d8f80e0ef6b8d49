/**
 * A thread that asks shared limits as fast as it can, for tests of what several workers together
 * let through. It gets its orders as messages, one a round, and answers each with a count.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { TokenBuckets, type BucketSizes } from '../../appliance/l7/limits/buckets.js';
import { SharedCounts, type CountSizes } from '../../appliance/l7/limits/counts.js';
import { bucketRate } from '../../appliance/l7/limits/rate.js';

export interface HammerData {
  /** The tables, and a word behind them in which threads count that they are ready. */
  readonly memory: SharedArrayBuffer;
  readonly worker: number;
  readonly buckets?: BucketSizes;
  readonly counts?: CountSizes;
}

export type HammerOrder =
  | {
      readonly kind: 'take';
      /** Begins when so many orders have come to threads, so that all begin at once. */
      readonly begin: number;
      readonly first: number;
      readonly keys: number;
      readonly times: number;
      readonly perSecond: number;
      readonly burst: number;
      readonly now: number;
    }
  | {
      readonly kind: 'enter';
      readonly keys: number;
      readonly times: number;
      readonly most: number;
    };

/** Of each order: what was let in, by key, and what the table had no room for. */
export interface HammerReport {
  readonly allowed: readonly number[];
  readonly untracked: number;
}

const port = parentPort;
if (port !== null) {
  const { memory, worker, buckets, counts } = workerData as HammerData;
  const table = buckets === undefined ? null : new TokenBuckets(memory, 0, buckets, worker);
  const connections = counts === undefined ? null : new SharedCounts(memory, 0, counts, worker);
  port.on('message', (order: HammerOrder) => {
    const allowed = new Array<number>(order.keys).fill(0);
    if (order.kind === 'take' && table !== null) {
      const rate = bucketRate(order.perSecond, order.burst);
      const ready = new Int32Array(memory, memory.byteLength - 4);
      Atomics.add(ready, 0, 1);
      while (Atomics.load(ready, 0) < order.begin);
      for (let i = 0; i < order.times; i += 1) {
        const key = i % order.keys;
        const low = order.first + key;
        const set = table.setOf('keyed', low);
        if (table.take(set, low, key * 64, rate, order.now) === 0) {
          allowed[key] = (allowed[key] ?? 0) + 1;
        }
      }
    } else if (order.kind === 'enter' && connections !== null) {
      for (let i = 0; i < order.times; i += 1) {
        const key = i % order.keys;
        const place = connections.enter(key, key, order.most);
        if (place < 0) continue;
        // What is seen here is between this worker's entering and leaving.
        allowed[key] = Math.max(allowed[key] ?? 0, connections.of(key, key));
        connections.leave(place);
      }
    }
    const untracked = (table?.untracked ?? 0) + (connections?.untracked ?? 0);
    port.postMessage({ allowed, untracked } satisfies HammerReport);
  });
}
