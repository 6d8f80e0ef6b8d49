/**
 * When a member counts as up or down: rise and fall, what its agent says, and damping. Pure.
 *
 * Invariants:
 * - The first conclusive probe decides at once; afterwards a state changes only after `rise` good
 *   or `fall` failed probes in a row. What an agent says against its member needs no repetition.
 * - An inconclusive probe (the unit's own trouble) changes no state and no count.
 * - A state that is the other unit's word (peer-view.ts) holds until the first conclusive probe, which
 *   decides at once.
 * - `since` changes exactly when `state` does.
 */
import { afterAgentLine, type AgentStatus, type AgentWords } from './agent-line.js';
import {
  afterObservation,
  heldReason,
  STEADY,
  type DampingRule,
  type Flapping,
} from './damping.js';

export type HealthState = 'unknown' | 'up' | 'down';

/** How one probe ended. `inconclusive`: it says nothing about the member. */
export interface ProbeResult {
  readonly outcome: 'pass' | 'fail' | 'inconclusive';
  /** A few words for people: `connection refused`, `status 200`. */
  readonly reason: string;
  /** Milliseconds to the verdict; only of probes that were answered. */
  readonly latencyMs?: number | undefined;
  /** What the member's agent said, of the agent monitor. */
  readonly agent?: AgentWords;
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
  /** Decaying average over the answered probes, in microseconds. */
  readonly responseTimeUs?: number | undefined;
  /** Outcome of the last conclusive probe. */
  readonly lastOutcome?: 'pass' | 'fail';
  /** Conclusive probes in a row that ended like the last one. */
  readonly consecutive: number;
  /** Why the last probe could not be made, while that is so: the state may be an old one. */
  readonly blind?: string | undefined;
  /** The state is what the other unit sees, while this one sees nothing. */
  readonly borrowed?: boolean | undefined;
  /** What the member's agent has said; of the agent monitor. */
  readonly agent?: AgentStatus;
  /** The state by rise and fall alone, while damping is asked for. */
  readonly undamped?: HealthState;
  readonly flapping?: Flapping;
}

export interface Rule {
  /** Good probes in a row that bring a member back. */
  readonly rise: number;
  /** Failed probes in a row that take a member out. */
  readonly fall: number;
  readonly damping?: DampingRule | undefined;
}

/** Wall time for people, monotonic time for spans; milliseconds both. */
export interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

/** Weight of the newest of the response times: about the last fifteen of them count. */
const NEWEST_SHARE = 1 / 8;

export function initialStatus(now: number): HealthStatus {
  return { state: 'unknown', since: now, reason: 'not probed yet', consecutive: 0 };
}

/** A state that was known before, from an earlier run or from the other unit. */
export function seededStatus(state: HealthState, now: number): HealthStatus {
  return { state, since: now, reason: `${state} before monitoring began`, consecutive: 0 };
}

/** The status of a member whose monitor has new settings: its state stays until a probe speaks. */
export function carriedStatus(status: HealthStatus): HealthStatus {
  const { state, since, reason, consecutive, lastOutcome, lastProbe, latencyMs } = status;
  return {
    state,
    since,
    reason,
    consecutive,
    responseTimeUs: status.responseTimeUs,
    ...(lastOutcome === undefined ? {} : { lastOutcome }),
    ...(lastProbe === undefined ? {} : { lastProbe }),
    ...(latencyMs === undefined ? {} : { latencyMs }),
  };
}

/** The status after a probe that ended at `now`. */
export function afterProbe(
  status: HealthStatus,
  result: ProbeResult,
  rule: Rule,
  now: Moment,
): HealthStatus {
  if (result.outcome === 'inconclusive') {
    return {
      ...status,
      lastProbe: now.wall,
      reason:
        status.borrowed === true
          ? borrowedReason(status.state, result.reason)
          : `${result.reason} (the probe says nothing)`,
      blind: result.reason,
    };
  }
  const agent =
    result.agent === undefined ? status.agent : afterAgentLine(status.agent, result.agent);
  const against =
    result.agent !== undefined && (agent?.state === 'down' || agent?.state === 'maint');
  const outcome = against ? 'fail' : result.outcome;
  const reason = result.agent === undefined ? result.reason : (agent?.reason ?? result.reason);
  const consecutive = status.lastOutcome === outcome ? status.consecutive + 1 : 1;
  const before = status.borrowed === true ? 'unknown' : (status.undamped ?? status.state);
  const decided = decide(before, outcome, consecutive, against ? { ...rule, fall: 1 } : rule);
  const observed: HealthStatus = {
    ...status,
    ...latency(status, result),
    ...(status.blind === undefined ? {} : { blind: undefined }),
    ...(status.borrowed === undefined ? {} : { borrowed: undefined }),
    lastProbe: now.wall,
    lastOutcome: outcome,
    consecutive,
    reason: decided.progress === '' ? reason : `${reason} (${decided.progress})`,
    ...(agent === undefined ? {} : { agent }),
  };
  if (rule.damping === undefined) return settle(observed, status, decided.state, now);
  return dampen(observed, status, decided.state, rule.damping, now);
}

function decide(
  before: HealthState,
  outcome: 'pass' | 'fail',
  consecutive: number,
  { rise, fall }: Pick<Rule, 'rise' | 'fall'>,
): { readonly state: HealthState; readonly progress: string } {
  const next: HealthState = outcome === 'pass' ? 'up' : 'down';
  const needed = before === 'unknown' ? 1 : outcome === 'pass' ? rise : fall;
  if (before === next || consecutive >= needed) return { state: next, progress: '' };
  const until = outcome === 'pass' ? 'until it serves again' : 'until it is taken out';
  return { state: before, progress: `${consecutive} of ${needed} ${until}` };
}

function dampen(
  observed: HealthStatus,
  before: HealthStatus,
  undamped: HealthState,
  rule: DampingRule,
  now: Moment,
): HealthStatus {
  const was = before.undamped ?? before.state;
  // The first verdict is no change of a state.
  const changed = undamped !== was && was !== 'unknown';
  const good = observed.lastOutcome === 'pass' && undamped === 'up';
  const flapping = afterObservation(
    before.flapping ?? STEADY,
    rule,
    { good, changed },
    now.monotonic,
  );
  const next = { ...observed, undamped, flapping };
  if (flapping.held === null) return settle(next, before, undamped, now);
  return settle({ ...next, reason: heldReason(flapping.held, rule) }, before, 'down', now);
}

function settle(
  observed: HealthStatus,
  before: HealthStatus,
  state: HealthState,
  now: Moment,
): HealthStatus {
  return state === before.state ? observed : { ...observed, state, since: now.wall };
}

function latency(
  { responseTimeUs: average }: HealthStatus,
  { latencyMs }: ProbeResult,
): Pick<HealthStatus, 'latencyMs' | 'responseTimeUs'> {
  if (latencyMs === undefined) return {};
  const sample = latencyMs * 1000;
  const next = average === undefined ? sample : average + (sample - average) * NEWEST_SHARE;
  return { latencyMs, responseTimeUs: Math.round(next) };
}

/** `blind`: why this unit cannot probe; undefined: it has not yet. */
export function borrowedReason(state: HealthState, blind: string | undefined): string {
  const why = blind === undefined ? 'has not probed it yet' : `cannot probe it: ${blind}`;
  return `the other unit sees it ${state}; this one ${why}`;
}
