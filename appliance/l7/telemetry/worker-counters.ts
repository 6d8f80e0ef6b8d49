/**
 * A worker counts here: the single writer of its region (counter-layout.ts).
 *
 * Invariant: a row that is none counts as nobody's, and nothing is allocated, as long as whole
 * microseconds come (`wholeMicros`): a call with a fraction may make a number on the heap.
 */
import {
  counter,
  durationBuckets,
  durationMax,
  durationSum,
  rowDoubles,
} from './counter-layout.js';
import type { Counter, CounterRegion } from './counter-layout.js';
import { bucketOf } from './histogram.js';
import { noRow } from './row-registry.js';

/** From milliseconds of performance.now(); at most 2^31 - 1, which is 35 minutes. */
export function wholeMicros(milliseconds: number): number {
  return milliseconds < 2_147_483 ? (milliseconds * 1000 + 0.5) | 0 : 2_147_483_647;
}

export class WorkerCounters {
  private readonly values: Float64Array;
  private readonly rows: number;

  constructor(region: CounterRegion) {
    this.values = region.values;
    this.rows = region.rows;
  }

  private start(row: number): number {
    return (row >= 0 && row < this.rows ? row : noRow) * rowDoubles;
  }

  /** Counters only grow; a gauge also takes a negative number. */
  add(row: number, which: Counter, by: number): void {
    const at = this.start(row) + which;
    this.values[at] = (this.values[at] ?? 0) + by;
  }

  opened(row: number): void {
    const at = this.start(row);
    this.bump(at + counter.opened, 1);
    this.bump(at + counter.active, 1);
  }

  closed(row: number): void {
    this.bump(this.start(row) + counter.active, -1);
  }

  /** A request begins. */
  begun(row: number): void {
    const at = this.start(row);
    this.bump(at + counter.requests, 1);
    this.bump(at + counter.underWay, 1);
  }

  /** A whole request at once, where nobody said when it began; otherwise as `finished`. */
  exchange(row: number, status: number, bytesIn: number, bytesOut: number, micros: number): void {
    this.begun(row);
    this.finished(row, status, bytesIn, bytesOut, micros);
  }

  /**
   * A request that began here is over. `status` is that of the final answer, 0 without one;
   * `micros` is how long it took. A negative one is not measured: a tunnel, or a refusal.
   */
  finished(row: number, status: number, bytesIn: number, bytesOut: number, micros: number): void {
    const at = this.start(row);
    this.bump(at + counter.underWay, -1);
    this.bump(at + counter.bytesIn, bytesIn);
    this.bump(at + counter.bytesOut, bytesOut);
    this.status(at, status);
    if (micros >= 0) this.measure(at, micros);
  }

  /** An answer without `finished`: an interim one, or to what was no request. */
  answered(row: number, status: number): void {
    this.status(this.start(row), status);
  }

  record(row: number, micros: number): void {
    this.measure(this.start(row), micros);
  }

  private bump(at: number, by: number): void {
    this.values[at] = (this.values[at] ?? 0) + by;
  }

  private status(at: number, status: number): void {
    const kind = (status / 100) | 0;
    if (kind >= 1 && kind <= 5) this.bump(at + counter.status1xx + kind - 1, 1);
  }

  private measure(at: number, micros: number): void {
    this.bump(at + durationBuckets + bucketOf(micros), 1);
    this.bump(at + durationSum, micros);
    if (micros > (this.values[at + durationMax] ?? 0)) this.values[at + durationMax] = micros;
  }
}
