/** Intervals that are derived: RFC 9568 §6.1, RFC 3768 §6.1. Milliseconds. Pure. */
import { SECOND, type Version } from './packet.js';

/** Skew_Time: the higher the priority, the sooner. `interval`: the master's. */
export function skewTime(version: Version, priority: number, interval: number): number {
  return ((256 - priority) / 256) * (version === 3 ? interval : SECOND);
}

/** Active_Down_Interval, formerly Master_Down_Interval: the silence after which a backup takes over. */
export function masterDownInterval(version: Version, priority: number, interval: number): number {
  return 3 * interval + skewTime(version, priority, interval);
}

/** Somebody is listened for. */
export interface Wait {
  /** When silence counts. */
  readonly due: number;
  /** It was waited for once more, since nobody had listened. */
  readonly again: boolean;
}

/**
 * What becomes of a wait when the listener stood still for the last `still` milliseconds, and so, where a
 * host runs both, may the other one have: silence meanwhile says nothing, so that time does not count. One
 * that had nearly ended begins anew, once. `interval`: between two words of the other one; `whole`: the
 * time of a wait.
 */
export function waitHeldUp(
  { due, again }: Wait,
  { still, now, interval, whole }: Readonly<Record<'still' | 'now' | 'interval' | 'whole', number>>,
): Wait {
  const left = due - (now - still);
  if (still < interval || left >= interval || again) {
    return { due: Math.min(due + still, now + whole), again };
  }
  return { due: now + whole, again: true };
}
