/**
 * What the two units of a pair see of members, brought together: each tells the other, a member that
 * the other one reaches and this one does not is told of as what it is, and a unit that reaches far
 * fewer members than the other is less fit to serve.
 *
 * Invariant: a member counts as out of reach of this unit alone only after a time in which both
 * monitors must have noticed a death, whoever noticed it first.
 */
import { HealthExchange, type Verdict } from '../ha/health/exchange.js';
import type { Pair } from '../ha/pair/pair.js';
import type { PairNews } from '../ha/pair/state.js';
import type { BothViews, Monitors } from '../health/monitors.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { MonitorTarget, Tables } from './tables.js';
import { usedPools } from './used-pools.js';

export interface PeerHealthParts {
  readonly monitors: Pick<Monitors, 'bothViews' | 'hearPeer' | 'forgetPeer' | 'verdicts'>;
  readonly pair: Pick<Pair, 'onSession' | 'state'>;
  readonly events: Pick<EventLog, 'append'>;
  /** Epoch milliseconds. */
  readonly now?: () => number;
}

/** Beyond what the monitor itself needs to notice. */
const GRACE_MS = 3000;
/** Between two events. */
const QUIET_MS = 10_000;
/** Named in an event; the rest is counted. */
const NAMED = 5;

export class PeerHealth {
  readonly #parts: PeerHealthParts;
  readonly #exchange: HealthExchange;
  readonly #stop: () => void;
  readonly #now: () => number;
  /** Members, as `POOL/MEMBERKEY`, that the other unit reaches and this one does not. */
  #unreached = new Set<string>();
  /** As of the last event. */
  #told = new Set<string>();
  #toldAt = -Infinity;
  #peer = 'the other unit';
  #reaches = true;

  constructor(parts: PeerHealthParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    const { monitors, pair, events } = parts;
    this.#exchange = new HealthExchange({
      own: () => monitors.verdicts(),
      onHeard: (verdicts) => {
        monitors.hearPeer(verdicts);
      },
      onForget: () => {
        monitors.forgetPeer();
      },
      onMalformed: (why) => {
        const message = `${this.#peer} sent what is no message about members: ${why}`;
        events.append({ kind: 'pair', severity: 'error', message, subject: { peer: this.#peer } });
      },
    });
    this.#stop = this.#exchange.follow(pair);
  }

  /** What happens to the pair. */
  heard(news: PairNews): void {
    this.#exchange.heard(news);
  }

  /** The probes of this unit say something else of a member. */
  changed(key: string, verdict: Verdict | null): void {
    this.#exchange.changed(key, verdict);
  }

  close(): void {
    this.#stop();
    this.#exchange.close();
  }

  /** False: of some pool that serves, this unit reaches less than half of what the other one does. */
  get reaches(): boolean {
    return this.#reaches;
  }

  /** Once a second. */
  step(tables: Tables): void {
    const { peer } = this.#parts.pair.state();
    this.#peer = peer?.name ?? this.#peer;
    const unreached = new Set<string>();
    let reaches = true;
    if (peer !== null) {
      for (const [, { members }] of usedPools(tables)) {
        let [theirs, lacking] = [0, 0];
        for (const { id } of members) {
          const target = tables.monitors.get(id);
          const views = target && this.#parts.monitors.bothViews(id);
          if (target === undefined || views === undefined) continue;
          const isUnreached = this.#isUnreached(target, views);
          if (isUnreached) unreached.add(id);
          // While the other unit is not heard, what this one last knew of it is what is known.
          const up = isUnreached || (views.peer ?? views.own)?.verdict === 'up';
          theirs += Number(up);
          lacking += Number(isUnreached);
        }
        if (2 * (theirs - lacking) < theirs) reaches = false;
      }
    }
    this.#unreached = unreached;
    this.#reaches = reaches;
    this.#tell();
  }

  #isUnreached({ id, settings }: MonitorTarget, { own, peer }: BothViews): boolean {
    if (own?.verdict !== 'down' || peer?.verdict === 'down') return false;
    if (peer === undefined) return this.#unreached.has(id);
    const { interval, timeout, fall } = settings;
    const patience = (fall + 1) * interval + timeout + GRACE_MS;
    const known = this.#now() - Math.max(own.since, peer.since) >= patience;
    return known || this.#unreached.has(id);
  }

  #tell(): void {
    const now = this.#now();
    const fresh = [...this.#unreached].filter((id) => !this.#told.has(id));
    const over = this.#told.size > 0 && this.#unreached.size === 0;
    if ((fresh.length === 0 && !over) || now - this.#toldAt < QUIET_MS) return;
    this.#told = new Set(this.#unreached);
    this.#toldAt = now;
    const names = fresh.slice(0, NAMED).join(', ');
    const more = fresh.length > NAMED ? ` and ${fresh.length - NAMED} more` : '';
    this.#parts.events.append({
      kind: 'pair',
      severity: over ? 'info' : 'warning',
      message: over
        ? `this unit reaches every member again that ${this.#peer} reaches`
        : `${this.#peer} reaches ${fresh.length} member${fresh.length === 1 ? '' : 's'} that this unit does not, so the way from here is broken: ${names}${more}`,
      subject: { peer: this.#peer },
    });
  }
}
