/**
 * How long logins of a name, or from a source, are not even tried after failures: some are free, then
 * each doubles the time, up to a bound. What lies back for long enough is forgotten.
 *
 * Invariant: an attempt counts as a failure from its begin until it succeeds, so attempts at the same
 * time get no more tries; and the number of remembered names is bounded, whatever names are tried.
 */
export interface LockOutRules {
  /** Failures without a consequence. */
  readonly free: number;
  readonly firstMs: number;
  readonly longestMs: number;
  /** After so long without a failure the next one is the first. */
  readonly forgetMs: number;
}

export const NAME_RULES: LockOutRules = {
  free: 4,
  firstMs: 15_000,
  longestMs: 15 * 60_000,
  forgetMs: 60 * 60_000,
};

/** Of many names: somebody else may be mistyping at the same place. */
export const SOURCE_RULES: LockOutRules = { ...NAME_RULES, free: 19 };

const MOST_REMEMBERED = 10_000;

interface Failures {
  readonly count: number;
  readonly last: number;
  readonly until: number;
}

export class LockOut {
  readonly #rules: LockOutRules;
  /** The longest untouched first. */
  readonly #failures = new Map<string, Failures>();

  constructor(rules: LockOutRules) {
    this.#rules = rules;
  }

  /** Until when nothing is tried; null: it may be. */
  lockedUntil(key: string, now: number): number | null {
    const until = this.#failures.get(key)?.until ?? 0;
    return until > now ? until : null;
  }

  /** Counts an attempt. Returns until when no other is tried from here on; null: one may be. */
  attempt(key: string, now: number): number | null {
    const { free, firstMs, longestMs, forgetMs } = this.#rules;
    const known = this.#failures.get(key);
    const fresh = known === undefined || now - known.last > forgetMs || now < known.last;
    const count = fresh ? 1 : known.count + 1;
    const over = count - free;
    const until = over <= 0 ? 0 : now + Math.min(longestMs, firstMs * 2 ** Math.min(over - 1, 30));
    this.#failures.delete(key);
    this.#failures.set(key, { count, last: now, until });
    if (this.#failures.size > MOST_REMEMBERED) {
      const [oldest] = this.#failures.keys();
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    return until > now ? until : null;
  }

  /** How many attempts failed. */
  count(key: string): number {
    return this.#failures.get(key)?.count ?? 0;
  }

  /** An attempt that was counted succeeded; the others of a source keep counting. */
  takeBack(key: string): void {
    const known = this.#failures.get(key);
    if (known === undefined) return;
    const count = known.count - 1;
    if (count <= 0) this.#failures.delete(key);
    else this.#failures.set(key, { ...known, count, until: 0 });
  }

  /** Whether there was something to forget. */
  forget(key: string): boolean {
    return this.#failures.delete(key);
  }
}
