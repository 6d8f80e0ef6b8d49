/** Time for what waits for days. */
import type { Clock } from '../../appliance/tls/keeper.js';

/** A clock that stands until a test moves it. */
export class HandClock implements Clock {
  time = Date.now();
  readonly #waiting = new Set<{ at: number; act: () => void }>();
  now(): number {
    return this.time;
  }
  after(milliseconds: number, act: () => void): () => void {
    const one = { at: this.time + milliseconds, act };
    this.#waiting.add(one);
    return () => this.#waiting.delete(one);
  }
  /** Lets time pass by hours, as the keeper looks. */
  async pass(milliseconds: number, settled: () => Promise<unknown>): Promise<void> {
    const end = this.time + milliseconds;
    for (;;) {
      const next = [...this.#waiting].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#waiting.delete(next);
      this.time = next.at;
      next.act();
      await settled();
    }
    this.time = end;
  }
}
