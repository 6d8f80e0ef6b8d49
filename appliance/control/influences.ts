/**
 * What time and traffic say of members, in one place: slow start, draining deadlines, computed
 * weights and passive health. Moves on once a second, with the counters; between two steps the compiler finds the
 * same answers as often as it asks.
 */
import type { Intent } from '../config/schema.js';
import type { NewEvent } from '../telemetry/event-log.js';
import type { HealthView, InfluenceView } from './compile-pools.js';
import { Drains, type History } from './drains.js';
import { Ramps } from './ramps.js';
import { Suspicions } from './suspicions.js';
import type { Tables } from './tables.js';
import { WeighingLoop, type Sample } from './weighing.js';

export interface InfluencesOptions {
  readonly history: History;
  readonly health: HealthView;
  readonly onEvent: (event: NewEvent) => void;
  readonly onError: (error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

export class Influences implements InfluenceView {
  readonly #options: InfluencesOptions;
  readonly #now: () => number;
  readonly #ramps = new Ramps();
  readonly #drains: Drains;
  readonly #weighing = new WeighingLoop();
  readonly #suspicions = new Suspicions();

  constructor(options: InfluencesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#drains = new Drains({
      history: options.history,
      clock: options.clock ?? Date.now,
      now: this.#now,
      onError: options.onError,
    });
  }

  ramp(id: string): number {
    return this.#ramps.factor(id);
  }

  weight(id: string): number | undefined {
    return this.#weighing.weight(id);
  }

  drained(id: string): boolean {
    return this.#drains.over(id);
  }

  suspect(id: string): string | undefined {
    return this.#suspicions.reason(id);
  }

  /** What is wrong with the expressions of pools, by pool. */
  get problems(): ReadonlyMap<string, string> {
    return this.#weighing.problems;
  }

  /** Before an intent is executed. */
  prepare(intent: Intent): void {
    this.#drains.follow(intent);
  }

  /** After a run. */
  follow(before: Tables | undefined, tables: Tables, intent: Intent): void {
    this.#ramps.follow(before, tables, intent, this.#now());
  }

  /** Once a second. Returns whether compiling again would come to something else. */
  step(sample: Sample, intent: Intent, tables: Tables): boolean {
    const now = this.#now();
    const ramped = this.#ramps.step(now);
    const drained = this.#drains.step();
    const weighed = this.#weighing.step(sample, intent, tables, this.#options.health, now);
    for (const event of weighed.events) this.#options.onEvent(event);
    const suspected = this.#suspicions.step(sample.deltas, intent, tables, now);
    return ramped || drained || weighed.changed || suspected;
  }
}
