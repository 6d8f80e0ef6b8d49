/**
 * What the other unit of a pair sees of members, and when that counts here: while this unit sees
 * nothing itself, since its daemon has just started or its probes cannot be made.
 *
 * Invariants:
 * - What this unit sees itself is never overruled: it cannot forward to a member that only the other
 *   unit reaches.
 * - A unit that sees no member up has lost its way to them, rather than all of them their life: its
 *   word against a member then counts for nothing.
 */
import { borrowedReason, type HealthState, type HealthStatus } from './state-machine.js';

export type Verdict = Exclude<HealthState, 'unknown'>;

export interface Seen {
  readonly verdict: Verdict;
  /** Epoch milliseconds when this unit heard of it. */
  readonly since: number;
}

export class PeerView {
  readonly #seen = new Map<string, Seen>();
  #up = 0;

  get size(): number {
    return this.#seen.size;
  }

  get(key: string): Seen | undefined {
    return this.#seen.get(key);
  }

  /** Null: it sees nothing. */
  set(key: string, verdict: Verdict | null, now: number): void {
    const before = this.#seen.get(key)?.verdict;
    if (before === verdict) return;
    if (before === 'up') this.#up -= 1;
    if (verdict === null) this.#seen.delete(key);
    else this.#seen.set(key, { verdict, since: now });
    if (verdict === 'up') this.#up += 1;
  }

  clear(): void {
    this.#seen.clear();
    this.#up = 0;
  }

  /** What may stand in for probes of this unit. */
  credible(key: string): Verdict | undefined {
    const verdict = this.#seen.get(key)?.verdict;
    return verdict === 'down' && this.#up === 0 ? undefined : verdict;
  }
}

/** What the probes of this unit say, and nothing else; null: nothing now. */
export function ownVerdict({ state, blind, borrowed, lastOutcome }: HealthStatus): Verdict | null {
  if (state === 'unknown' || lastOutcome === undefined) return null;
  return blind === undefined && borrowed === undefined ? state : null;
}

/** The status with what the other unit sees where this one sees nothing. */
export function withPeer(
  status: HealthStatus,
  verdict: Verdict | undefined,
  now: number,
): HealthStatus {
  const { state, blind, borrowed } = status;
  const sees = state !== 'unknown' && blind === undefined && borrowed === undefined;
  if (sees || verdict === undefined || verdict === state) return status;
  return {
    ...status,
    ...{ state: verdict, since: now, borrowed: true },
    ...(status.undamped === undefined ? {} : { undamped: verdict }),
    reason: borrowedReason(verdict, blind),
  };
}
