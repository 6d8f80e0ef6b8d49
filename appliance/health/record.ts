/**
 * What a member's monitor remembers of its past: the last changes and failures with their times,
 * and the last response times. Pure, but for the object that it changes.
 *
 * Invariants:
 * - At most MOST_FINDINGS findings and MOST_LATENCIES latencies are kept.
 * - The same failure again and again is one finding with a count, so that it does not push out what
 *   led to it.
 */
import type { HealthStatus, ProbeResult } from './state-machine.js';

const MOST_FINDINGS = 10;
const MOST_LATENCIES = 10;

export interface Finding {
  /** `change`: of the state. `failure`: a probe that failed. `trouble`: the unit's own. */
  readonly kind: 'change' | 'failure' | 'trouble';
  /** Epoch milliseconds of the first and of the last time. */
  readonly time: number;
  readonly last: number;
  readonly count: number;
  /** A sentence without its end: `went from up to down: connection refused`. */
  readonly text: string;
}

export class HealthRecord {
  #findings: readonly Finding[] = [];
  /** A ring: thousands of these change each second. */
  readonly #latencies = new Float64Array(MOST_LATENCIES);
  #measured = 0;

  /** The newest first. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  /** Milliseconds, the newest first. */
  get latencies(): readonly number[] {
    const count = Math.min(this.#measured, MOST_LATENCIES);
    return Array.from(
      { length: count },
      (_, age) => this.#latencies[(this.#measured - 1 - age) % MOST_LATENCIES] ?? 0,
    );
  }

  /** For a member that goes on under other settings. */
  copy(): HealthRecord {
    const copy = new HealthRecord();
    copy.#findings = this.#findings;
    copy.#latencies.set(this.#latencies);
    copy.#measured = this.#measured;
    return copy;
  }

  /** Takes in a probe: what was before it, how it ended, what is now. */
  add(before: HealthStatus, result: ProbeResult, now: HealthStatus): void {
    const time = now.lastProbe ?? now.since;
    if (result.latencyMs !== undefined) {
      this.#latencies[this.#measured % MOST_LATENCIES] = result.latencyMs;
      this.#measured += 1;
    }
    if (result.outcome === 'inconclusive') this.#note('trouble', result.reason, time);
    else if (now.lastOutcome === 'fail') this.#note('failure', bareReason(result, now), time);
    this.change(before, now, time);
  }

  /** Takes in what is now, if its state is another than before. `time`: epoch milliseconds. */
  change(before: HealthStatus, now: HealthStatus, time = now.since): void {
    if (now.state === before.state) return;
    this.#note('change', `went from ${before.state} to ${now.state}: ${now.reason}`, time);
  }

  #note(kind: Finding['kind'], text: string, time: number): void {
    const index = this.#findings.findIndex((one) => one.kind === kind && one.text === text);
    const known = kind === 'change' || index > 1 ? undefined : this.#findings[index];
    // A change stands above the failure that it came with: that may go on below it.
    if (known !== undefined && (index === 0 || this.#findings[0]?.kind === 'change')) {
      const next = { ...known, last: time, count: known.count + 1 };
      this.#findings = this.#findings.with(index, next);
      return;
    }
    const fresh: Finding = { kind, time, last: time, count: 1, text };
    this.#findings = [fresh, ...this.#findings].slice(0, MOST_FINDINGS);
  }
}

function bareReason(result: ProbeResult, now: HealthStatus): string {
  return result.agent === undefined ? result.reason : (now.agent?.reason ?? result.reason);
}
