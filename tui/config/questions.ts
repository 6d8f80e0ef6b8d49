/** What is asked before the candidate is changed, and what answers mean. Pure. */
import { formatPath, parsePath, type Path } from '../../appliance/config/errors.js';
import { parseDuration } from '../../appliance/config/units-of-measure.js';
import type { JsonValue } from '../../appliance/config/canonical.js';
import { answersOf, ask, askField, type Ask } from '../ask.js';
import { asking } from '../acted.js';
import type { Effect, Model, Option, Overlay, Place } from '../model.js';
import type { Step } from '../step.js';
import { plural } from '../../appliance/cli/format.js';
import { withInserted, withRenamed, withValue, type Draft } from './draft.js';
import { draftOf, overtaken, perform, schemaOf, withDocument } from './edits.js';
import type { FormRow } from './form.js';
import { namesFor, referencesTo, SECTIONS } from './objects.js';
import {
  expected,
  isMap,
  schemaAt,
  skeleton,
  typedValue,
  valueAt,
  variantsOf,
  wordOf,
  type JsonMap,
  type Node,
} from './schema.js';

export function objectPlace(path: Path): Place {
  return { screen: 'object', name: formatPath(path), pool: '' };
}

/** Which kind, and then which name. */
export function askNew(): Overlay {
  const options = SECTIONS.map(({ section, kind }): Option => ({
    text: kind,
    does: '',
    then: { type: 'open', overlay: askName(kind, { type: 'new', section }) },
  }));
  return { kind: 'choose', title: 'New', note: 'What shall it be?', options, choice: 0 };
}

function askName(kind: string, purpose: Ask['purpose'], text = ''): Ask {
  return ask(`New ${kind}`, `Name of the ${kind}.`, purpose, [askField('name', 'Name', { text })]);
}

export function askCopy(path: Path): Ask {
  const name = String(path.at(-1) ?? '');
  return askName(`copy of ${name}`, { type: 'copy', path }, `${name}-2`);
}

export function askRename(document: JsonMap, path: Path): Ask {
  const name = String(path.at(-1) ?? '');
  const found = referencesTo(document, path);
  const note =
    found.length === 0
      ? `Another name for ${formatPath(path)}.`
      : `Another name for ${formatPath(path)}. What refers to it is changed too: ${found.join(', ')}.`;
  return ask('Rename', note, { type: 'rename', path }, [askField('name', 'Name', { text: name })]);
}

/** Names what is removed and what refers to it. */
export function askRemove(draft: Draft, path: Path, place?: Place): Overlay {
  const found = referencesTo(draft.document, path);
  const refer =
    found.length === 0
      ? ''
      : `\n${plural(found.length, 'place refers', 'places refer')} to it: ${found.slice(0, 8).join(', ')}${found.length > 8 ? ' ...' : ''}`;
  return {
    kind: 'confirm',
    question: `Remove ${formatPath(path)} from the candidate?${refer}\nU takes it back; nothing is committed yet.`,
    effects: [],
    then: {
      type: 'document',
      document: withValue(draft.document, path, undefined),
      ...(place === undefined ? {} : { place }),
    },
  };
}

export function askValue(document: JsonMap, row: FormRow): Ask {
  const { path, node, value } = row;
  const words = namesFor(document, path);
  const help = [
    row.node.description ?? '',
    expected(node) === '' ? '' : `Write ${expected(node)}.`,
    words.length === 0 ? '' : `There are: ${words.join(', ')} (Tab completes).`,
    row.required ? '' : 'Empty: left out.',
  ];
  const text = value === undefined ? '' : wordOf(value);
  return ask(row.key, help.filter(Boolean).join('\n'), { type: 'set', path }, [
    askField('value', row.label, { text, words }),
  ]);
}

/** One of few values; leaving it out is one too, where it may be. */
export function askChoice(
  document: JsonMap,
  row: FormRow,
  change: (value: JsonValue) => JsonMap,
): Overlay {
  const { choices, value, node, path, required } = row;
  const options = choices.map((one): Option => ({
    text: wordOf(one),
    does: [
      one === value ? 'now' : '',
      one === node.default ? 'default' : '',
      describedBy(row.discriminates, row.label, one),
    ]
      .filter(Boolean)
      .join('; '),
    then: { type: 'document', document: change(one) },
  }));
  const none: Option = {
    text: '(left out)',
    does: '',
    then: { type: 'document', document: withValue(document, path, undefined) },
  };
  return {
    kind: 'choose',
    title: row.key,
    note: node.description ?? '',
    options: required || value === undefined ? options : [...options, none],
    choice: Math.max(
      0,
      choices.findIndex((one) => one === value),
    ),
  };
}

