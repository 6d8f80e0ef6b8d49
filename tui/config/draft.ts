/**
 * The candidate: a document that is being changed here, on top of a revision. Nothing of it is the
 * unit's until it is committed. Pure.
 *
 * Invariant: values are never changed in place; what an edit does not touch is shared with the
 * document of before, so that a comparison costs little.
 */
import { canonicalJson, type JsonValue } from '../../appliance/config/canonical.js';
import type { Path } from '../../appliance/config/errors.js';
import type { Change, ConfigError } from '../../appliance/api/contract.js';
import { isList, isMap, valueAt, type JsonMap } from './schema.js';

/** What the daemon says of a candidate. */
export interface Check {
  /** Of the unit's current document, as `weir diff` has them; none while it is refused. */
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
  readonly errors: readonly ConfigError[];
  /** Why it is refused, a sentence; null: it may be committed. */
  readonly problem: string | null;
  /** The daemon was not there to be asked. */
  readonly unanswered: boolean;
}

export interface Draft {
  /** The revision below it; null: none yet. */
  readonly base: number | null;
  readonly original: JsonMap;
  readonly document: JsonMap;
  /** Documents of before, the newest last. */
  readonly past: readonly JsonMap[];
  /** Grows with each edit, so that an answer is known to be about another state. */
  readonly serial: number;
  /** Null: asked, and not answered yet. */
  readonly check: Check | null;
}

const UNDO_KEPT = 200;

export const EMPTY_DOCUMENT: JsonMap = { version: 1, unit: {} };

export function newDraft(base: number | null, original: JsonMap): Draft {
  return { base, original, document: original, past: [], serial: 0, check: null };
}

export function edited(draft: Draft, document: JsonMap): Draft {
  if (document === draft.document) return draft;
  const past = [...draft.past, draft.document].slice(-UNDO_KEPT);
  return { ...draft, document, past, serial: draft.serial + 1, check: null };
}

/** One edit back; the draft itself when there is none. */
export function undone(draft: Draft): Draft {
  const document = draft.past.at(-1);
  if (document === undefined) return draft;
  const past = draft.past.slice(0, -1);
  return { ...draft, document, past, serial: draft.serial + 1, check: null };
}

export function same(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return canonicalJson(a) === canonicalJson(b);
}

export function isTouched({ document, original }: Draft): boolean {
  return !same(document, original);
}

/** With a value at a path, or without it; maps and lists on the way are made. */
export function withValue(document: JsonMap, path: Path, value: JsonValue | undefined): JsonMap {
  return put(document, path, value) as JsonMap;
}

function put(
  at: JsonValue | undefined,
  path: Path,
  value: JsonValue | undefined,
): JsonValue | undefined {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (typeof step === 'number') {
    const list = isList(at) ? at : [];
    const item = put(list[step], rest, value);
    if (item === undefined) return list.filter((_, index) => index !== step);
    return step >= list.length ? [...list, item] : list.with(step, item);
  }
  const map = isMap(at) ? at : {};
  const part = put(map[step], rest, value);
  if (part !== undefined) return { ...map, [step]: part };
  return Object.fromEntries(Object.entries(map).filter(([key]) => key !== step));
}

/** With an item in front of another one, or at the end. */
export function withInserted(
  document: JsonMap,
  path: Path,
  index: number,
  item: JsonValue,
): JsonMap {
  const list = listAt(document, path);
  return withValue(document, path, list.toSpliced(index, 0, item));
}

/** With an item moved by so many places; the same document at an end. */
export function withMoved(document: JsonMap, path: Path, index: number, by: number): JsonMap {
  const list = listAt(document, path);
  const item = list[index];
  const to = index + by;
  if (item === undefined || to < 0 || to >= list.length) return document;
  return withValue(document, path, list.toSpliced(index, 1).toSpliced(to, 0, item));
}

function listAt(document: JsonMap, path: Path): readonly JsonValue[] {
  const list = valueAt(document, path);
  return isList(list) ? list : [];
}

/** A key with another name, at its place. */
export function withRenamed(document: JsonMap, path: Path, from: string, to: string): JsonMap {
  const map = valueAt(document, path);
  if (!isMap(map)) return document;
  const entries = Object.entries(map).map(([key, value]) => [key === from ? to : key, value]);
  return withValue(document, path, Object.fromEntries(entries) as JsonMap);
}
