/**
 * The history of the unit and of its services, in bounded memory.
 *
 * Invariant: at most `most` services have one; where there are more, the one that was not recorded
 * for the longest time gives way, and never one that is recorded now.
 */
import type { HistorySpan, TrafficHistory } from '../../api/history-contract.js';
import { Series, SERVICE, UNIT, type Sample, type SeriesKind } from './series.js';

export const UNIT_NAME = 'unit';
export const MOST_SERVICES = 1000;

export function serviceName(service: string): string {
  return `service:${service}`;
}

export function kindOf(name: string): SeriesKind {
  return name === UNIT_NAME ? UNIT : SERVICE;
}

export class History {
  readonly #series = new Map<string, Series>();
  readonly #most: number;

  constructor(most: number = MOST_SERVICES) {
    this.#most = most;
  }

  get names(): readonly string[] {
    return [...this.#series.keys()];
  }

  get(name: string): Series | undefined {
    return this.#series.get(name);
  }

  /** Of an earlier daemon; what does not fit is left out. */
  restore(name: string, series: Series): void {
    if (name === UNIT_NAME || this.#services() < this.#most) this.#series.set(name, series);
  }

  /** Samples of one interval, milliseconds since 1970. Returns the names that gave way. */
  add(fromMs: number, toMs: number, samples: ReadonlyMap<string, Sample>): string[] {
    const gone: string[] = [];
    for (const [name, sample] of samples) {
      const series = this.#series.get(name) ?? this.#make(name, samples, gone);
      series?.add(fromMs, toMs, sample);
    }
    return gone;
  }

  /** Null for what has no history. */
  read(name: string, span: HistorySpan, nowMs: number): TrafficHistory | null {
    const series = this.#series.get(name);
    if (series === undefined) return null;
    const { stepMs } = series.kind.shapes[span];
    const newest = Math.floor(nowMs / stepMs) * stepMs;
    return { of: name, span, stepMs, newest, values: series.read(span, nowMs) };
  }

  #services(): number {
    return this.#series.size - (this.#series.has(UNIT_NAME) ? 1 : 0);
  }

  #make(name: string, recorded: ReadonlyMap<string, Sample>, gone: string[]): Series | null {
    if (name !== UNIT_NAME && this.#services() >= this.#most) {
      let oldest: string | null = null;
      let seen = Infinity;
      for (const [other, series] of this.#series) {
        if (other === UNIT_NAME || recorded.has(other) || series.seen >= seen) continue;
        oldest = other;
        seen = series.seen;
      }
      if (oldest === null) return null;
      this.#series.delete(oldest);
      gone.push(oldest);
    }
    const series = new Series(kindOf(name));
    this.#series.set(name, series);
    return series;
  }
}
