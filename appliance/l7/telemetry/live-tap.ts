/**
 * A worker's side of who looks at requests live: a line for each, or for a sample of them, as long as
 * the daemon says that somebody looks.
 *
 * Invariants:
 * - While nobody looks a request costs one look at a word.
 * - At most about `budget` lines a second are written: beyond, each stands for as many requests as its
 *   weight says. They take at most half of the ring, so that they push out no access log.
 */
import type { AccessLine } from './access-line.js';
import type { AccessRecord } from './access-record.js';
import { liveTarget, type LogRing } from './log-ring.js';

const second = 1000;
/** Lines of a worker in a second. */
export const liveBudget = 500;

export class LiveTap {
  private began = 0;
  private seen = 0;
  private written = 0;
  private stride = 1;
  private readonly random: Int32Array;

  constructor(
    private readonly ring: LogRing | null,
    seed: number,
    private readonly budget = liveBudget,
  ) {
    this.random = Int32Array.of(Math.imul(seed | 1, 0x9e3779b1) | 1);
  }

  /**
   * For each request: how many it is to stand for; 0: it is not wanted. `now`: the loop's clock, whole
   * milliseconds as a word.
   */
  weight(now: number): number {
    const { ring } = this;
    if (ring === null || !ring.watched(now)) return 0;
    if (((now - this.began) | 0) >= second || ((now - this.began) | 0) < 0) this.turn(now);
    this.seen += 1;
    if (this.written >= this.budget * 2) return 0;
    if (this.stride > 1 && this.next() % this.stride !== 0) return 0;
    this.written += 1;
    return this.stride;
  }

  write(record: AccessRecord, line: AccessLine, weight: number): void {
    const { ring } = this;
    if (ring === null || !ring.roomy) return;
    ring.write(liveTarget, line.bytes, 0, line.writeLive(record, weight));
  }

  private turn(now: number): void {
    // After a pause nothing is known of how many come.
    const rate = ((now - this.began) | 0) < 2 * second ? this.seen : 0;
    this.stride = Math.max(1, Math.ceil(rate / this.budget));
    this.began = now;
    this.seen = 0;
    this.written = 0;
  }

  private next(): number {
    let x = this.random[0] ?? 1;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.random[0] = x;
    return x >>> 2;
  }
}
