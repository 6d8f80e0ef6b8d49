/**
 * JSON values in one canonical text: the JSON Canonicalization Scheme (RFC 8785), so
 * that equal documents have equal bytes and equal digests.
 *
 * Invariant: `canonicalJson(JSON.parse(canonicalJson(x))) === canonicalJson(x)`.
 */
import { createHash } from 'node:crypto';
import type { Path } from './errors.js';

export type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** How deep maps and lists may nest. The language needs about eight. */
export const maximumDepth = 64;

/** A value that is no JSON, or JSON that no document can hold. */
export class NotJsonError extends Error {
  override readonly name = 'NotJsonError';
  readonly path: Path;
  constructor(path: Path, message: string) {
    super(message);
    this.path = path;
  }
}

/**
 * Text with sorted keys and no spaces. Properties whose value is undefined count as absent.
 *
 * @throws NotJsonError naming the place: other types, numbers that are not finite, text that
 *   is no Unicode (lone surrogates do not survive UTF-8), or nesting over `maximumDepth`
 */
export function canonicalJson(value: unknown): string {
  return write(value, []);
}

/** The value as its canonical text reads: a deep copy of plain JSON. */
export function toJson(value: unknown): JsonValue {
  return JSON.parse(canonicalJson(value)) as JsonValue;
}

/** Lower-case hexadecimal SHA-256 of text in UTF-8. */
export function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

function write(value: unknown, path: (string | number)[]): string {
  if (path.length > maximumDepth) {
    throw new NotJsonError(path, `is nested deeper than ${maximumDepth} levels: flatten it`);
  }
  switch (typeof value) {
    case 'boolean':
      return value ? 'true' : 'false';
    case 'number':
      if (!Number.isFinite(value))
        throw new NotJsonError(path, 'is no finite number: write a number');
      return JSON.stringify(value);
    case 'string':
      return writeText(value, path);
    case 'object':
      break;
    default:
      throw new NotJsonError(path, `is a ${typeof value}, which JSON does not have`);
  }
  if (value === null) return 'null';
  if (Array.isArray(value)) {
    return `[${value.map((item, index) => inside(item, path, index)).join(',')}]`;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new NotJsonError(path, 'is no plain map of keys, which JSON does not have');
  }
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => {
      // JSON.parse would make it an own property, but assignments elsewhere would not.
      if (key === '__proto__')
        throw new NotJsonError([...path, key], 'is reserved: choose another key');
      return `${writeText(key, [...path, key])}:${inside(item, path, key)}`;
    });
  return `{${entries.join(',')}}`;
}

function inside(item: unknown, path: (string | number)[], step: string | number): string {
  path.push(step);
  const text = write(item, path);
  path.pop();
  return text;
}

function writeText(text: string, path: Path): string {
  // The plain test is much the faster one, and nearly always enough.
  if (/[\ud800-\udfff]/.test(text) && /\p{Cs}/u.test(text)) {
    throw new NotJsonError(
      path,
      'has half of a surrogate pair, which is no Unicode text: remove it',
    );
  }
  return JSON.stringify(text);
}
