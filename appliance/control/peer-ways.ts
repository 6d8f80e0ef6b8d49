/**
 * Routes and neighbours that both units of a pair track: one that is lost to both says nothing about
 * either unit, so neither is the worse for it.
 *
 * Invariant: what is lost here counts only while the other unit is not heard, or has said otherwise for
 * as long as it takes two units to notice the same death.
 */
import { createHash } from 'node:crypto';
import { HealthExchange, type Verdict } from '../ha/health/exchange.js';
import type { Pair } from '../ha/pair/pair.js';
import type { PairNews } from '../ha/pair/state.js';
import type { EventLog } from '../telemetry/event-log.js';

export interface PeerWaysParts {
  readonly pair: Pick<Pair, 'onSession'>;
  readonly events: Pick<EventLog, 'append'>;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

/** Each asks once a second, at a moment of its own, and tells the other within a tenth of one. */
const GRACE_MS = 2000;
const CHANNEL = 'ways';

interface Seen {
  readonly verdict: Verdict;
  readonly since: number;
}

export class PeerWays {
  readonly #exchange: HealthExchange;
  readonly #events: PeerWaysParts['events'];
  readonly #now: () => number;
  readonly #stop: () => void;
  #together = false;
  /** By the digests of their names. */
  readonly #own = new Map<string, Seen>();
  readonly #theirs = new Map<string, Seen>();
  /** Lost to both, as was told. */
  #told = new Set<string>();

  constructor({ pair, events, now }: PeerWaysParts) {
    this.#events = events;
    this.#now = now ?? performance.now.bind(performance);
    this.#exchange = new HealthExchange({
      channel: CHANNEL,
      own: () => [...this.#own].map(([key, { verdict }]) => [key, verdict] as const),
      onHeard: (verdicts) => {
        this.#together = true;
        for (const [key, verdict] of verdicts) {
          if (verdict === null) this.#theirs.delete(key);
          else this.#note(this.#theirs, key, verdict);
        }
      },
      onForget: () => {
        this.#together = false;
        this.#theirs.clear();
      },
      onMalformed: (why) => {
        const message = `the other unit sent what is no message about routes and neighbours: ${why}`;
        events.append({ kind: 'pair', severity: 'error', message });
      },
    });
    this.#stop = this.#exchange.follow(pair);
  }

  /** What happens to the pair. */
  heard(news: PairNews): void {
    this.#exchange.heard(news);
  }

  /**
   * What this unit sees of ways, by name: true, it is well. Returns what counts. To be asked again
   * once a second.
   */
  judge(seen: ReadonlyMap<string, boolean>): ReadonlyMap<string, boolean> {
    const keys = new Map([...seen.keys()].map((name) => [name, keyOf(name)]));
    const wanted = new Set(keys.values());
    for (const key of [...this.#own.keys()].filter((one) => !wanted.has(one))) {
      this.#own.delete(key);
      this.#exchange.changed(key, null);
    }
    const counts = new Map<string, boolean>();
    const bothLost = new Set<string>();
    for (const [name, well] of seen) {
      const key = keys.get(name) ?? '';
      const verdict = well ? 'up' : 'down';
      if (this.#note(this.#own, key, verdict)) this.#exchange.changed(key, verdict);
      if (!well && this.#theirs.get(key)?.verdict === 'down') bothLost.add(name);
      counts.set(name, well || !this.#isLost(key));
    }
    this.#tell(bothLost);
    return counts;
  }

  close(): void {
    this.#stop();
    this.#exchange.close();
  }

  #isLost(key: string): boolean {
    const [own, theirs] = [this.#own.get(key), this.#theirs.get(key)];
    // It is not heard, or does not track this.
    if (!this.#together || own === undefined || theirs === undefined) return true;
    if (theirs.verdict === 'down') return false;
    return this.#now() - Math.max(own.since, theirs.since) >= GRACE_MS;
  }

  /** Whether that is new. */
  #note(of: Map<string, Seen>, key: string, verdict: Verdict): boolean {
    if (of.get(key)?.verdict === verdict) return false;
    of.set(key, { verdict, since: this.#now() });
    return true;
  }

  #tell(lost: ReadonlySet<string>): void {
    const fresh = [...lost].filter((name) => !this.#told.has(name));
    this.#told = new Set(lost);
    if (fresh.length === 0) return;
    const plural = fresh.length > 1;
    this.#events.append({
      kind: 'pair',
      severity: 'warning',
      message: `${fresh.join(', ')} ${plural ? 'are' : 'is'} lost to both units, so neither yields because of ${plural ? 'them' : 'it'}`,
    });
  }
}

/** Both units come to the same one. */
function keyOf(name: string): string {
  return createHash('sha256').update(`way ${name}`).digest('base64url').slice(0, 16);
}
