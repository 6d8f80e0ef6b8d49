/**
 * Values as one line of text, in blocks of eighths or in plain ASCII. Pure.
 *
 * Invariant: the newest value is at the right edge. A value that is not known leaves its column
 * blank; a value above 0 is never drawn as nothing.
 */
import type { Look } from './format.js';

export const BLOCKS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/** Rising marks that every terminal has. */
const MARKS = ['_', '.', '-', '=', '+', '*', '#', '@'];

export type Values = readonly (number | null)[];

export function sparkline(look: Pick<Look, 'unicode'>, values: Values, width: number): string {
  const signs = look.unicode ? BLOCKS : MARKS;
  const shown = lastOf(values, width);
  const top = topOf(shown);
  return shown
    .map((value) => {
      if (value === null) return ' ';
      if (value <= 0 || top === 0) return look.unicode ? '▁' : '_';
      const step = Math.ceil((value / top) * signs.length) - 1;
      return signs[Math.max(0, Math.min(signs.length - 1, step))] ?? ' ';
    })
    .join('');
}

/**
 * At most `count` columns of as many values each as are needed, their averages; the newest value is in
 * the last one.
 */
export function columnsOf(values: Values, count: number): (number | null)[] {
  const each = Math.max(1, Math.ceil(values.length / Math.max(1, count)));
  const columns: (number | null)[] = [];
  for (let end = values.length; end > 0; end -= each) {
    const known = values.slice(Math.max(0, end - each), end).filter((value) => value !== null);
    const sum = known.reduce((all, value) => all + value, 0);
    columns.unshift(known.length === 0 ? null : sum / known.length);
  }
  return columns;
}

/** Exactly `width` values; those before the first are not known. */
export function lastOf(values: Values, width: number): (number | null)[] {
  const last = width <= 0 ? [] : values.slice(-width);
  return [...Array.from({ length: Math.max(0, width - last.length) }, () => null), ...last];
}

export function topOf(values: Values): number {
  return values.reduce<number>((top, value) => Math.max(top, value ?? 0), 0);
}
