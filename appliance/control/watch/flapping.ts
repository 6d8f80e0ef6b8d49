/**
 * Members that change their state again and again. Each change stays an event of its own. Pure.
 *
 * Invariant: of each member at most `CHANGES` times are kept, and none of one that did not change
 * within the window.
 */
import type { Alarm } from '../../api/contract.js';
import type { NewEvent } from '../../telemetry/event-log.js';

/** So many changes within the window are flapping; without one for as long, it is over. */
export const FLAPPING_CHANGES = 5;
export const FLAPPING_WINDOW_MS = 300_000;

interface Changing {
  readonly pool: string;
  readonly member: string;
  /** Of the latest changes, oldest first. */
  times: number[];
  /** Since when it flaps; null: it does not. */
  since: number | null;
  changes: number;
}

export class FlappingWatch {
  readonly #members = new Map<string, Changing>();

  /** Hears of events; those of changes that the administrator made are none of a member's. */
  hear({ kind, subject = {} }: Pick<NewEvent, 'kind' | 'subject'>, time: number): NewEvent | null {
    const { pool, member, before, after } = subject;
    if (kind !== 'member-state' || pool === undefined || member === undefined) return null;
    if (!isOwn(before) || !isOwn(after)) return null;
    const key = `${pool}/${member}`;
    const known = this.#members.get(key) ?? { pool, member, times: [], since: null, changes: 0 };
    this.#members.set(key, known);
    known.times = [...known.times, time].slice(-FLAPPING_CHANGES);
    known.changes += 1;
    const [first = time] = known.times;
    const many = known.times.length === FLAPPING_CHANGES && time - first <= FLAPPING_WINDOW_MS;
    if (known.since !== null || !many) return null;
    known.since = time;
    known.changes = FLAPPING_CHANGES;
    return {
      kind: 'member-flapping',
      severity: 'warning',
      message: `${member} of pool ${pool} is flapping: it changed ${FLAPPING_CHANGES} times within ${Math.ceil((time - first) / 1000)} s`,
      subject: { pool, member },
    };
  }

  /** Now and then, with the members (`POOL/MEMBER`) that there are. */
  step(now: number, exists: (id: string) => boolean): NewEvent[] {
    const events: NewEvent[] = [];
    for (const [key, { pool, member, times, since, changes }] of this.#members) {
      const calm = now - (times.at(-1) ?? 0) > FLAPPING_WINDOW_MS;
      if (!calm && exists(key)) continue;
      this.#members.delete(key);
      if (since === null || !exists(key)) continue;
      events.push({
        kind: 'member-flapping',
        severity: 'info',
        message: `${member} of pool ${pool} is calm again after ${changes} changes`,
        subject: { pool, member },
      });
    }
    return events;
  }

  alarms(): Alarm[] {
    return [...this.#members.values()].flatMap(({ pool, member, since, changes }) =>
      since === null
        ? []
        : {
            code: 'member-flapping',
            severity: 'warning',
            message: `Member ${member} of pool ${pool} is flapping: ${changes} changes so far. See "weir show member ${pool}/${member}" for what its monitor found; a larger rise or fall calms it.`,
            since,
            object: `${pool}/${member}`,
          },
    );
  }
}

/** What monitors and next hops decide; DRAINING and DISABLED are the administrator's words. */
function isOwn(state: string | undefined): boolean {
  return state === 'UP' || state === 'DOWN';
}
