/**
 * Rates of the last minutes, one value a second, in fixed space.
 *
 * Invariant: a second without a sample is `null`, so that a gap (the daemon was away) is seen as one;
 * what was not seen for the whole span is forgotten.
 */
import type { ProxyTraffic, Rates } from '../appliance/api/contract.js';

export const SPAN_SECONDS = 300;

/** What can be drawn of a service, a pool or a member. */
export interface Sample {
  /** Flows, and connections to the proxy. */
  readonly connections: number;
  readonly requests: number;
  readonly bits: number;
  readonly errors: number;
}

const STEPS = [1, 2, 5, 10, 15, 20, 30] as const;

/** Seconds that one of `columns` stands for, so that as much as is kept is shown. */
export function secondsOfColumn(columns: number): number {
  return STEPS.findLast((seconds) => seconds * columns <= SPAN_SECONDS) ?? 1;
}

export type Measure = keyof Sample;

const NOTHING: Sample = { connections: 0, requests: 0, bits: 0, errors: 0 };

export function sampleOf(row: {
  readonly rates: Rates;
  readonly proxy: ProxyTraffic | null;
}): Sample {
  const { rates, proxy } = row;
  return {
    connections: rates.flowsPerSecond + (proxy?.rates.connectionsPerSecond ?? 0),
    requests: proxy?.rates.requestsPerSecond ?? 0,
    bits: rates.bitsPerSecond + (proxy?.rates.bitsPerSecond ?? 0),
    errors: proxy?.rates.errorsPerSecond ?? 0,
  };
}

export function sum(samples: readonly Sample[]): Sample {
  return samples.reduce(
    (all, one) => ({
      connections: all.connections + one.connections,
      requests: all.requests + one.requests,
      bits: all.bits + one.bits,
      errors: all.errors + one.errors,
    }),
    NOTHING,
  );
}

interface Track {
  readonly samples: (Sample | null)[];
  /** Second of the newest sample. */
  second: number;
}

export class History {
  readonly #tracks = new Map<string, Track>();

  /** `time` in milliseconds; of several within a second the last one counts. */
  add(name: string, time: number, sample: Sample): void {
    const second = Math.floor(time / 1000);
    let track = this.#tracks.get(name);
    if (track === undefined || second < track.second || second - track.second > SPAN_SECONDS) {
      track = { samples: [], second: second - 1 };
      this.#tracks.set(name, track);
    }
    if (second === track.second) track.samples.pop();
    // A beat that comes late by a moment skips a second without being a gap.
    else if (second === track.second + 2) track.samples.push(sample);
    else for (let gap = track.second + 1; gap < second; gap += 1) track.samples.push(null);
    track.samples.push(sample);
    track.samples.splice(0, track.samples.length - SPAN_SECONDS);
    track.second = second;
  }

  /**
   * One value for each `seconds`, their average, `count` at most, the oldest first. Bounds between
   * them stay where they are while time goes on, so that a chart moves and never changes its shape.
   */
  averages(name: string, measure: Measure, seconds: number, count: number): (number | null)[] {
    const track = this.#tracks.get(name);
    if (track === undefined) return [];
    const first = track.second - track.samples.length + 1;
    const sums = new Map<number, { sum: number; count: number }>();
    for (const [index, sample] of track.samples.entries()) {
      if (sample === null) continue;
      const part = Math.floor((first + index) / seconds);
      const found = sums.get(part) ?? { sum: 0, count: 0 };
      sums.set(part, { sum: found.sum + sample[measure], count: found.count + 1 });
    }
    const last = Math.floor(track.second / seconds);
    return Array.from({ length: count }, (_, index) => {
      const found = sums.get(last - count + 1 + index);
      return found === undefined ? null : found.sum / found.count;
    });
  }

  /** The newest; null when there is none. */
  newest(name: string, measure: Measure): number | null {
    return this.#tracks.get(name)?.samples.at(-1)?.[measure] ?? null;
  }

  /** The oldest first; empty for a name that was never seen. */
  values(name: string, measure: Measure): (number | null)[] {
    return (this.#tracks.get(name)?.samples ?? []).map((one) => one?.[measure] ?? null);
  }

  /** Forgets what has no sample of the last span. */
  forget(now: number): void {
    const oldest = Math.floor(now / 1000) - SPAN_SECONDS;
    for (const [name, { second }] of this.#tracks) {
      if (second < oldest) this.#tracks.delete(name);
    }
  }
}
