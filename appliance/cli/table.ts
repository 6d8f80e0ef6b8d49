/**
 * Tables that fit the terminal: columns shrink first, then the least important ones
 * go, and a line below says which.
 *
 * Invariant: without a terminal (`width` null) no text is cut, and which columns there
 * are does not depend on what is in them, so that `weir … | awk` can rely on it.
 */
import { clean, type Colour, type Look, paint } from './format.js';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'left' | 'right';
  /** May be cut down to so many characters. Without it the column keeps its width. */
  readonly shrinkTo?: number;
  /** The higher, the sooner it goes when the terminal is narrow; 0 (default) never does. */
  readonly dispensable?: number;
  /** Left out without a terminal, unless all columns are asked for (`--wide`). */
  readonly wideOnly?: boolean;
  readonly colour?: (row: Row) => Colour | null;
}

const GAP = '  ';

/** Where a table goes: columns of the terminal, and whether all is wanted anyway. */
export interface Room {
  readonly width: number | null;
  readonly wide?: boolean;
}

/** Lines with their ends. `empty` is the sentence for no rows. */
export function table<Row>(
  rows: readonly Row[],
  allColumns: readonly Column<Row>[],
  look: Look,
  room: Room,
  empty: string,
): string {
  if (rows.length === 0) return `${empty}\n`;
  const width = room.wide === true ? null : room.width;
  const columns =
    width === null && room.wide !== true
      ? allColumns.filter(({ wideOnly }) => wideOnly !== true)
      : allColumns;
  const cells = rows.map((row) => columns.map((column) => clean(column.value(row))));
  const natural = columns.map((column, index) =>
    cells.reduce((most, line) => Math.max(most, length(line[index] ?? '')), length(column.title)),
  );
  const { shown, widths } = fit(columns, natural, width);

  const lines: string[] = [];
  const header = shown.map((index) =>
    align(columns[index], columns[index]?.title ?? '', widths, index),
  );
  lines.push(paint(look, 'bold', header.join(GAP).trimEnd()));
  for (const [number, row] of rows.entries()) {
    const line = shown.map((index, position) => {
      const text = cut(cells[number]?.[index] ?? '', widths[index] ?? 0, look);
      const last = position === shown.length - 1;
      const placed =
        last && columns[index]?.align !== 'right'
          ? text
          : align(columns[index], text, widths, index);
      const colour = columns[index]?.colour?.(row) ?? null;
      return colour === null ? placed : paint(look, colour, placed);
    });
    lines.push(line.join(GAP).trimEnd());
  }
  const hidden = columns.filter((_, index) => !shown.includes(index)).map(({ title }) => title);
  if (hidden.length > 0) {
    const more = room.wide === undefined ? '' : '; --wide shows all';
    lines.push(paint(look, 'dim', `(not shown at this width: ${hidden.join(', ')}${more})`));
  }
  return `${lines.join('\n')}\n`;
}

interface Fit {
  /** Indices of the columns that stay. */
  readonly shown: readonly number[];
  readonly widths: readonly number[];
}

/** Drops columns until the rest fits when shrunk, then gives what is left over back. */
function fit<Row>(
  columns: readonly Column<Row>[],
  natural: readonly number[],
  width: number | null,
): Fit {
  let shown = columns.map((_, index) => index);
  if (width === null) return { shown, widths: natural };
  const least = columns.map((column, index) =>
    Math.min(natural[index] ?? 0, Math.max(column.shrinkTo ?? Infinity, length(column.title))),
  );
  const needed = (): number =>
    shown.reduce((sum, index) => sum + (least[index] ?? 0), 0) + GAP.length * (shown.length - 1);
  while (needed() > width) {
    const gone = shown
      .filter((index) => (columns[index]?.dispensable ?? 0) > 0)
      .sort((a, b) => (columns[b]?.dispensable ?? 0) - (columns[a]?.dispensable ?? 0))[0];
    if (gone === undefined) break;
    shown = shown.filter((index) => index !== gone);
  }
  const widths = [...least];
  let spare = width - needed();
  for (const index of shown) {
    const more = Math.max(0, Math.min(spare, (natural[index] ?? 0) - (least[index] ?? 0)));
    widths[index] = (widths[index] ?? 0) + more;
    spare -= more;
  }
  return { shown, widths };
}

function align<Row>(
  column: Column<Row> | undefined,
  text: string,
  widths: readonly number[],
  index: number,
): string {
  const missing = ' '.repeat(Math.max(0, (widths[index] ?? 0) - length(text)));
  return column?.align === 'right' ? missing + text : text + missing;
}

function cut(text: string, width: number, look: Look): string {
  if (length(text) <= width) return text;
  const mark = look.unicode ? '…' : '~';
  return [...text].slice(0, Math.max(0, width - 1)).join('') + mark;
}

/** In code points: names and addresses hold no wide or combining characters. */
function length(text: string): number {
  return [...text].length;
}