function describedBy(parent: Node | null, key: string, constant: JsonValue): string {
  if (parent === null) return '';
  const variant = variantsOf(parent).find(
    ({ properties }) => properties?.[key]?.const === constant,
  );
  return variant?.description ?? '';
}

/** Which form a value of several has: a word, a list, a map. */
export function askVariant(document: JsonMap, row: FormRow): Overlay | null {
  const variants = variantsOf(row.node);
  if (variants.length < 2) return null;
  const options = variants.flatMap((variant): Option[] => {
    const begin = skeleton(variant);
    const words: readonly JsonValue[] = variant.enum ?? (begin === undefined ? [] : [begin]);
    if (words.length === 0) {
      const field = askValue(document, { ...row, node: variant, value: undefined });
      return [
        {
          text: variant.type ?? 'value',
          does: expected(variant),
          then: { type: 'open', overlay: field },
        },
      ];
    }
    return words.map((word) => ({
      text: nameOf(variant, word),
      does: variant.description ?? '',
      then: { type: 'document', document: withValue(document, row.path, word) },
    }));
  });
  return { kind: 'choose', title: row.key, note: row.node.description ?? '', options, choice: 0 };
}

function nameOf(variant: Node, begin: JsonValue): string {
  if (variant.type === 'array') return 'a list';
  if (variant.type !== 'object') return wordOf(begin);
  const constants = isMap(begin)
    ? Object.values(begin).filter((one) => typeof one === 'string')
    : [];
  const keys = Object.keys(variant.properties ?? {});
  return constants.length > 0 ? constants.join(' ') : `with ${keys.slice(0, 4).join(', ')}`;
}

export function askCommit(model: Model): Overlay | null {
  const { draft } = model;
  if (draft === null) return null;
  const newer = overtaken(model);
  if (newer !== null) {
    return {
      kind: 'message',
      title: 'Not yet',
      text: `Revision ${newer} was committed meanwhile: R puts your candidate on top of it, X drops it.`,
    };
  }
  const { check } = draft;
  if (check === null || check.problem !== null) {
    const text =
      check === null
        ? 'The daemon still looks at the candidate.'
        : `${check.problem}\nD shows all of it.`;
    return { kind: 'message', title: 'Not yet', text };
  }
  return ask(
    'Commit',
    `${plural(check.changes.length, 'change')} to revision ${draft.base ?? 'none'}. With a time it goes back by itself unless you press K within it.`,
    { type: 'commit' },
    [askField('comment', 'Comment'), confirmField()],
  );
}

const STAYS = 'no: it stays';
/** As the API has it, in milliseconds. */
const CONFIRM = { least: 1000, most: 86_400_000 } as const;

function confirmField() {
  const choices = ['60s', '2m', '10m', STAYS];
  return askField('confirm', 'Goes back', { choices, free: true });
}

/** Milliseconds; undefined: it stays. A sentence when it is no time. */
function confirmTime(text: string): number | undefined | string {
  if (text === STAYS) return undefined;
  const parsed = parseDuration(text);
  return parsed.ok && parsed.value >= CONFIRM.least && parsed.value <= CONFIRM.most
    ? parsed.value
    : 'Give a time from 1s to 24h, such as 90s or 5m.';
}

export function askRollback(revision: number): Ask {
  return ask(
    `Back to revision ${revision}`,
    `The document of revision ${revision} becomes a new revision. With a time it goes back by itself unless you press K within it.`,
    { type: 'rollback', to: revision },
    [askField('comment', 'Comment'), confirmField()],
  );
}

