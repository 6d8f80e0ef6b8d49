/** The keys of the configuration's screens: list, form, diff, history. */
import type { Path } from '../appliance/config/errors.js';
import { withInserted, withMoved, withValue } from './config/draft.js';
import { draftOf, overtaken, rebase, schemaOf, undo, withDocument } from './config/edits.js';
import type { FormRow } from './config/form.js';
import {
  addTo,
  askChoice,
  askCommit,
  askCopy,
  askNew,
  askRemove,
  askRename,
  askRollback,
  askValue,
  askVariant,
  objectPlace,
} from './config/questions.js';
import {
  asVariant,
  isList,
  isMap,
  schemaAt,
  skeleton,
  valueAt,
  variantsOf,
} from './config/schema.js';
import { yamlOf } from './config/text.js';
import { openEditor } from './editor.js';
import { formatPath } from '../appliance/config/errors.js';
import type { Key } from './keys.js';
import { entered, tableState, type Model, type Overlay, type Place } from './model.js';
import { objectRows } from './screens/config.js';
import { pathOfPlace, rowsOf, selectedRow } from './screens/object.js';
import { selectedKey } from './screens/tables.js';
import type { Step } from './step.js';

const SCREENS: ReadonlySet<Place['screen']> = new Set<Place['screen']>([
  ...(['config', 'object', 'changes', 'revisions', 'revision'] as const),
]);

/** Null: a key that means here what it means everywhere. */
export function configKey(model: Model, key: Key): Step | null {
  if (!SCREENS.has(model.place.screen) || key.ctrl) return null;
  switch (key.character) {
    case 'C':
      return open(model, askCommit(model) ?? untouched);
    case 'D':
      return to(model, { screen: 'changes', name: '', pool: '' });
    case 'H':
      return to(model, { screen: 'revisions', name: '', pool: '' });
    case 'U':
      return undo(model);
    case 'X':
      return model.draft === null
        ? open(model, untouched)
        : open(model, {
            kind: 'confirm',
            question: 'Drop the candidate, with all that was changed here?',
            effects: [],
            then: { type: 'drop' },
          });
    case 'R':
      return overtaken(model) === null ? null : rebase(model);
    case 'Y':
      return edit(model, []);
    default:
  }
  switch (model.place.screen) {
    case 'config':
      return listKey(model, key);
    case 'object':
      return formKey(model, key);
    case 'revisions':
    case 'revision':
      return key.character === 'b' ? back(model) : null;
    default:
      return null;
  }
}

const untouched: Overlay = {
  kind: 'message',
  title: 'Nothing to do',
  text: 'Nothing is changed here: the candidate is the current revision.',
};

function open(model: Model, overlay: Overlay | null): Step {
  return { model: overlay === null ? model : { ...model, overlay }, effects: [] };
}

function to(model: Model, place: Place): Step {
  if (model.place.screen === place.screen && model.place.name === place.name) {
    return { model, effects: [] };
  }
  return { model: entered(model, place), effects: [{ type: 'refresh' }] };
}

function back(model: Model): Step {
  const name = model.place.screen === 'revision' ? model.place.name : selectedKey(model);
  return name === null ? { model, effects: [] } : open(model, askRollback(Number(name)));
}

/** A part as text, or the whole document. */
function edit(model: Model, path: Path): Step {
  const draft = draftOf(model);
  const root = schemaOf(model);
  if (draft === null || root === null) return { model, effects: [] };
  const value = valueAt(draft.document, path);
  const text = yamlOf(value, schemaAt(root, draft.document, path));
  const editor = openEditor({ type: 'yaml', path }, text);
  return to({ ...model, editor }, { screen: 'editor', name: formatPath(path), pool: '' });
}

function listKey(model: Model, key: Key): Step | null {
  if (key.character === 'n') return open(model, askNew());
  const selected = selectedKey(model);
  const row = objectRows(model).find(({ path }) => formatPath(path) === selected);
  const draft = draftOf(model);
  if (row === undefined || draft === null) return null;
  const named = typeof row.path[1] === 'string' && row.path.length === 2;
  if (key.name === 'delete' || key.character === 'x') {
    return row.value === undefined || row.kind === 'unit'
      ? { model, effects: [] }
      : open(model, askRemove(draft, row.path));
  }
  switch (key.character) {
    case 'c':
      return named ? open(model, askCopy(row.path)) : { model, effects: [] };
    case 'm':
      return named ? open(model, askRename(draft.document, row.path)) : { model, effects: [] };
    case 'y':
      return edit(model, row.path);
    default:
      return isEnter(key) && row.value === undefined ? beginning(model, row.path) : null;
  }
}

