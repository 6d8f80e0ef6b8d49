/**
 * What history is kept of, and how finely: the unit by second to day, each service more coarsely, so
 * that a thousand of them take some 40 MB.
 */
import {
  HISTORY_SPANS,
  type HistoryMeasure,
  type HistorySpan,
} from '../../api/history-contract.js';
import { Archive, type ArchiveState, type Shape } from './archive.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export interface SeriesKind {
  readonly measures: readonly HistoryMeasure[];
  readonly shapes: Readonly<Record<HistorySpan, Shape>>;
}

export const UNIT: SeriesKind = {
  measures: [
    ...(['connections', 'requests', 'bitsIn', 'bitsOut', 'errors', 'drops'] as const),
    ...(['active', 'membersUp', 'cpu', 'memory'] as const),
  ],
  shapes: {
    '10m': { stepMs: SECOND, slots: 600 },
    '1h': { stepMs: 10 * SECOND, slots: 360 },
    '24h': { stepMs: MINUTE, slots: 1440 },
    '30d': { stepMs: 15 * MINUTE, slots: 2880 },
    '1y': { stepMs: DAY, slots: 366 },
  },
};

export const SERVICE: SeriesKind = {
  measures: [
    'connections',
    'requests',
    'bitsIn',
    'bitsOut',
    'errors',
    'drops',
    'active',
    'membersUp',
  ],
  shapes: {
    '10m': { stepMs: 5 * SECOND, slots: 120 },
    '1h': { stepMs: 30 * SECOND, slots: 120 },
    '24h': { stepMs: 5 * MINUTE, slots: 288 },
    '30d': { stepMs: 2 * HOUR, slots: 360 },
    '1y': { stepMs: DAY, slots: 366 },
  },
};

/** Values of one moment by measure; what is left out is not known. */
export type Sample = Readonly<Partial<Record<HistoryMeasure, number>>>;

export class Series {
  readonly kind: SeriesKind;
  readonly #archives: Record<HistorySpan, Archive>;
  readonly #row: Float64Array;
  /** When it was recorded last, milliseconds since 1970. */
  seen = 0;

  constructor(kind: SeriesKind, kept?: ReadonlyMap<HistorySpan, Archive>) {
    this.kind = kind;
    this.#row = new Float64Array(kind.measures.length);
    const archives: Partial<Record<HistorySpan, Archive>> = {};
    for (const span of HISTORY_SPANS) {
      archives[span] = kept?.get(span) ?? new Archive(kind.shapes[span], kind.measures.length);
    }
    this.#archives = archives as Record<HistorySpan, Archive>;
  }

  add(fromMs: number, toMs: number, sample: Sample): void {
    this.kind.measures.forEach((measure, index) => {
      const value = sample[measure];
      this.#row[index] = value === undefined || !(value >= 0) ? NaN : value;
    });
    for (const span of HISTORY_SPANS) this.#archives[span].add(fromMs, toMs, this.#row);
    this.seen = toMs;
  }

  read(span: HistorySpan, nowMs: number): Partial<Record<HistoryMeasure, (number | null)[]>> {
    const archive = this.#archives[span];
    return Object.fromEntries(
      this.kind.measures.map((measure, index) => [measure, archive.read(nowMs, index)]),
    );
  }

  state(span: HistorySpan): ArchiveState {
    return this.#archives[span].state;
  }
}
