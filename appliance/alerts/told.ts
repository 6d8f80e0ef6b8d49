/**
 * Which alarms one target was told of and that last: what tells it that one is over, also when that
 * happened while no daemon was running, and when it is to be reminded.
 */
import { z } from 'zod';
import { keyOf, type Occurrence } from './alert.js';
import { alertKinds } from '../config/alerts.js';
import { rank, SEVERITIES } from '../config/severities.js';

export const toldSchema = z.strictObject({
  kind: z.enum(alertKinds),
  object: z.string(),
  severity: z.enum(SEVERITIES),
  message: z.string(),
  since: z.number(),
  /** When it was told last. */
  at: z.number(),
});

export type Told = z.output<typeof toldSchema>;

export interface ToldStore {
  putTold(target: string, key: string, told: Told): void;
  removeTold(target: string, key: string): void;
}

export class ToldAlarms {
  readonly #target: string;
  readonly #store: ToldStore;
  readonly #told: Map<string, Told>;

  constructor(target: string, store: ToldStore, kept: readonly Told[]) {
    this.#target = target;
    this.#store = store;
    this.#told = new Map(kept.map((one) => [keyOf(one), one]));
  }

  /**
   * What this target is to be told, by the alarms that there are now.
   *
   * @param wanted whether the target wants to hear of it at all
   */
  look(
    alarms: readonly Occurrence[],
    wanted: (one: Occurrence) => boolean,
    repeat: number,
    now: number,
  ): Occurrence[] {
    const news: Occurrence[] = [];
    const there = new Set<string>();
    for (const alarm of worstOfEach(alarms)) {
      const key = keyOf(alarm);
      if (!wanted(alarm)) continue;
      there.add(key);
      const told = this.#told.get(key);
      const since = told?.since ?? alarm.since ?? now;
      const worse = told !== undefined && rank(alarm.severity) > rank(told.severity);
      // A clock that was set back must not put reminders off for good.
      const late = told !== undefined && (now - told.at >= repeat || now < told.at - repeat);
      if (told !== undefined && !worse && !late) continue;
      news.push({ ...alarm, since, time: now, reminder: told !== undefined && !worse });
      const { kind, object, severity, message } = alarm;
      this.#put(key, { kind, object, severity, message, since, at: now });
    }
    for (const [key, { kind, object, severity, message, since }] of this.#told) {
      if (there.has(key)) continue;
      this.#told.delete(key);
      this.#store.removeTold(this.#target, key);
      const over: Occurrence = {
        ...{ kind, object, severity, message, since },
        ...{ state: 'cleared', time: now, reminder: false },
      };
      if (wanted(over)) news.push(over);
    }
    return news;
  }

  #put(key: string, told: Told): void {
    this.#told.set(key, told);
    this.#store.putTold(this.#target, key, told);
  }
}

/** Several alarms may be about one thing. */
function worstOfEach(alarms: readonly Occurrence[]): Iterable<Occurrence> {
  const worst = new Map<string, Occurrence>();
  for (const alarm of alarms) {
    const other = worst.get(keyOf(alarm));
    if (other === undefined || rank(alarm.severity) > rank(other.severity)) {
      worst.set(keyOf(alarm), alarm);
    }
  }
  return worst.values();
}
