/**
 * Turns what zod found into errors for people: what is wrong, the fix, the nearest
 * valid word.
 *
 * Invariant: a message that a field of the schema wrote itself is shown as it stands;
 * parsing runs with an error map that leaves all other messages empty, and those are
 * written here.
 */
import { z } from 'zod';
import { formatPath, type ConfigError, type ConfigErrorCode, type Path } from './errors.js';
import {
  alternativesOf,
  keysOf,
  metadata,
  schemaAt,
  valueAt,
  written,
  type Schema,
} from './schema-walk.js';
import { kindKey } from './fields.js';
import { alternatives, nearest, quote } from './words.js';

/** An error that still knows its place as steps, to be looked up in the text. */
export interface PlacedError {
  readonly path: Path;
  /** Which end of the pair is wrong: the key itself, or its value. */
  readonly at: 'key' | 'value';
  readonly error: ConfigError;
}

/** For `safeParse`: leaves every message empty that the schema does not write itself. */
export const blankMessages = { error: () => '' };

/**
 * @param maximum how many errors are explained
 * @returns them, and how many there are in all
 */
export function explain(
  issues: readonly z.core.$ZodIssue[],
  schema: Schema,
  document: unknown,
  maximum: number,
): { readonly errors: PlacedError[]; readonly total: number } {
  const errors: PlacedError[] = [];
  let total = 0;
  for (const issue of issues) {
    // One issue may name any number of unknown keys.
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys.length : 1;
    const room = maximum - errors.length;
    const part =
      unknown > 1 && issue.code === 'unrecognized_keys'
        ? { ...issue, keys: issue.keys.slice(0, room) }
        : issue;
    const found = room > 0 ? explainOne(part, issue.path.map(toStep), schema, document) : [];
    errors.push(...found.slice(0, room));
    total += Math.max(unknown, found.length);
  }
  return { errors, total };
}

function explainOne(
  issue: z.core.$ZodIssue,
  path: Path,
  schema: Schema,
  document: unknown,
): PlacedError[] {
  const value = valueAt(document, path);
  const place = (code: ConfigErrorCode, message: string, suggestion?: string): PlacedError[] => [
    {
      path,
      at: 'value',
      error: {
        code,
        path: formatPath(path),
        message,
        ...(suggestion === undefined ? {} : { suggestion }),
      },
    },
  ];

  if (issue.code === 'unrecognized_keys') {
    const known = keysOf(schemaAt(schema, document, path) ?? schema, value) ?? [];
    return issue.keys.map((key) => unknownKey([...path, key], key, known));
  }
  if (issue.code === 'invalid_union') {
    if (issue.errors.length === 0)
      return place(...wrongKind(schemaAt(schema, document, path.slice(0, -1)), value));
    const branch = bestBranch(issue.errors, value);
    return branch.flatMap((inner) =>
      explainOne(inner, [...path, ...inner.path.map(toStep)], schema, document),
    );
  }
  if (issue.code === 'invalid_key') {
    const message = issue.issues.map((inner) => inner.message).join('; ');
    const [found] = place('value', message === '' ? 'is no valid key here' : message);
    return found === undefined ? [] : [{ ...found, at: 'key' }];
  }
  if (value === undefined && issue.code !== 'custom') {
    return place('missing', missing(path, schemaAt(schema, document, path)));
  }
  if (value === null) return place('type', 'has no value: write one, or remove the key');
  if (issue.code === 'custom') {
    const suggestion: unknown = issue.params?.['suggestion'];
    return place(
      (issue.params?.['code'] as ConfigErrorCode | undefined) ?? 'value',
      issue.message,
      typeof suggestion === 'string' ? suggestion : undefined,
    );
  }
  if (issue.message !== '')
    return place(issue.code === 'invalid_type' ? 'type' : 'value', issue.message);

  switch (issue.code) {
    case 'invalid_type':
      return place('type', wrongType(issue.expected, value));
    case 'invalid_value': {
      const choices = issue.values.map(String);
      return place('value', notAmong(value, choices), suggest(value, choices));
    }
    case 'too_small':
    case 'too_big':
      return place(
        'range',
        outOfRange(issue, written(schemaAt(schema, document, path) ?? schema), value),
      );
    default:
      return place('value', `${describe(value)} is not valid here: see the reference of this key`);
  }
}

function toStep(step: PropertyKey): string | number {
  return typeof step === 'symbol' ? String(step) : step;
}

function unknownKey(path: Path, key: string, known: readonly string[]): PlacedError {
  const suggestion = nearest(key, known);
  return {
    path,
    at: 'key',
    error: {
      code: 'unknown-key',
      path: formatPath(path),
      message: `there is no key ${quote(key)} here: remove it, or use ${known.length === 1 ? '' : 'one of '}${alternatives(known)}`,
      ...(suggestion === undefined ? {} : { suggestion }),
    },
  };
}

