/**
 * When a member counts as up or down: rise and fall, pure.
 *
 * Invariants:
 * - The first conclusive probe decides at once; afterwards a state changes only after `rise` good
 *   or `fall` failed probes in a row.
 * - An inconclusive probe (the unit's own trouble) changes no state and no count.
 * - `since` changes exactly when `state` does.
 */

export type HealthState = 'unknown' | 'up' | 'down';

/** How one probe ended. `inconclusive`: it says nothing about the member. */
export interface ProbeResult {
  readonly outcome: 'pass' | 'fail' | 'inconclusive';
  /** A few words for people: `connection refused`, `status 200`. */
  readonly reason: string;
  /** Milliseconds to the verdict; only of probes that were answered. */
  readonly latencyMs?: number;
}

export interface HealthStatus {
  /** `unknown` until the first conclusive probe; such a member serves. */
  readonly state: HealthState;
  /** Epoch milliseconds of the last change of `state`. */
  readonly since: number;
  /** Why it is in this state, or what speaks against it: words for people. */
  readonly reason: string;
  /** Epoch milliseconds of the end of the last probe. */
  readonly lastProbe?: number;
  /** Of the last answered probe. */
  readonly latencyMs?: number;
  /** Outcome of the last conclusive probe. */
  readonly lastOutcome?: 'pass' | 'fail';
  /** Conclusive probes in a row that ended like the last one. */
  readonly consecutive: number;
}

export interface Rule {
  /** Good probes in a row that bring a member back. */
  readonly rise: number;
  /** Failed probes in a row that take a member out. */
  readonly fall: number;
}

export function initialStatus(now: number): HealthStatus {
  return { state: 'unknown', since: now, reason: 'not probed yet', consecutive: 0 };
}

/** A state that was known before, from an earlier run or from the other unit. */
export function seededStatus(state: HealthState, now: number): HealthStatus {
  return { state, since: now, reason: `${state} before monitoring began`, consecutive: 0 };
}

/** The status after a probe that ended at `now` (epoch milliseconds). */
export function afterProbe(
  status: HealthStatus,
  result: ProbeResult,
  rule: Rule,
  now: number,
): HealthStatus {
  if (result.outcome === 'inconclusive') {
    return { ...status, lastProbe: now, reason: `${result.reason} (the probe says nothing)` };
  }
  const { outcome } = result;
  const consecutive = status.lastOutcome === outcome ? status.consecutive + 1 : 1;
  const observed = {
    ...status,
    lastProbe: now,
    lastOutcome: outcome,
    consecutive,
    reason: result.reason,
    ...(result.latencyMs === undefined ? {} : { latencyMs: result.latencyMs }),
  };
  const next: HealthState = outcome === 'pass' ? 'up' : 'down';
  if (status.state === next) return observed;
  const needed = status.state === 'unknown' ? 1 : outcome === 'pass' ? rule.rise : rule.fall;
  if (consecutive >= needed) return { ...observed, state: next, since: now };
  const until = outcome === 'pass' ? 'until it serves again' : 'until it is taken out';
  return { ...observed, reason: `${result.reason} (${consecutive} of ${needed} ${until})` };
}
