/**
 * The daemon's history in columns of a chart. Pure.
 *
 * Invariant: bounds between columns stay where they are while time goes on, so that a chart moves and
 * never changes its shape.
 */
import type { TrafficHistory } from '../appliance/api/contract.js';
import type { HistoryMeasure } from '../appliance/api/history-contract.js';

/** The sum of some measures, `columns` values at most, the oldest first; null where none is known. */
export function trafficColumns(
  history: TrafficHistory,
  measures: readonly HistoryMeasure[],
  columns: number,
): (number | null)[] {
  const rows = measures.flatMap((measure) => history.values[measure] ?? []);
  const slots = Math.max(0, ...measures.map((one) => history.values[one]?.length ?? 0));
  if (rows.length === 0) return [];
  const each = Math.max(1, Math.ceil(slots / Math.max(1, columns)));
  const newest = Math.round(history.newest / history.stepMs);
  const lastColumn = Math.floor(newest / each);
  const count = Math.min(columns, Math.ceil(slots / each));
  const sums = new Map<number, { sum: number; count: number }>();
  for (let slot = 0; slot < slots; slot += 1) {
    const value = valueAt(history, measures, slot);
    if (value === null) continue;
    const column = Math.floor((newest - slots + 1 + slot) / each);
    const found = sums.get(column) ?? { sum: 0, count: 0 };
    sums.set(column, { sum: found.sum + value, count: found.count + 1 });
  }
  return Array.from({ length: count }, (_, index) => {
    const found = sums.get(lastColumn - count + 1 + index);
    return found === undefined ? null : found.sum / found.count;
  });
}

/** The last that is known of the last two slots, since the newest is hardly begun. */
export function trafficNow(
  history: TrafficHistory,
  measures: readonly HistoryMeasure[],
): number | null {
  const slots = Math.max(0, ...measures.map((one) => history.values[one]?.length ?? 0));
  return valueAt(history, measures, slots - 1) ?? valueAt(history, measures, slots - 2);
}

function valueAt(
  { values }: TrafficHistory,
  measures: readonly HistoryMeasure[],
  slot: number,
): number | null {
  const known = measures.map((one) => values[one]?.[slot] ?? null).filter((one) => one !== null);
  return known.length === 0 ? null : known.reduce((sum, one) => sum + one, 0);
}

/** `10 min`: a span in words. */
export const SPAN_WORDS = {
  '10m': 'the last 10 minutes',
  '1h': 'the last hour',
  '24h': 'the last day',
  '30d': 'the last month',
  '1y': 'the last year',
} as const;