/** A discriminated union whose discriminator says nothing known. */
function wrongKind(
  schema: Schema | null,
  value: unknown,
): [ConfigErrorCode, string, (string | undefined)?] {
  const union = schema === null ? null : written(schema);
  const choices = union instanceof z.ZodDiscriminatedUnion ? [...alternativesOf(union).keys()] : [];
  if (value === undefined) return ['missing', `is missing: write one of ${alternatives(choices)}`];
  if (value === null) return ['type', `has no value: write one of ${alternatives(choices)}`];
  return ['value', notAmong(value, choices), suggest(value, choices)];
}

/** Of the options of a union, the one that the value was most likely meant for. */
function bestBranch(
  branches: readonly z.core.$ZodIssue[][],
  value: unknown,
): readonly z.core.$ZodIssue[] {
  // A word is not what is wrong with a map or a list, wherever words may stand in its place.
  const structured = typeof value === 'object' && value !== null;
  const fits = branches.find(
    (branch) =>
      !branch.some(
        (issue) =>
          isForeign(issue) ||
          (structured && issue.path.length === 0 && issue.code === 'invalid_value'),
      ),
  );
  const vocal = branches.find((branch) => branch.some(speaks));
  return fits ?? vocal ?? branches[0] ?? [];
}

/** Whether the schema wrote a message of its own for this issue. */
function speaks(issue: z.core.$ZodIssue): boolean {
  return (
    issue.message !== '' ||
    (issue.code === 'invalid_union' && issue.errors.some((branch) => branch.some(speaks)))
  );
}

/** Whether an issue says that the value is of another type altogether. */
function isForeign(issue: z.core.$ZodIssue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === 'invalid_type') return true;
  return issue.code === 'invalid_union' && issue.errors.every((branch) => branch.some(isForeign));
}

function missing(path: Path, schema: Schema | null): string {
  const what = schema === null ? undefined : metadata(schema, 'description');
  const known = typeof what === 'string' ? what.replace(/\.$/, '') : undefined;
  const last = path.at(-1);
  const add = typeof last === 'string' ? `add the key "${last}"` : 'write it';
  if (known === undefined) return `is missing: ${add}`;
  // Not "iPv4".
  const lower = /^[A-Z][a-z' ]/.test(known)
    ? known.charAt(0).toLowerCase() + known.slice(1)
    : known;
  return `is missing: ${add} (${lower})`;
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map of keys',
  record: 'a map of names',
  array: 'a list',
};

function wrongType(expected: string, value: unknown): string {
  const wanted = typeNames[expected] ?? expected;
  const numeric = expected === 'int' || expected === 'number';
  if (numeric && typeof value === 'string' && /^[0-9]+$/.test(value)) {
    return `must be ${wanted}, not the text ${quote(value)}: remove the quotes`;
  }
  if (expected === 'array')
    return `must be a list, not ${describe(value)}: write it as [ … ] or with "- " in front`;
  if (expected === 'boolean' && typeof value === 'string') {
    return `must be true or false, not ${describe(value)}: YAML 1.2 knows no other words for them`;
  }
  if (expected === 'string' && typeof value !== 'object') {
    return `must be text, not ${describe(value)}: put it between quotes`;
  }
  return `must be ${wanted}, not ${describe(value)}`;
}

function describe(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map';
  return String(value);
}

function notAmong(value: unknown, choices: readonly string[]): string {
  if (choices.length === 1) return `must be ${choices[0] ?? ''}, not ${describe(value)}`;
  return `${describe(value)} is not known here: use ${alternatives(choices)}`;
}

function suggest(value: unknown, choices: readonly string[]): string | undefined {
  return typeof value === 'string' && choices.length > 1 ? nearest(value, choices) : undefined;
}

function outOfRange(
  issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig,
  schema: Schema,
  value: unknown,
): string {
  const bound =
    issue.code === 'too_small' ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
  if (issue.origin === 'array') {
    return `has ${Array.isArray(value) ? value.length : 0} entries: write ${bound}`;
  }
  if (issue.origin === 'string') {
    return typeof value === 'string' && value === ''
      ? 'is empty: write some text, or remove the key'
      : `has ${typeof value === 'string' ? value.length : 0} characters: write ${bound}`;
  }
  const kind = metadata(schema, kindKey) === 'port' ? 'a port' : 'a number';
  if (schema instanceof z.ZodNumber && schema.minValue !== null && schema.maxValue !== null) {
    return `${describe(value)} is out of range: write ${kind} from ${schema.minValue} to ${schema.maxValue}`;
  }
  return `${describe(value)} is out of range: write ${kind} of ${bound}`;
}
