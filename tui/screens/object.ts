/**
 * The form of one object: a row a key, and below what the selected key means and what is wrong with it.
 */
import type { ConfigError } from '../../appliance/api/contract.js';
import { formatPath, parsePath, type Path } from '../../appliance/config/errors.js';
import { draftOf, schemaOf } from '../config/edits.js';
import { formRows, valueText, type FormRow } from '../config/form.js';
import {
  expected,
  schemaAt,
  valueAt,
  variantOf,
  variantsOf,
  type JsonMap,
  type Node,
} from '../config/schema.js';
import { yamlOf } from '../config/text.js';
import { same } from '../config/draft.js';
import { beside, fit, heading, inStyle, span, wrap, type Line, type Style } from '../frame.js';
import { tableState, type Model } from '../model.js';
import { answerOf } from '../topics.js';
import { scrolled } from '../table.js';
import { candidateLine } from './config.js';
import { waiting } from './overview.js';
import type { Listing } from './sheet.js';

export function pathOfPlace({ place }: Pick<Model, 'place'>): Path {
  return parsePath(place.name) ?? [];
}

/** Of the last form asked for: a frame asks several times for the same one, and it may be long. */
let last: {
  readonly root: Node;
  readonly document: JsonMap;
  readonly name: string;
  readonly rows: readonly FormRow[];
} | null = null;

export function rowsOf(model: Model): readonly FormRow[] {
  const draft = draftOf(model);
  const root = schemaOf(model);
  if (draft === null || root === null) return [];
  const { document } = draft;
  const { name } = model.place;
  if (last?.root !== root || last.document !== document || last.name !== name) {
    last = { root, document, name, rows: formRows(root, document, pathOfPlace(model)) };
  }
  return last.rows;
}

export function selectedRow(model: Model, rows: readonly FormRow[]): number {
  const { selected } = tableState(model);
  const index = rows.findIndex(({ key }) => key === selected);
  return Math.max(0, index);
}

export function objectListing(model: Model): Listing {
  const rows = rowsOf(model);
  return {
    keys: rows.map(({ key }) => key),
    selected: selectedRow(model, rows),
    columns: 0,
    places: [],
  };
}

/** Lines above the first row, and below the last one. */
export const FORM_ABOVE = 2;
const FORM_BELOW = 6;

/** Rows that are seen. */
export function formRoom(height: number): number {
  return Math.max(1, height - FORM_ABOVE - FORM_BELOW);
}

/** From this width on the object's text stands beside its form. */
const WIDE = 120;
/** Longer ones are not written anew with each frame. */
const MOST_ROWS = 500;
const TEXT_SHARE = 0.4;

export function objectScreen(model: Model, width: number, height: number): Line[] {
  const draft = draftOf(model);
  const root = schemaOf(model);
  const narrow = width < WIDE || rowsOf(model).length > MOST_ROWS;
  if (narrow || draft === null || root === null) return formScreen(model, width, height);
  const right = Math.floor(width * TEXT_SHARE);
  const left = width - right - 1;
  const path = pathOfPlace(model);
  const text = yamlOf(valueAt(draft.document, path), schemaAt(root, draft.document, path));
  const lines = text.split('\n').map((line): Line => [span(model.look, line, 'dim')]);
  return beside(model.look, [
    { lines: formScreen(model, left, height), width: left },
    { lines: [[], heading(model.look, 'As YAML', right), ...lines].slice(0, height), width: right },
  ]);
}

function formScreen(model: Model, width: number, height: number): Line[] {
  const { look, place } = model;
  const draft = draftOf(model);
  if (draft === null || schemaOf(model) === null) {
    const { problem } = answerOf(model, 'config');
    return problem === null ? waiting(model) : [[span(look, problem, 'bad')]];
  }
  const rows = rowsOf(model);
  const errors = draft.check?.errors ?? [];
  const head = [candidateLine(model), heading(look, place.name || 'document', width)];
  if (rows.length === 0) {
    return [...head, [span(look, 'There is no such part any more: Esc goes back.')]];
  }
  const at = selectedRow(model, rows);
  const room = formRoom(height);
  const from = scrolled(tableState(model).top, at, rows.length, room);
  const label = Math.min(
    Math.floor(width / 2),
    rows.reduce((most, row) => Math.max(most, row.depth * 2 + row.label.length), 0) + 3,
  );
  const lines = rows.slice(from, from + room).map((row, index): Line => {
    const wrong = errorsOf(row, rows, errors).length > 0;
    const changed = row.kind !== 'add' && !same(row.value, valueAt(draft.original, row.path));
    const mark = wrong ? (look.unicode ? '✖' : 'x') : changed ? '~' : ' ';
    const name = `${'  '.repeat(row.depth)}${row.label}${row.required ? '*' : ''}`;
    const line = fit(
      look,
      [
        span(look, `${mark} `, wrong ? 'bad' : 'warning'),
        ...fit(look, [span(look, name, row.kind === 'part' ? 'bold' : 'plain')], label),
        span(look, valueText(row), styleOf(row, wrong)),
      ],
      width,
    );
    return from + index === at ? inStyle(line, 'selected') : line;
  });
  const filled = [...lines, ...Array.from({ length: room - lines.length }, (): Line => [])];
  const more = rows.length > room ? `${at + 1} of ${rows.length}` : '';
  return [...head, ...filled, ...helpLines(model, rows, at, errors, width, more)];
}

