/**
 * Passive health: once a second, from what the fast path counted of each member to whom it
 * suspects (health/passive.ts). Only handshakes and resets that pass through the unit are seen:
 * nat and full nat.
 */
import type { CounterDeltas } from '../api/contract.js';
import type { Intent } from '../config/schema.js';
import { afterInterval, UNSUSPICIOUS, type PassiveStatus } from '../health/passive.js';
import type { Tables } from './tables.js';

export class Suspicions {
  readonly #known = new Map<string, PassiveStatus>();

  /** Why a member is suspect; undefined while it is not. */
  reason(id: string): string | undefined {
    const status = this.#known.get(id);
    return status?.suspect === true ? status.reason : undefined;
  }

  /** Takes in what a second brought. Returns whether the suspicion of a member changed. */
  step(deltas: CounterDeltas, intent: Intent, tables: Tables, now: number): boolean {
    let changed = false;
    const watched = new Set<string>();
    for (const [name, { members }] of tables.l4.pools) {
      const rule = intent.pools[name]?.passive;
      if (rule === undefined) continue;
      for (const { id } of members) {
        watched.add(id);
        const before = this.#known.get(id) ?? UNSUSPICIOUS;
        const gained = Object.hasOwn(deltas.members, id) ? deltas.members[id] : undefined;
        const delta = {
          opens: gained?.flows ?? 0,
          answers: gained?.answers ?? 0,
          resets: gained?.resets ?? 0,
        };
        const after = afterInterval(before, delta, rule, now);
        if (after !== before) this.#known.set(id, after);
        if (after.suspect !== before.suspect) changed = true;
      }
    }
    for (const id of this.#known.keys()) if (!watched.has(id)) this.#known.delete(id);
    return changed;
  }
}
