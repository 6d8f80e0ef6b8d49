/**
 * Dropped packets for people: how many for each reason, how fast, and a sample of them. The fast
 * path tells only as many as its budget allows, with a share for each reason; here it is said how
 * many were not told.
 *
 * Invariant: `shown` counts what reached the log of events in this run of the daemon, so `shown`
 * and `notShown` together are the drops of this run.
 */
import type { Counters, CounterDeltas, DropRow, EventRow } from '../api/contract.js';

export class DropLog {
  readonly #before: Readonly<Record<string, number>>;
  readonly #shown = new Map<string, number>();

  /** @param drops counters by reason when the daemon began to listen */
  constructor(drops: Readonly<Record<string, number>>) {
    this.#before = drops;
  }

  told(reason: string): void {
    this.#shown.set(reason, (this.#shown.get(reason) ?? 0) + 1);
  }

  rows(
    { drops }: Pick<Counters, 'drops'>,
    deltas: CounterDeltas | null,
    events: readonly EventRow[],
    samples: number,
  ): DropRow[] {
    return Object.entries(drops).map(([reason, total]) => {
      const gained = deltas?.drops[reason] ?? 0;
      const shown = this.#shown.get(reason) ?? 0;
      const own = events.filter(({ subject }) => subject.reason === reason);
      return {
        reason,
        total,
        perSecond: deltas === null ? 0 : (gained * 1000) / deltas.intervalMs,
        shown,
        // An event may be here before the counters are read.
        notShown: Math.max(0, total - (this.#before[reason] ?? 0) - shown),
        samples: own.slice(Math.max(0, own.length - samples)),
      };
    });
  }
}
