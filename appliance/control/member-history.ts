/**
 * Follows each member from state to state: since when it is what it is, and the events
 * that its changes are.
 */
import type { NewEvent } from '../telemetry/event-log.js';
import type { L4Member, Tables } from './tables.js';
import { memberState } from './views.js';

export class MemberHistory {
  readonly #since = new Map<string, number>();

  get since(): ReadonlyMap<string, number> {
    return this.#since;
  }

  /** Compares two compilations; returns what happened between them. */
  follow(before: Tables | undefined, now: Tables, time: number): NewEvent[] {
    const events: NewEvent[] = [];
    for (const [name, pool] of now.pools) {
      const earlier = before?.pools.get(name);
      if (earlier === pool) continue;
      const known = new Map(earlier?.members.map((member) => [member.key, member]));
      for (const member of pool.members) {
        const was = known.get(member.key);
        known.delete(member.key);
        if (was !== undefined && memberState(was) === memberState(member)) continue;
        this.#since.set(member.id, time);
        if (was !== undefined) events.push(changed(name, was, member));
      }
      for (const { id } of known.values()) this.#since.delete(id);
    }
    for (const [name, pool] of before?.pools ?? []) {
      if (now.pools.has(name)) continue;
      for (const { id } of pool.members) this.#since.delete(id);
    }
    return events;
  }
}

function changed(pool: string, was: L4Member, now: L4Member): NewEvent {
  const [before, after] = [memberState(was), memberState(now)];
  return {
    kind: 'member-state',
    severity: after === 'DOWN' ? 'warning' : 'info',
    message: `${now.key} of pool ${pool} went from ${before} to ${after}: ${now.reason}`,
    subject: { pool, member: now.key, before, after },
  };
}
