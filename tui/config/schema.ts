/**
 * The daemon's JSON Schema, read: which variant of a union a value is, what may stand below it, and
 * what a new part begins with. Pure.
 *
 * Invariant: nothing about any key of the language is known here.
 */
import type { JsonValue } from '../../appliance/config/canonical.js';
import type { Path } from '../../appliance/config/errors.js';

export type JsonMap = Readonly<Record<string, JsonValue>>;

/** What the language uses of JSON Schema, draft 7. */
export interface Node {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: false | Node;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly const?: JsonValue;
  readonly enum?: readonly JsonValue[];
  readonly default?: JsonValue;
  readonly description?: string;
  readonly examples?: readonly JsonValue[];
  readonly minimum?: number;
  readonly maximum?: number;
}

export function isMap(value: JsonValue | undefined): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** A value in the words of the document. */
export function wordOf(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What may stand there: the schema itself, or what its unions offer. */
export function variantsOf(node: Node): readonly Node[] {
  const options = node.anyOf ?? node.oneOf;
  return options === undefined ? [node] : options.flatMap(variantsOf);
}

/** The variant that a value belongs to; of a value that is not there yet, the first. */
export function variantOf(node: Node, value: JsonValue | undefined): Node {
  const variants = variantsOf(node);
  const [first = node] = variants;
  if (variants.length === 1 || value === undefined) return first;
  const fits = variants.filter((one) => hasType(one, value));
  return (
    fits.find((one) => agrees(one, value)) ??
    fits.find((one) => one.const === undefined && one.enum === undefined) ??
    fits[0] ??
    first
  );
}

function hasType({ type }: Node, value: JsonValue): boolean {
  if (isList(value)) return type === 'array';
  if (isMap(value)) return type === 'object';
  if (typeof value === 'number') return type === 'integer' || type === 'number';
  return type === typeof value;
}

/** Its constants are those of the value. */
function agrees(node: Node, value: JsonValue): boolean {
  if (node.const !== undefined) return node.const === value;
  if (node.enum !== undefined) return node.enum.includes(value);
  if (!isMap(value)) return false;
  const constants = Object.entries(node.properties ?? {}).filter(
    ([, one]) => one.const !== undefined,
  );
  return constants.length > 0 && constants.every(([key, one]) => value[key] === one.const);
}

/** The schema of one key or item; null when none is known. */
export function childOf(
  node: Node,
  value: JsonValue | undefined,
  step: string | number,
): Node | null {
  const variant = variantOf(node, value);
  if (typeof step === 'number') return variant.items ?? null;
  const { properties = {}, additionalProperties } = variant;
  const known = Object.hasOwn(properties, step) ? properties[step] : undefined;
  return known ?? (additionalProperties || null);
}

export function schemaAt(root: Node, document: JsonValue, path: Path): Node | null {
  let node: Node | null = root;
  let value: JsonValue | undefined = document;
  for (const step of path) {
    if (node === null) return null;
    node = childOf(node, value, step);
    value = valueAt(value, [step]);
  }
  return node;
}

export function valueAt(value: JsonValue | undefined, path: Path): JsonValue | undefined {
  let at = value;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Readonly<Record<string | number, JsonValue>>)[step];
  }
  return at;
}

/** What the values of a union's key tell its variants apart; none for other keys. */
export function constantsOf(parent: Node, key: string): readonly JsonValue[] {
  const variants = variantsOf(parent);
  if (variants.length < 2) return [];
  const values = variants.map(({ properties }) => properties?.[key]?.const);
  return values.filter((one) => one !== undefined);
}

/** The map with another constant: what the variant of it has no place for goes. */
export function asVariant(parent: Node, value: JsonMap, key: string, constant: JsonValue): JsonMap {
  const variant = variantsOf(parent).find(
    ({ properties }) => properties?.[key]?.const === constant,
  );
  const kept = Object.entries(value).filter(
    ([name]) => name !== key && Object.hasOwn(variant?.properties ?? {}, name),
  );
  return { [key]: constant, ...Object.fromEntries(kept) };
}

/** What a new part begins with: maps and lists that must be there, and constants. Undefined: nothing. */
export function skeleton(node: Node): JsonValue | undefined {
  const variant = variantOf(node, undefined);
  if (variant.const !== undefined) return variant.const;
  if (variant.type === 'array') return [];
  if (variant.type !== 'object') return undefined;
  const { properties = {}, required = [] } = variant;
  const parts = required.flatMap((key): [string, JsonValue][] => {
    const part = properties[key] === undefined ? undefined : skeleton(properties[key]);
    return part === undefined ? [] : [[key, part]];
  });
  return Object.fromEntries(parts);
}

/** Keys in the order of the schema, as the reference has them. */
export function ordered(value: JsonValue, node: Node | null): JsonValue {
  if (node === null) return value;
  if (isList(value)) return value.map((item, index) => ordered(item, childOf(node, value, index)));
  if (!isMap(value)) return value;
  const known = Object.keys(variantOf(node, value).properties ?? {});
  const rest = Object.keys(value).filter((key) => !known.includes(key));
  const keys = [...known.filter((key) => Object.hasOwn(value, key)), ...rest];
  return Object.fromEntries(
    keys.map((key) => [key, ordered(value[key] ?? null, childOf(node, value, key))]),
  );
}

/** Scalars: what was typed as a value of the schema; what fits nothing stays text, for the daemon to judge. */
export function typedValue(node: Node, text: string): JsonValue | undefined {
  if (text === '') return undefined;
  const variants = variantsOf(node);
  const has = (...types: readonly Node['type'][]): boolean =>
    variants.some(({ type }) => types.includes(type));
  if (has('integer', 'number') && /^-?\d{1,15}(\.\d+)?$/.test(text)) return Number(text);
  if (has('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

/** In a few words what may be typed: numbers with their bounds, examples. */
export function expected(node: Node): string {
  const parts = variantsOf(node).flatMap(
    ({ type, minimum, maximum, examples = [], enum: words, const: only }) => {
      if (only !== undefined) return [wordOf(only)];
      if (words !== undefined) return [words.map(wordOf).join(', ')];
      if (type === 'integer' || type === 'number') {
        return [
          minimum === undefined ? 'a number' : `a number from ${minimum} to ${maximum ?? 'any'}`,
        ];
      }
      return type === 'string' && examples.length > 0
        ? [`text such as ${examples.map(wordOf).join(', ')}`]
        : [];
    },
  );
  const or = node.default === undefined ? '' : ` (default ${wordOf(node.default)})`;
  return `${[...new Set(parts)].join(', or ')}${or}`.trim();
}
