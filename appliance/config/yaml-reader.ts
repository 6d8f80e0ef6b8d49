/**
 * YAML 1.2 (core schema) to plain JSON values, with the place of every key and value.
 *
 * The `yaml` package parses; this file decides what a configuration may consist of: one
 * document, text keys, no tags beyond the core ones, no merge keys, every key once.
 * Invariant: work and memory stay in proportion to the text. Aliases may repeat a part,
 * but what they expand to counts against the same bound as if it had been written out.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Alias,
  type Node,
  type Scalar,
  type YAMLParseError,
  type YAMLWarning,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { formatPath, type ConfigError, type ConfigErrorCode, type Path } from './errors.js';
import { maximumDepth, type JsonValue } from './canonical.js';
import { escapeText, quote } from './words.js';
import { findTooDeep } from './yaml-depth.js';

/** Bytes of UTF-8 that a document may have. */
export const maximumBytes = 16 * 2 ** 20;
/** Keys and values that it may have, aliases written out. */
export const maximumNodes = 4_000_000;

export interface Position {
  readonly line: number;
  readonly column: number;
}

export type YamlResult =
  | { readonly ok: true; readonly value: JsonValue; readonly locate: Locate }
  | { readonly ok: false; readonly errors: readonly ConfigError[] };

/** The place of a path, or of the nearest thing around it that is there. */
export type Locate = (path: Path, at: 'key' | 'value') => Position;

export function readYaml(text: string): YamlResult {
  const bytes = Buffer.byteLength(text);
  if (bytes > maximumBytes) {
    return fail(
      'too-large',
      `the document has ${bytes} bytes, at most ${maximumBytes} are read: split it or remove what is not used`,
    );
  }
  const lines = new LineCounter();
  const position = (offset: number): Position => placeOf(lines, offset, text.length);
  const deep = findTooDeep(text, maximumDepth);
  if (deep !== null) {
    const place = offsetPlace(text, deep);
    return { ok: false, errors: [{ code: 'too-large', ...place, path: '', message: tooDeep }] };
  }
  const yaml = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    strict: true,
    stringKeys: true,
    merge: false,
    // Found in linear time by the reader below, with the line of the first one.
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter: lines,
  });
  const problems = [...yaml.errors, ...yaml.warnings];
  if (problems.length > 0) {
    return { ok: false, errors: syntaxErrors(problems, position) };
  }
  if (yaml.directives.yaml.explicit === true && yaml.directives.yaml.version !== '1.2') {
    return fail(
      'syntax',
      `the document asks for YAML ${yaml.directives.yaml.version}: remove the %YAML line, YAML 1.2 is read`,
    );
  }

  const reader = new Reader(position);
  const value = reader.read(yaml.contents, [], 0).value;
  if (reader.errors.length > 0) return { ok: false, errors: reader.errors };
  return { ok: true, value, locate: (path, at) => reader.locate(yaml.contents, path, at) };
}

const tooDeep = `is nested deeper than ${maximumDepth} levels: flatten it, or close the bracket that is still open`;

function placeOf(lines: LineCounter, offset: number, end: number): Position {
  const { line, col } = lines.linePos(Math.min(Math.max(offset, 0), end));
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

/** The place of an offset in a text that was not parsed. */
function offsetPlace(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}

/** What the parser stumbled over, once a line: what follows on a line is mostly the echo of the first. */
function syntaxErrors(
  problems: readonly (YAMLParseError | YAMLWarning)[],
  position: (offset: number) => Position,
): ConfigError[] {
  const byLine = new Map<number, ConfigError>();
  for (const problem of problems) {
    const place = position(problem.pos[0]);
    if (byLine.size >= maximumSyntaxErrors || byLine.has(place.line)) continue;
    const message = syntaxMessage(problem.code, problem.message);
    byLine.set(place.line, { code: 'syntax', ...place, path: '', message });
  }
  return [...byLine.values()];
}

const maximumSyntaxErrors = 5;

function fail(code: ConfigErrorCode, message: string): YamlResult {
  return { ok: false, errors: [{ code, line: 1, column: 1, path: '', message }] };
}

/** A value and how many keys and values it is made of. */
interface Read {
  readonly value: JsonValue;
  readonly nodes: number;
}

const coreTags = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((tag) => `tag:yaml.org,2002:${tag}`),
);

