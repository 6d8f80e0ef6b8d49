/** Screens that are one table, with lines above it: made from rows and columns in one place. */
import { span, type Line } from '../frame.js';
import { tableState, type Model, type Place } from '../model.js';
import { arranged, selectedIndex, tableLines, type Column } from '../table.js';
import { waiting } from './overview.js';

/** A table of the screen, without its rows' type. */
export interface Listing {
  /** As they are seen: filtered and sorted. */
  readonly keys: readonly string[];
  readonly selected: number;
  readonly columns: number;
  /** Where Enter on a row leads; none where it leads nowhere. */
  readonly places: readonly Place[];
}

export interface Sheet {
  readonly listing: Listing;
  lines(width: number, height: number): Line[];
  /** Lines above the first row. */
  readonly above: number;
}

export interface SheetOf<Row> {
  /** Null: not known. */
  readonly rows: readonly Row[] | null;
  readonly problem: string | null;
  readonly columns: readonly Column<Row>[];
  readonly keyOf: (row: Row) => string;
  readonly placeOf?: (row: Row) => Place;
  readonly head?: readonly Line[];
  /** What to do when there is none. */
  readonly empty: readonly string[];
}

export function sheet<Row>(model: Model, of: SheetOf<Row>): Sheet {
  const { look } = model;
  const { head = [], columns, keyOf, placeOf, problem } = of;
  const state = tableState(model);
  const all = of.rows ?? [];
  const rows = arranged(all, columns, state);
  const selected = selectedIndex(rows, keyOf, state);
  const note =
    state.filter === ''
      ? `${all.length} in all`
      : `${rows.length} of ${all.length} match '${state.filter}'; Esc shows all`;
  return {
    listing: {
      keys: rows.map(keyOf),
      selected,
      columns: columns.length,
      places: placeOf === undefined ? [] : rows.map(placeOf),
    },
    above: head.length + 2,
    lines: (width, height) => {
      if (of.rows === null) {
        return problem === null
          ? [...head, ...waiting(model)]
          : [...head, [span(look, problem, 'bad')]];
      }
      if (all.length === 0) return [...head, ...of.empty.map((text) => [span(look, text)])];
      const room = height - head.length - 1;
      return [
        ...head,
        [span(look, note, 'dim')],
        ...tableLines(look, { rows, columns, state, selected, width, height: room }),
      ];
    },
  };
}
