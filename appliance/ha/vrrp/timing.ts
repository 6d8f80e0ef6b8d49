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