class Reader {
  readonly errors: ConfigError[] = [];
  readonly #position: (offset: number) => Position;
  /** Anchors in document order: a later one of the same name replaces the earlier (YAML 1.2.2 §7.1). */
  readonly #anchors = new Map<string, { node: Node; read: Read | null }>();
  readonly #targets = new Map<Alias, Node>();
  #nodes = 0;

  constructor(position: (offset: number) => Position) {
    this.#position = position;
  }

  read(node: Node | null, path: (string | number)[], offset: number): Read {
    const start = node?.range?.[0] ?? offset;
    const before = this.#nodes;
    this.#nodes += 1;
    if (this.#nodes > maximumNodes) {
      return this.#stop(
        start,
        path,
        'too-large',
        `the document has more than ${maximumNodes} keys and values, aliases written out: remove what is not used`,
      );
    }
    if (path.length > maximumDepth) {
      return this.#stop(start, path.slice(0, 8), 'too-large', tooDeep);
    }
    if (node === null) return { value: null, nodes: 1 };
    if (isAlias(node)) return this.#alias(node, path, start);
    if (node.tag !== undefined && !coreTags.has(node.tag)) {
      return this.#stop(start, path, 'syntax', `the tag ${quote(node.tag)} is not read: remove it`);
    }

    const anchor = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined;
    const slot: { node: Node; read: Read | null } = { node, read: null };
    if (anchor !== undefined) this.#anchors.set(anchor, slot);
    const value = isMap(node)
      ? this.#map(node, path)
      : isSeq(node)
        ? this.#list(node, path)
        : this.#scalar(node, path, start);
    slot.read = { value, nodes: this.#nodes - before };
    return slot.read;
  }

  #alias(alias: Alias, path: Path, start: number): Read {
    const target = this.#anchors.get(alias.source);
    if (target === undefined) {
      return this.#stop(
        start,
        path,
        'syntax',
        `there is no anchor ${quote(`&${alias.source}`)} before this alias: define it or write the value`,
      );
    }
    if (target.read === null) {
      return this.#stop(
        start,
        path,
        'syntax',
        `the alias ${quote(`*${alias.source}`)} stands inside its own anchor: write the value`,
      );
    }
    this.#targets.set(alias, target.node);
    this.#nodes += target.read.nodes;
    if (this.#nodes > maximumNodes) {
      return this.#stop(
        start,
        path,
        'too-large',
        `aliases make the document larger than ${maximumNodes} keys and values: write the parts out`,
      );
    }
    return target.read;
  }

  #map(map: YAMLMap, path: (string | number)[]): JsonValue {
    const result: Record<string, JsonValue> = {};
    const offsets = new Map<string, number>();
    for (const pair of map.items) {
      const keyNode = pair.key as Node | null;
      const start = keyNode?.range?.[0] ?? map.range?.[0] ?? 0;
      if (!isScalar(keyNode) || typeof keyNode.value !== 'string') {
        this.#error(
          start,
          path,
          'syntax',
          'a key is not text: write it as plain text or between quotes',
        );
        continue;
      }
      const key = keyNode.value;
      const first = offsets.get(key);
      if (first !== undefined) {
        const { line } = this.#position(first);
        this.#error(
          start,
          [...path, key],
          'duplicate-key',
          `the key ${quote(key)} is already on line ${line}: remove one of them`,
        );
        continue;
      }
      offsets.set(key, start);
      if (key === '<<') {
        this.#error(
          start,
          [...path, key],
          'syntax',
          'merge keys are not part of YAML 1.2: write the keys out',
        );
        continue;
      }
      if (key === '__proto__') {
        this.#error(start, [...path, key], 'unknown-key', 'is reserved: choose another key');
        continue;
      }
      path.push(key);
      result[key] = this.read(pair.value as Node | null, path, start).value;
      path.pop();
      if (this.#nodes > maximumNodes) break;
    }
    return result;
  }

  #list(list: YAMLSeq, path: (string | number)[]): JsonValue {
    const result: JsonValue[] = [];
    for (const [index, item] of list.items.entries()) {
      path.push(index);
      result.push(this.read(item as Node | null, path, list.range?.[0] ?? 0).value);
      path.pop();
      if (this.#nodes > maximumNodes) break;
    }
    return result;
  }

  #scalar(scalar: Scalar, path: Path, start: number): JsonValue {
    const value = scalar.value;
    if (value === null || typeof value === 'boolean') return value;
    if (typeof value === 'number') {
      if (Number.isFinite(value)) return value === 0 ? 0 : value;
      this.#error(start, path, 'value', 'is no finite number: write a number');
      return null;
    }
    if (typeof value === 'string') {
      if (!/\p{Cs}/u.test(value)) return value;
      this.#error(
        start,
        path,
        'value',
        'has half of a surrogate pair, which is no Unicode text: remove it',
      );
      return null;
    }
    this.#error(
      start,
      path,
      'syntax',
      'is no text, number, true, false or null: write one of them',
    );
    return null;
  }

  #stop(offset: number, path: Path, code: ConfigErrorCode, message: string): Read {
    this.#error(offset, path, code, message);
    return { value: null, nodes: 1 };
  }

  #error(offset: number, path: Path, code: ConfigErrorCode, message: string): void {
    // A bound that is passed is passed by everything after it too; once is enough.
    if (code === 'too-large' && this.errors.some((error) => error.code === code)) return;
    this.errors.push({ code, ...this.#position(offset), path: formatPath(path), message });
  }

  locate(root: Node | null, path: Path, at: 'key' | 'value'): Position {
    let node: Node | null = root;
    let offset = root?.range?.[0] ?? 0;
    for (const [index, step] of path.entries()) {
      if (isAlias(node)) node = this.#targets.get(node) ?? null;
      const last = index === path.length - 1;
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && item.key.value === step);
        if (pair === undefined) break;
        const key = pair.key as Node;
        const value = pair.value as Node | null;
        node = value;
        const empty = value === null || (isScalar(value) && value.range?.[0] === value.range?.[1]);
        // A block map begins on a later line than its key, which is where people look.
        const useKey = empty || (last && at === 'key') || isBlock(value);
        offset = (useKey ? key.range?.[0] : value.range?.[0]) ?? offset;
      } else if (isSeq(node) && typeof step === 'number') {
        const item = node.items[step] as Node | undefined;
        if (item === undefined) break;
        node = item;
        offset = item.range?.[0] ?? offset;
      } else {
        break;
      }
    }
    return this.#position(offset);
  }
}

