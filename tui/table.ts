/**
 * Tables that are sorted, filtered and scrolled: which rows are there, which are seen, and how they
 * look in a given width. Pure.
 *
 * Invariant: the selected row is always seen. It is remembered by its key, so that it stays selected
 * while others come, go and change places.
 */
import { fit, inStyle, plain, type Line, type Look, type Span, type Style } from './frame.js';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly style?: (row: Row) => Style;
  readonly align?: 'right';
  /** Default: what `value` says. */
  readonly order?: (row: Row) => number | string;
  /** May be cut to so many cells when the width does not suffice. */
  readonly shrinkTo?: number;
  /** Goes when the width does not suffice, the highest first. */
  readonly goes?: number;
  /** At least so many cells, for columns whose content changes all the time. */
  readonly width?: number;
}

export interface TableState {
  /** Index of the column that sorts; -1: as the daemon lists them. */
  readonly sort: number;
  readonly descending: boolean;
  readonly filter: string;
  /** Key of the selected row; null: the first. */
  readonly selected: string | null;
  /** Index of the first row that is seen. */
  readonly top: number;
}

export const FRESH_TABLE: TableState = {
  sort: -1,
  descending: false,
  filter: '',
  selected: null,
  top: 0,
};

/** Filtered by every word, and sorted; equal rows keep the daemon's order. */
export function arranged<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  state: TableState,
): Row[] {
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter((row) => {
    if (words.length === 0) return true;
    const text = columns
      .map(({ value }) => value(row))
      .join(' ')
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const column = columns[state.sort];
  if (column === undefined) return found;
  const order = column.order ?? column.value;
  const sign = state.descending ? -1 : 1;
  return found.sort((a, b) => sign * compare(order(a), order(b)));
}

function compare(a: number | string, b: number | string): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

export function selectedIndex<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  state: TableState,
): number {
  const index = rows.findIndex((row) => keyOf(row) === state.selected);
  return index === -1 ? 0 : index;
}

/** First row to show so that the selected one is among the `height` that are seen. */
export function scrolled(top: number, selected: number, count: number, height: number): number {
  const highest = Math.max(0, count - height);
  const from = Math.min(Math.max(0, top), highest);
  if (selected < from) return selected;
  return selected >= from + height ? selected - height + 1 : from;
}

export interface TableView<Row> {
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  readonly state: TableState;
  /** Index of the selected row; null: none is, as on the overview. */
  readonly selected: number | null;
  readonly width: number;
  /** Lines, the one with the titles among them. */
  readonly height: number;
}

export function tableLines<Row>(look: Pick<Look, 'unicode'>, view: TableView<Row>): Line[] {
  const { rows, state, width, height, selected } = view;
  const seen = Math.max(0, height - 1);
  const from = scrolled(state.top, selected ?? 0, rows.length, seen);
  const part = rows.slice(from, from + seen);
  const { columns, widths } = layout(look, view.columns, part, view, width);
  const title: Line = columns.map((column, index): Span => {
    const mark = view.columns.indexOf(column) === state.sort ? sortMark(look, state) : '';
    const text = padded(`${column.title}${mark}`, widths[index] ?? 0, column.align);
    return { text: index === 0 ? text : ` ${text}`, style: 'bold' };
  });
  const body = part.map((row, index): Line => {
    const line = columns.map((column, at): Span => {
      const cell = padded(plain(look, column.value(row)), widths[at] ?? 0, column.align);
      const [cut] = fit(look, [{ text: cell, style: 'plain' }], widths[at] ?? 0);
      const mark = cell.length > (widths[at] ?? 0) ? (look.unicode ? '…' : '~') : '';
      const text = `${cut?.text ?? ''}${mark}`;
      return { text: at === 0 ? text : ` ${text}`, style: column.style?.(row) ?? 'plain' };
    });
    const full = fit(look, line, width);
    return from + index === selected ? inStyle(full, 'selected') : full;
  });
  return [fit(look, title, width), ...body];
}

function sortMark(look: Pick<Look, 'unicode'>, state: TableState): string {
  if (look.unicode) return state.descending ? '▼' : '▲';
  return state.descending ? 'v' : '^';
}

function padded(text: string, width: number, align: 'right' | undefined): string {
  return align === 'right' ? text.padStart(width) : text.padEnd(width);
}

/** Columns that stay, and their widths: shrink first, then let go. */
function layout<Row>(
  look: Pick<Look, 'unicode'>,
  all: readonly Column<Row>[],
  rows: readonly Row[],
  { state, columns: numbered }: TableView<Row>,
  width: number,
): { columns: readonly Column<Row>[]; widths: number[] } {
  let columns = all;
  for (;;) {
    const wanted = columns.map((column) =>
      Math.max(
        column.title.length + (numbered.indexOf(column) === state.sort ? 1 : 0),
        column.width ?? 0,
        ...rows.map((row) => plain(look, column.value(row)).length),
      ),
    );
    const widths = shrunk(columns, wanted, width);
    const goes = columns.reduce<Column<Row> | null>(
      (most, one) => (one.goes !== undefined && one.goes > (most?.goes ?? -1) ? one : most),
      null,
    );
    if (total(widths) <= width || goes === null) return { columns, widths };
    columns = columns.filter((one) => one !== goes);
  }
}

function shrunk<Row>(columns: readonly Column<Row>[], wanted: number[], width: number): number[] {
  const widths = [...wanted];
  let excess = total(widths) - width;
  while (excess > 0) {
    // The widest of those that may shrink gives one cell.
    let widest = -1;
    for (const [index, { shrinkTo }] of columns.entries()) {
      const now = widths[index] ?? 0;
      if (shrinkTo !== undefined && now > shrinkTo && now > (widths[widest] ?? 0)) widest = index;
    }
    if (widest === -1) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  return widths;
}

function total(widths: readonly number[]): number {
  return widths.reduce((sum, one) => sum + one, 0) + Math.max(0, widths.length - 1);
}
