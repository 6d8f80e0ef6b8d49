/**
 * A form of one object, made of the schema: a row for every key that may stand there, whether it is
 * set or not. Pure.
 *
 * Invariant: whatever the schema allows can be reached from these rows.
 */
import { inlineValue } from '../../appliance/config/changes.js';
import type { JsonValue } from '../../appliance/config/canonical.js';
import { formatPath, type Path } from '../../appliance/config/errors.js';
import {
  constantsOf,
  isList,
  isMap,
  schemaAt,
  valueAt,
  variantOf,
  variantsOf,
  wordOf,
  type JsonMap,
  type Node,
} from './schema.js';

export type RowKind =
  /** Typed: text and numbers. */
  | 'text'
  /** One of `choices`. */
  | 'choice'
  /** A map or list whose rows follow, when it is there. */
  | 'part'
  /** A map that has a form of its own. */
  | 'opens'
  /** Adds an item to a list or a key to a map of names. */
  | 'add';

export interface FormRow {
  readonly kind: RowKind;
  /** For `add`, that of the list or map. */
  readonly path: Path;
  readonly key: string;
  readonly label: string;
  readonly depth: number;
  readonly node: Node;
  readonly value: JsonValue | undefined;
  readonly required: boolean;
  readonly choices: readonly JsonValue[];
  /** Choosing another one changes which keys there are. */
  readonly discriminates: Node | null;
}

/** Deeper maps have forms of their own. */
const DEEPEST = 2;

export function formRows(root: Node, document: JsonMap, path: Path): FormRow[] {
  const node = schemaAt(root, document, path);
  if (node === null) return [];
  const value = valueAt(document, path);
  // What is one value by itself, such as a name's text in a map, is a form of one row.
  const { type } = variantOf(node, value);
  if (type !== 'object' && type !== 'array')
    return [rowOf(node, value, path, lastLabel(path), 0, true, null)];
  return below(node, value, path, 0);
}

function lastLabel(path: Path): string {
  const last = path.at(-1);
  return typeof last === 'number' ? `[${last}]` : String(last ?? '');
}

function below(node: Node, value: JsonValue | undefined, path: Path, depth: number): FormRow[] {
  const variant = variantOf(node, value);
  if (variant.type === 'array') {
    const items = isList(value) ? value : [];
    return [
      ...items.flatMap((item, index) =>
        withParts(variant.items ?? {}, item, [...path, index], `[${index}]`, depth, false, null),
      ),
      adding(variant.items ?? {}, path, depth),
    ];
  }
  if (variant.type !== 'object') return [];
  const { properties = {}, required = [], additionalProperties } = variant;
  const map = isMap(value) ? value : {};
  const known = Object.entries(properties).flatMap(([key, child]) =>
    withParts(child, map[key], [...path, key], key, depth, required.includes(key), node),
  );
  // What the schema does not know stands in the document all the same, and can be taken out.
  const others = Object.keys(map).filter((key) => !Object.hasOwn(properties, key));
  const free = additionalProperties || null;
  const rest = others.flatMap((key) =>
    withParts(free ?? {}, map[key], [...path, key], key, depth, false, null),
  );
  return [...known, ...rest, ...(free === null ? [] : [adding(free, path, depth)])];
}

/** The row of a value and, of a part that is there or must be, the rows below. */
function withParts(
  node: Node,
  value: JsonValue | undefined,
  path: Path,
  label: string,
  depth: number,
  required: boolean,
  parent: Node | null,
): FormRow[] {
  const row = rowOf(node, value, path, label, depth, required, parent);
  const shown = row.kind === 'part' && (value !== undefined || required);
  return shown ? [row, ...below(node, value, path, depth + 1)] : [row];
}

function rowOf(
  node: Node,
  value: JsonValue | undefined,
  path: Path,
  label: string,
  depth: number,
  required: boolean,
  parent: Node | null,
): FormRow {
  const variant = variantOf(node, value);
  const constants = parent === null ? [] : constantsOf(parent, label);
  const choices = constants.length > 0 ? constants : choicesOf(node);
  return {
    kind: kindOf(variant, value, path, depth, choices),
    path,
    key: formatPath(path),
    label,
    depth,
    node,
    value,
    required,
    choices,
    discriminates: constants.length > 0 ? parent : null,
  };
}

function kindOf(
  variant: Node,
  value: JsonValue | undefined,
  path: Path,
  depth: number,
  choices: readonly JsonValue[],
): RowKind {
  if (isMap(value) || isList(value) || variant.type === 'object' || variant.type === 'array') {
    // Items and named parts would make a form without an end; they are opened one by one.
    const many = isMap(value) && (typeof path.at(-1) === 'number' || depth >= DEEPEST);
    return many || depth > DEEPEST ? 'opens' : 'part';
  }
  return choices.length > 0 ? 'choice' : 'text';
}

/** All that may be written, where that is few. */
function choicesOf(node: Node): readonly JsonValue[] {
  const variants = variantsOf(node);
  const words = variants.flatMap(
    ({ type, enum: some, const: only }): readonly JsonValue[] | null[] => {
      if (only !== undefined) return [only];
      if (some !== undefined) return some;
      return type === 'boolean' ? [true, false] : [null];
    },
  );
  return words.every((one) => one !== null) ? words : [];
}

function adding(item: Node, path: Path, depth: number): FormRow {
  return {
    kind: 'add',
    path,
    key: `${formatPath(path)}+`,
    label: '',
    depth,
    node: item,
    value: undefined,
    required: false,
    choices: [],
    discriminates: null,
  };
}

/** What of a value a row says. */
export function valueText({ kind, value, node }: FormRow): string {
  if (kind === 'add') return '+ add';
  if (value !== undefined) {
    if (isList(value))
      return value.length === 0 ? 'none' : kind === 'part' ? '' : `${value.length} items`;
    if (isMap(value)) return kind === 'part' ? '' : inlineValue(value);
    return wordOf(value);
  }
  return node.default === undefined ? '-' : `${inlineValue(node.default)} (default)`;
}
