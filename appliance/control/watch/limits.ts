/**
 * Limits that are hit: an event when something begins to be refused and one when it is over, with how
 * much was, and an alarm in between. Pure.
 */
import type { Alarm } from '../../api/contract.js';
import { capital } from '../../config/words.js';
import type { NewEvent } from '../../telemetry/event-log.js';

/** What is refused, as it is counted since some time. */
export interface Refused {
  /** The same for the same limit. */
  readonly key: string;
  /** The service whose limit it is; left out: of all, or not known. */
  readonly service?: string;
  /** A word for it: `rate-limit`, `queue-full` … */
  readonly reason: string;
  /** A clause: `connections are refused: …`. */
  readonly what: string;
  readonly count: number;
}

/** Without anything refused for so long, it is over. */
export const CALM_MS = 30_000;

interface Hit {
  readonly refused: Refused;
  readonly since: number;
  count: number;
  last: number;
}

export class LimitWatch {
  #before: Map<string, number> | null = null;
  readonly #hits = new Map<string, Hit>();

  step(counted: readonly Refused[], now: number): NewEvent[] {
    const events: NewEvent[] = [];
    const before = this.#before;
    this.#before = new Map(counted.map(({ key, count }) => [key, count]));
    for (const refused of counted) {
      // What there was when the daemon began to look was not now.
      const was = before === null ? refused.count : (before.get(refused.key) ?? 0);
      // Counters begin anew when the tables do.
      if (refused.count <= was) continue;
      const hit = this.#hits.get(refused.key);
      if (hit !== undefined) {
        hit.count += refused.count - was;
        hit.last = now;
        continue;
      }
      const count = refused.count - was;
      this.#hits.set(refused.key, { refused, since: now, count, last: now });
      events.push({ ...about(refused), severity: 'warning', message: sentence(refused) });
    }
    for (const [key, { refused, since, count, last }] of this.#hits) {
      if (this.#before.has(key) && now - last < CALM_MS) continue;
      this.#hits.delete(key);
      events.push({
        ...about(refused),
        severity: 'info',
        message: `over: ${sentence(refused)}; ${count} were, within ${Math.max(1, Math.round((last - since) / 1000))} s`,
      });
    }
    return events;
  }

  alarms(): Alarm[] {
    return [...this.#hits.values()].map(({ refused, count, since }) => ({
      code: 'limit-hit',
      severity: 'warning',
      message: `${capital(sentence(refused))}; ${count} so far.`,
      since,
      object:
        refused.service === undefined ? refused.reason : `${refused.service}: ${refused.reason}`,
    }));
  }
}

/** Part of a table from which people should know, until it is below `ROOM` again. */
export const FULL = 0.9;
const ROOM = 0.8;

export class FillWatch {
  readonly #full = new Set<string>();

  step(
    tables: readonly {
      readonly name: string;
      readonly entries: number | null;
      readonly limit: number;
    }[],
  ): NewEvent[] {
    const events: NewEvent[] = [];
    for (const { name, entries, limit } of tables) {
      if (entries === null || limit === 0) continue;
      const was = this.#full.has(name);
      if (was ? entries >= ROOM * limit : entries < FULL * limit) continue;
      if (was) this.#full.delete(name);
      else this.#full.add(name);
      events.push({
        kind: 'limit',
        severity: was ? 'info' : 'warning',
        message: `the table ${name} of the fast path ${was ? 'has room again' : 'is nearly full'}: ${entries} of ${limit} entries`,
        subject: { reason: `table-${name}` },
      });
    }
    return events;
  }
}

function about({
  service,
  reason,
}: Refused): Pick<NewEvent & { kind: 'limit' }, 'kind' | 'subject'> {
  return { kind: 'limit', subject: { reason, ...(service === undefined ? {} : { service }) } };
}

function sentence({ service, what }: Refused): string {
  return service === undefined ? what : `service ${service}: ${what}`;
}
