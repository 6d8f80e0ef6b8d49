/**
 * Charts of the last values, as text of several lines, in blocks of eighths or in plain ASCII. Pure.
 *
 * Invariant: the newest value is at the right edge. A value that is not known leaves its column
 * blank; a value above 0 is never drawn as nothing.
 */
import { BLOCKS, lastOf, topOf, type Values } from '../appliance/cli/sparkline.js';
import type { Line, Look, Style } from './frame.js';

export interface ChartOptions {
  readonly title: string;
  readonly width: number;
  /** Lines of the plot; one more above it has title, newest and highest value. */
  readonly height: number;
  readonly style: Style;
  /** Stands beside the title; null when it is not known. */
  readonly now: number | null;
  /** With its unit. */
  readonly format: (value: number) => string;
}

/** An area under the values. Its scale ends at the highest value that is shown. */
export function chart(look: Pick<Look, 'unicode'>, values: Values, options: ChartOptions): Line[] {
  const { title, width, height, style, now, format } = options;
  const shown = lastOf(values, width);
  const top = topOf(shown);
  const left = `${title} ${now === null ? '-' : format(now)}`;
  // A column is the average of its time, and may be less than what is now.
  const most = shown.every((value) => value === null) ? now : Math.max(top, now ?? 0);
  const right = `max ${most === null ? '-' : format(most)}`;
  const gap = width - left.length - right.length;
  const head: Line = [
    { text: title, style: 'bold' },
    { text: left.slice(title.length), style: 'plain' },
    ...(gap < 1 ? [] : [{ text: `${' '.repeat(gap)}${right}`, style: 'dim' } as const]),
  ];
  const rows = Array.from({ length: height }, (_, row): Line => {
    const below = height - 1 - row;
    const text = shown.map((value) => cell(look, value, top, height, below)).join('');
    return [{ text, style }];
  });
  return [head, ...rows];
}

/** What a column has in one line of the plot; `below` lines are under it. */
function cell(
  look: Pick<Look, 'unicode'>,
  value: number | null,
  top: number,
  height: number,
  below: number,
): string {
  if (value === null) return ' ';
  const base = look.unicode ? '▁' : '_';
  if (value <= 0 || top === 0) return below === 0 ? base : ' ';
  const eighths = Math.max(1, Math.round((value / top) * height * 8)) - below * 8;
  if (eighths <= 0) return ' ';
  if (look.unicode) return BLOCKS[Math.min(8, eighths) - 1] ?? ' ';
  return eighths >= 5 ? '#' : eighths >= 2 ? ':' : '.';
}
