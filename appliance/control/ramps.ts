/**
 * Slow start: which members came up a while ago, and how far they are. Time is given with
 * each step, in milliseconds of a clock that only goes forward.
 *
 * Invariant: between two steps the answer for a member does not change, except that one that
 * was not serving is at its first step from the moment when it does.
 */
import { FIRST_STEP, rampFactor } from '../balance/slow-start.js';
import type { Intent } from '../config/schema.js';
import type { Tables } from './tables.js';

interface Ramp {
  readonly since: number;
  readonly duration: number;
  factor: number;
}

export class Ramps {
  /** Members that served after the last run, by pool; null before the first run. */
  #serving: Map<string, ReadonlySet<string>> | null = null;
  readonly #ramps = new Map<string, Ramp>();

  /** Part of its share that a member takes, or would take if it came up now. */
  factor(id: string): number {
    const ramp = this.#ramps.get(id);
    if (ramp !== undefined) return ramp.factor;
    // What serves when the daemon begins was serving before it: a restart starts nobody slowly.
    if (this.#serving === null) return 1;
    const pool = id.slice(0, id.indexOf('/'));
    return this.#serving.get(pool)?.has(id) === true ? 1 : FIRST_STEP;
  }

  /** Takes note of who serves after a run. */
  follow(before: Tables | undefined, tables: Tables, intent: Intent, now: number): void {
    const known = this.#serving;
    const serving = new Map<string, ReadonlySet<string>>();
    for (const [name, pool] of tables.pools) {
      const was = known?.get(name);
      if (was !== undefined && before?.pools.get(name) === pool) {
        serving.set(name, was);
        continue;
      }
      const ids = new Set<string>();
      const duration = intent.pools[name]?.['slow-start'];
      for (const { id, state } of pool.members) {
        if (state !== 'serving') continue;
        ids.add(id);
        // A pool that is new has nobody who could carry the load meanwhile.
        const cameUp = was !== undefined && !was.has(id);
        if (cameUp && duration !== undefined) {
          this.#ramps.set(id, { since: now, duration, factor: FIRST_STEP });
        }
      }
      serving.set(name, ids);
    }
    for (const id of this.#ramps.keys()) {
      const name = id.slice(0, id.indexOf('/'));
      const wanted = intent.pools[name]?.['slow-start'] !== undefined;
      if (!wanted || serving.get(name)?.has(id) !== true) this.#ramps.delete(id);
    }
    this.#serving = serving;
  }

  /** Lets time pass. Returns whether a member takes more than before. */
  step(now: number): boolean {
    let changed = false;
    for (const [id, ramp] of this.#ramps) {
      const factor = rampFactor(now - ramp.since, ramp.duration);
      if (factor === ramp.factor) continue;
      ramp.factor = factor;
      changed = true;
      if (factor === 1) this.#ramps.delete(id);
    }
    return changed;
  }
}
