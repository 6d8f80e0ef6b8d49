/**
 * Reads the counters once a second and hands out what they gained. Counters are data
 * that flow back from the tiers; nothing here changes anything.
 */
import type { CounterDeltas, Counters } from '../api/contract.js';
import { deltas } from '../telemetry/rates.js';

export interface SamplerOptions {
  readonly read: () => Counters;
  readonly onSample: (deltas: CounterDeltas, counters: Counters) => void;
  readonly onError: (error: unknown) => void;
  readonly intervalMs?: number;
}

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #timer: NodeJS.Timeout;
  #last: Counters | null = null;
  #deltas: CounterDeltas | null = null;

  constructor(options: SamplerOptions) {
    this.#options = options;
    this.#sample();
    this.#timer = setInterval(() => {
      this.#sample();
    }, options.intervalMs ?? 1000);
    this.#timer.unref();
  }

  /** What the last full interval gained; null before the first. */
  get deltas(): CounterDeltas | null {
    return this.#deltas;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    try {
      const now = this.#options.read();
      if (this.#last !== null) {
        this.#deltas = deltas(this.#last, now);
        this.#options.onSample(this.#deltas, now);
      }
      this.#last = now;
    } catch (error) {
      this.#options.onError(error);
    }
  }
}