function styleOf(row: FormRow, wrong: boolean): Style {
  if (wrong) return 'bad';
  if (row.kind === 'add') return 'accent';
  return row.value === undefined ? 'dim' : 'plain';
}

/** Those at the row itself or, when what lies below is not shown, below it. */
function errorsOf(
  row: FormRow,
  rows: readonly FormRow[],
  errors: readonly ConfigError[],
): ConfigError[] {
  if (row.kind === 'add') return [];
  const key = row.key;
  return errors.filter(({ path }) => {
    if (path === key) return true;
    const below = path.startsWith(key) && /^[.[]/.test(path.slice(key.length));
    return (
      below &&
      !rows.some(
        (other) => other !== row && other.key.length > key.length && holds(other.key, path),
      )
    );
  });
}

function holds(key: string, path: string): boolean {
  return path === key || (path.startsWith(key) && /^[.[]/.test(path.slice(key.length)));
}

function helpLines(
  model: Model,
  rows: readonly FormRow[],
  at: number,
  errors: readonly ConfigError[],
  width: number,
  more: string,
): Line[] {
  const { look } = model;
  const row = rows[at];
  const own = row === undefined ? [] : errorsOf(row, rows, errors);
  const whole = errors.filter(
    ({ path }) => path === formatPath(pathOfPlace(model)) && path !== row?.key,
  );
  const wrong = [...own, ...whole].map(({ message, path }) =>
    row !== undefined && path === row.key ? message : `${path}: ${message}`,
  );
  const means = row === undefined ? '' : meaningOf(row);
  const texts = [
    ...wrong.flatMap((text) =>
      wrap(text, width - 2).map((line): Line => [span(look, line, 'bad')]),
    ),
    ...wrap(means, width - 2).map((line): Line => [span(look, line)]),
  ];
  const keys = row === undefined ? '' : keysOf(row, rows);
  const shown = texts.slice(0, FORM_BELOW - 2);
  return [
    heading(look, row?.label || 'add', width, more),
    ...shown,
    ...Array.from({ length: FORM_BELOW - 2 - shown.length }, (): Line => []),
    [span(look, keys, 'dim')],
  ];
}

function meaningOf(row: FormRow): string {
  if (row.kind === 'add') return row.node.description ?? 'Adds one here.';
  const variant = variantOf(row.node, row.value);
  const own = variant.description !== row.node.description ? (variant.description ?? '') : '';
  const parts = [row.required ? 'Required.' : '', row.node.description ?? '', own];
  const may = row.kind === 'text' || row.kind === 'choice' ? expected(row.node) : '';
  return [...parts, may === '' ? '' : `Write ${may}.`].filter(Boolean).join(' ');
}

function keysOf(row: FormRow, rows: readonly FormRow[]): string {
  const adds = rows.some((other) => other.kind === 'add' && other.key === `${row.key}+`);
  const item = typeof row.path.at(-1) === 'number' && row.kind !== 'add';
  const enter =
    row.kind === 'add'
      ? 'Enter adds'
      : row.kind === 'opens'
        ? 'Enter opens'
        : row.kind === 'part'
          ? row.value === undefined
            ? 'Enter sets'
            : adds
              ? 'a adds'
              : ''
          : 'Enter edits';
  return [
    enter,
    row.value === undefined ? '' : item ? 'x removes' : 'x leaves out',
    item ? '[ ] move  c copies' : '',
    row.kind !== 'add' && variantsOf(row.node).length > 1 ? 't another form' : '',
    'y as YAML',
  ]
    .filter(Boolean)
    .join('  ');
}