function isBlock(node: Node): boolean {
  return (isMap(node) || isSeq(node)) && node.flow !== true;
}

const syntaxSentences: Readonly<Record<string, string>> = {
  BAD_INDENT:
    'the indentation does not fit the lines around it: align this line with its neighbours, or close the quote or bracket that is still open',
  TAB_AS_INDENT: 'a tab is used for indentation: use spaces',
  MISSING_CHAR: 'a closing quote or bracket, a comma or a ":" is missing here: add it',
  BAD_SCALAR_START: 'text cannot begin with this character: put it between quotes',
  BAD_DQ_ESCAPE:
    'this escape is not known between double quotes: write \\\\ for a backslash, or use single quotes',
  BLOCK_AS_IMPLICIT_KEY:
    'a map cannot begin on the line of another key: move it to its own, deeper line, or put text with ": " between quotes',
  BLOCK_IN_FLOW:
    'lines with "- " or deeper keys cannot stand between brackets or braces: write { … } and [ … ] there',
  MULTILINE_IMPLICIT_KEY:
    'a key must end on its own line: add ":" and its value, or indent this line less',
  MULTIPLE_DOCS:
    'a second document begins here: write one document and remove the "---" or "..." line',
  NON_STRING_KEY: 'a key is not text: write it as plain text or between quotes',
  TAG_RESOLVE_FAILED: 'this tag is not read: remove it',
  BAD_DIRECTIVE: 'this directive is not read: remove the line that begins with "%"',
  BAD_ALIAS:
    'an anchor or alias needs a name: write &name or *name, or put the text between quotes',
  MULTIPLE_ANCHORS: 'a value has two anchors: keep one',
  MULTIPLE_TAGS: 'a value has two tags: remove them',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters: shorten it',
};

function syntaxMessage(code: string, detail: string): string {
  const known = syntaxSentences[code];
  if (known !== undefined) return known;
  const plain = detail.split('\n', 1)[0] ?? detail;
  return `this is no valid YAML (${escapeText(plain.slice(0, 160)).slice(1, -1)}): check the quotes, brackets and indentation here`;
}
