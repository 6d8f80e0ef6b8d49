/**
 * The edge of the configuration: text or JSON in, a checked document and its meaning
 * out, or errors that each say where, what and how to repair it. And back to YAML.
 *
 * Invariant: nothing here throws because of what somebody wrote, and
 * `parseText(toYaml(document))` gives the same document.
 */
import { NotJsonError, toJson, type JsonValue } from './canonical.js';
import { crossCheck } from './cross-checks.js';
import { formatPath, parsePath, type ConfigError } from './errors.js';
import { blankMessages, explain, type PlacedError } from './issues.js';
import { intentSchema, type Document, type Intent } from './schema.js';
import { keysOf, stepInto, type Schema } from './schema-walk.js';
import { readYaml, type Locate } from './yaml-reader.js';
import { writeYaml } from './yaml-writer.js';

export type DocumentResult =
  | {
      readonly ok: true;
      /** As written, as plain JSON. */
      readonly document: Document;
      readonly intent: Intent;
      /** Allowed, and probably not what was meant. */
      readonly warnings: readonly ConfigError[];
    }
  | { readonly ok: false; readonly errors: readonly ConfigError[] };

/** Reads a YAML document. JSON text is YAML and is read too. `file` only names the text in errors. */
export function parseText(text: string, options: { readonly file?: string } = {}): DocumentResult {
  const named = (errors: readonly ConfigError[]): ConfigError[] =>
    errors.map((error) => (options.file === undefined ? error : { ...error, file: options.file }));

  const yaml = readYaml(text);
  if (!yaml.ok) return { ok: false, errors: named(withRest(yaml.errors, yaml.errors.length)) };
  if (yaml.value === null) {
    const message = 'the document is empty: begin with "version: 1" and "unit: { name: … }"';
    return {
      ok: false,
      errors: named([{ code: 'missing', line: 1, column: 1, path: '', message }]),
    };
  }
  const result = checkJson(yaml.value, yaml.locate);
  return result.ok
    ? { ...result, warnings: named(result.warnings) }
    : { ok: false, errors: named(result.errors) };
}

/** Checks a document that came as JSON; the same checks, errors without lines. */
export function checkDocument(document: unknown): DocumentResult {
  let json: JsonValue;
  try {
    json = toJson(document);
  } catch (error) {
    if (!(error instanceof NotJsonError)) throw error;
    return {
      ok: false,
      errors: [{ code: 'type', path: formatPath(error.path), message: error.message }],
    };
  }
  return checkJson(json, null);
}

/**
 * Adds the place in the text to errors that only know their path, such as those of
 * `unsupported` or of the API. A path that is not in the text gives the place around it.
 */
export function placeErrors(
  text: string,
  errors: readonly ConfigError[],
  options: { readonly file?: string } = {},
): ConfigError[] {
  const yaml = readYaml(text);
  return errors.map((error) => {
    const path = parsePath(error.path);
    if (!yaml.ok || path === null || error.line !== undefined) return error;
    const place = yaml.locate(path, error.code === 'unknown-key' ? 'key' : 'value');
    return { ...error, ...place, ...(options.file === undefined ? {} : { file: options.file }) };
  });
}

function checkJson(value: JsonValue, locate: Locate | null): DocumentResult {
  const place = ({ path, at, error }: PlacedError): ConfigError =>
    locate === null ? error : { ...error, ...locate(path, at) };

  const result = intentSchema.safeParse(value, blankMessages);
  if (!result.success) {
    const { errors, total } = explain(result.error.issues, intentSchema, value, maximumErrors);
    const placed = errors.map(place);
    return { ok: false, errors: withRest(locate === null ? placed : placed.sort(byPlace), total) };
  }
  const warnings = crossCheck(result.data).warnings.map((problem) =>
    place({
      path: problem.path,
      at: 'value',
      error: { code: problem.code, path: formatPath(problem.path), message: problem.message },
    }),
  );
  // A copy: parts that aliases repeated are then separate, as the text would have them.
  return {
    ok: true,
    document: toJson(value) as unknown as Document,
    intent: result.data,
    warnings,
  };
}

/** More than anybody reads, and little enough to be found quickly. */
const maximumErrors = 100;

/** Says how many errors are not shown. */
function withRest(errors: readonly ConfigError[], total: number): readonly ConfigError[] {
  const shown = errors.slice(0, maximumErrors);
  const last = shown.at(-1);
  if (last === undefined || total <= shown.length) return shown;
  const message = `${total - shown.length} more errors are not shown: repair the others and try again`;
  const { line, column } = last;
  const place = line === undefined || column === undefined ? {} : { line, column };
  return [...shown, { code: last.code, ...place, path: '', message }];
}

function byPlace(a: ConfigError, b: ConfigError): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
}

/**
 * A document as YAML: keys in the order of the reference, small maps on one line. Comments
 * of the text that it once was are not kept.
 */
export function toYaml(document: Document): string {
  return writeYaml(inReferenceOrder(toJson(document), intentSchema));
}

function inReferenceOrder(value: JsonValue, schema: Schema | null): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (isList(value)) {
    return value.map((item, index) =>
      inReferenceOrder(item, schema && stepInto(schema, value, index)),
    );
  }
  const present = Object.keys(value);
  const known = (schema && keysOf(schema, value)) ?? [];
  const keys = [
    ...known.filter((key) => Object.hasOwn(value, key)),
    ...present.filter((key) => !known.includes(key)),
  ];
  return Object.fromEntries(
    keys.map((key) => [
      key,
      inReferenceOrder(value[key] ?? null, schema && stepInto(schema, value, key)),
    ]),
  );
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