/** Null: the answer is for something else. */
export function answerConfig(model: Model, now: Ask): Step | string | null {
  const { purpose } = now;
  const { name = '', value = '', comment = '', confirm } = answersOf(now);
  const closed: Model = { ...model, overlay: null };
  const confirmMs = confirm === undefined ? undefined : confirmTime(confirm);
  if (typeof confirmMs === 'string') return confirmMs;
  const acting = (effect: Extract<Effect, { type: 'act' }>): Step => asking(model, effect);
  if (purpose.type === 'rollback') {
    const json = {
      to: purpose.to,
      comment,
      ...(confirmMs === undefined ? {} : { 'confirm-ms': confirmMs }),
    };
    return acting({
      type: 'act',
      call: { method: 'POST', path: '/v1/config/rollback', json },
      done: `The document of revision ${purpose.to} is back.`,
    });
  }
  const draft = draftOf(model);
  if (draft === null) return null;
  const { document } = draft;
  switch (purpose.type) {
    case 'commit':
      return acting({
        type: 'act',
        call: {
          method: 'PUT',
          path: '/v1/config',
          query: { comment, 'confirm-ms': confirmMs },
          json: document,
          ifMatch: draft.base ?? 0,
        },
        done: '',
        about: 'commit',
      });
    case 'set': {
      const node = nodeAt(model, document, purpose.path);
      return withDocument(closed, withValue(document, purpose.path, typedValue(node, value)));
    }
    case 'key': {
      if (name === '') return 'Give a name.';
      const path = [...purpose.path, name];
      if (valueAt(document, path) !== undefined) return `There is ${formatPath(path)} already.`;
      return added(closed, document, path);
    }
    case 'new': {
      const path = [purpose.section, name];
      if (name === '') return 'Give a name.';
      if (valueAt(document, path) !== undefined) return `There is ${formatPath(path)} already.`;
      const begin = skeleton(nodeAt(model, document, path)) ?? {};
      const next = withValue(document, path, begin);
      return perform(closed, { type: 'document', document: next, place: objectPlace(path) });
    }
    case 'copy': {
      const path = [...purpose.path.slice(0, -1), name];
      const original = valueAt(document, purpose.path);
      if (name === '') return 'Give a name.';
      if (valueAt(document, path) !== undefined) return `There is ${formatPath(path)} already.`;
      if (original === undefined) return 'What was to be copied is gone.';
      const next = withValue(document, path, original);
      return perform(closed, { type: 'document', document: next, place: objectPlace(path) });
    }
    case 'rename':
      return renamed(closed, document, purpose.path, name);
    default:
      return null;
  }
}

function renamed(model: Model, document: JsonMap, path: Path, to: string): Step | string {
  const from = String(path.at(-1) ?? '');
  const parent = path.slice(0, -1);
  if (to === '' || to === from) return 'Give another name.';
  if (valueAt(document, [...parent, to]) !== undefined) return `There is ${to} already.`;
  const references = referencesTo(document, path);
  const moved = references.reduce((at, reference) => withReference(at, reference, to), document);
  return withDocument(model, withRenamed(moved, parent, from, to));
}

function withReference(document: JsonMap, reference: string, to: string): JsonMap {
  const path = parsePath(reference);
  return path === null ? document : withValue(document, path, to);
}

/** A key or item that was added, and what it begins with; what has none is asked for. */
function added(model: Model, document: JsonMap, path: Path): Step {
  const node = nodeAt(model, document, path);
  const begin = skeleton(node);
  if (begin !== undefined) {
    const next = withValue(document, path, begin);
    return perform(model, { type: 'document', document: next, place: objectPlace(path) });
  }
  const row = { path, node, value: undefined, key: formatPath(path), label: String(path.at(-1)) };
  const overlay = askValue(document, row as FormRow);
  return { model: { ...model, overlay }, effects: [] };
}

/** An item at the end of a list, or a key of a map. */
export function addTo(model: Model, document: JsonMap, row: FormRow): Step {
  const declared = nodeAt(model, document, row.path);
  const list = variantsOf(declared).some(({ type }) => type === 'array');
  if (!list) {
    const overlay = ask(
      `New in ${formatPath(row.path)}`,
      'Its name.',
      { type: 'key', path: row.path },
      [askField('name', 'Name')],
    );
    return { model: { ...model, overlay }, effects: [] };
  }
  const items = valueAt(document, row.path);
  const index = Array.isArray(items) ? items.length : 0;
  const begin = skeleton(row.node);
  if (begin === undefined) return added(model, document, [...row.path, index]);
  const next = withInserted(document, row.path, index, begin);
  return perform(model, {
    type: 'document',
    document: next,
    place: objectPlace([...row.path, index]),
  });
}

function nodeAt(model: Model, document: JsonMap, path: Path): Node {
  const root = schemaOf(model);
  return (root === null ? null : schemaAt(root, document, path)) ?? {};
}
