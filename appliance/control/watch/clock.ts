/**
 * Whether the unit's clock can be relied on. Certificates, changes that wait for confirmation and which
 * of two changes is newer all go by it. Pure.
 *
 * Nobody knows from the kernel alone whether something is meant to synchronise the clock, so it counts
 * as lost only where it was seen to be synchronised in this run of the daemon.
 */
import type { Alarm } from '../../api/contract.js';
import type { ClockDifference } from '../../ha/pair/clock.js';
import type { NewEvent } from '../../telemetry/event-log.js';

/** A daemon of NTP that is restarted says nothing for a while. */
export const UNSYNCHRONISED_GRACE_MS = 300_000;
/** Of the two units of a pair: told above, for as long; over below half of it. */
const DIFFERENCE_MS = 1000;
const DIFFERENCE_GRACE_MS = 10_000;

export interface ClockLook {
  /** Null: the kernel does not say. */
  readonly synchronised: boolean | null;
  /** The other unit's clock minus this one's, by the best link; null: it is not heard. */
  readonly difference: (ClockDifference & { readonly peer: string }) | null;
}

export class ClockWatch {
  readonly #synchronisation = new Lasting(UNSYNCHRONISED_GRACE_MS);
  readonly #difference = new Lasting(DIFFERENCE_GRACE_MS);
  #wasSynchronised = false;
  #apart: { readonly ms: number; readonly peer: string } | null = null;

  /** @param now milliseconds of a clock that only goes forward; `time`: since 1970 */
  step({ synchronised, difference }: ClockLook, now: number, time: number): NewEvent[] {
    const events: NewEvent[] = [];
    if (synchronised === true) this.#wasSynchronised = true;
    const lost = synchronised === false && this.#wasSynchronised;
    const tell = (severity: 'info' | 'warning', message: string, peer?: string): void => {
      events.push({
        ...{ kind: 'clock', severity, message },
        ...(peer === undefined ? {} : { subject: { peer } }),
      });
    };
    switch (this.#synchronisation.step(lost, now, time)) {
      case 'begun':
        tell('warning', 'the clock is not synchronised any more');
        break;
      case 'over':
        tell('info', 'the clock is synchronised again');
        break;
      case null:
    }
    const { ms = 0, errorMs = 0, peer = '' } = difference ?? {};
    const least = Math.max(0, Math.abs(ms) - errorMs);
    const bound = this.#difference.since === null ? DIFFERENCE_MS : DIFFERENCE_MS / 2;
    // While the other unit is not heard, nothing new is known of its clock.
    const apart = difference === null ? this.#difference.since !== null : least > bound;
    if (difference !== null) this.#apart = { ms, peer };
    switch (this.#difference.step(apart, now, time)) {
      case 'begun':
        tell('warning', `the clock of ${peer} is ${by(ms)} this unit's`, peer);
        break;
      case 'over':
        tell('info', `the clocks of this unit and ${peer} agree again`, peer);
        break;
      case null:
    }
    return events;
  }

  alarms(): Alarm[] {
    const found: Alarm[] = [];
    const lost = this.#synchronisation.since;
    if (lost !== null) {
      found.push({
        code: 'clock-unsynchronised',
        severity: 'warning',
        message:
          "The clock is not synchronised any more: see to this unit's NTP daemon. Certificates and changes go by the clock.",
        since: lost,
      });
    }
    const { since } = this.#difference;
    if (since !== null && this.#apart !== null) {
      const { peer, ms } = this.#apart;
      found.push({
        code: 'clock-difference',
        severity: 'warning',
        message: `The clock of ${peer} is ${by(ms)} this unit's: synchronise both. Certificates, and which of two changes is newer, go by the clock.`,
        since,
      });
    }
    return found;
  }
}

function by(ms: number): string {
  return `${(Math.abs(ms) / 1000).toFixed(1)} s ${ms > 0 ? 'ahead of' : 'behind'}`;
}

/** Something that counts once it lasts. */
class Lasting {
  readonly #graceMs: number;
  #from: number | null = null;
  /** When it was found to last, milliseconds since 1970; null: it does not. */
  since: number | null = null;

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  step(is: boolean, now: number, time: number): 'begun' | 'over' | null {
    if (!is) {
      this.#from = null;
      if (this.since === null) return null;
      this.since = null;
      return 'over';
    }
    this.#from ??= now;
    if (this.since !== null || now - this.#from < this.#graceMs) return null;
    this.since = time;
    return 'begun';
  }
}