function isEnter({ name, character }: Key): boolean {
  return name === 'return' || name === 'enter' || name === 'right' || character === 'l';
}

/** A part that is not there yet is made, and its form opened. */
function beginning(model: Model, path: Path): Step {
  const draft = draftOf(model);
  const root = schemaOf(model);
  const node = draft === null || root === null ? null : schemaAt(root, draft.document, path);
  const begin = node === null ? undefined : skeleton(node);
  if (draft === null || begin === undefined) return { model, effects: [] };
  const done = withDocument(model, withValue(draft.document, path, begin));
  const there = to(done.model, objectPlace(path));
  return { model: there.model, effects: [...done.effects, ...there.effects] };
}

function formKey(model: Model, key: Key): Step | null {
  const draft = draftOf(model);
  const rows = rowsOf(model);
  const row = rows[selectedRow(model, rows)];
  if (draft === null || row === undefined) return null;
  const { document } = draft;
  const { path } = row;
  if (isEnter(key) || key.character === ' ') return enter(model, row);
  if (key.name === 'delete' || key.character === 'x') {
    if (row.kind === 'add' || row.value === undefined) return { model, effects: [] };
    const large = isMap(row.value) || (isList(row.value) && row.value.length > 1);
    return large
      ? open(model, askRemove(draft, path))
      : withDocument(model, withValue(document, path, undefined));
  }
  const index = path.at(-1);
  const list = path.slice(0, -1);
  const item = typeof index === 'number' && row.kind !== 'add';
  switch (key.character) {
    case 'y':
      return edit(model, pathOfPlace(model));
    case 't':
      return row.kind === 'add' ? { model, effects: [] } : open(model, askVariant(document, row));
    case 'a':
      return addNear(model, rows, row);
    case 'c': {
      const copied = item ? row.value : undefined;
      if (!item || copied === undefined) return { model, effects: [] };
      return withDocument(model, withInserted(document, list, index + 1, copied));
    }
    case '[':
    case ']': {
      if (!item) return { model, effects: [] };
      const by = key.character === '[' ? -1 : 1;
      const moved = withMoved(document, list, index, by);
      if (moved === document) return { model, effects: [] };
      const done = withDocument(model, moved);
      return { ...done, model: selecting(done.model, formatPath([...list, index + by])) };
    }
    default:
      return null;
  }
}

/** So that the moved item stays the selected one. */
function selecting(model: Model, selected: string): Model {
  const { screen, pool, name } = model.place;
  const table = `${screen} ${pool} ${name}`;
  return { ...model, tables: { ...model.tables, [table]: { ...tableState(model), selected } } };
}

function enter(model: Model, row: FormRow): Step {
  const draft = draftOf(model);
  if (draft === null) return { model, effects: [] };
  const { document } = draft;
  const { path, value, kind } = row;
  switch (kind) {
    case 'add':
      return addTo(model, document, row);
    case 'opens':
      return value === undefined ? beginning(model, path) : to(model, objectPlace(path));
    case 'part': {
      if (value !== undefined) return addNear(model, [row], row);
      const variants = variantsOf(row.node);
      if (variants.length > 1) return open(model, askVariant(document, row));
      const begin = skeleton(row.node);
      return begin === undefined
        ? { model, effects: [] }
        : withDocument(model, withValue(document, path, begin));
    }
    case 'choice':
      return open(
        model,
        askChoice(document, row, (one) => {
          const parent = valueAt(document, path.slice(0, -1));
          if (row.discriminates === null) return withValue(document, path, one);
          const map = isMap(parent) ? parent : {};
          return withValue(
            document,
            path.slice(0, -1),
            asVariant(row.discriminates, map, row.label, one),
          );
        }),
      );
    case 'text':
      if (value === undefined && mixed(row)) return open(model, askVariant(document, row));
      return open(model, askValue(document, row));
  }
}

/** What may be text and something else is asked for first. */
function mixed({ node }: FormRow): boolean {
  const types = new Set(
    variantsOf(node).map(({ type }) => (type === 'object' || type === 'array' ? type : 'scalar')),
  );
  return types.size > 1;
}

/** To the list that the row is, is an item of, or stands in. */
function addNear(model: Model, rows: readonly FormRow[], row: FormRow): Step {
  const draft = draftOf(model);
  if (draft === null) return { model, effects: [] };
  const all = rows.length > 1 ? rows : rowsOf(model);
  const adds = all.filter(({ kind }) => kind === 'add');
  const own = adds.find(({ path }) => formatPath(path) === formatPath(row.path));
  const around = adds.find(({ path }) => formatPath(path) === formatPath(row.path.slice(0, -1)));
  const add = own ?? around;
  return add === undefined ? { model, effects: [] } : addTo(model, draft.document, add);
}
