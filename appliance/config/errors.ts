/**
 * What can be wrong with a configuration, as data: where it is, what is wrong, what to
 * do about it.
 *
 * Invariant: `message` is a sentence for the administrator that names the fix; `code`
 * is a stable word for programs. Codes are never renamed.
 */

import { escapeText } from './words.js';

export type ConfigErrorCode =
  /** Not YAML, or YAML that Weir does not read (several documents, tags, merge keys). */
  | 'syntax'
  /** The text, its nesting or what its aliases expand to is over a bound. */
  | 'too-large'
  | 'duplicate-key'
  | 'unknown-key'
  /** A required key is not there. */
  | 'missing'
  /** Text where a number belongs, a list where a map belongs … */
  | 'type'
  /** The right type with a value that means nothing here. */
  | 'value'
  /** A number, list or text outside its bounds. */
  | 'range'
  /** A name that is defined nowhere. */
  | 'reference'
  /** Two parts of the document that contradict each other. */
  | 'conflict'
  /** Correct, but this build or this unit cannot execute it. */
  | 'unsupported'
  /** Warning: allowed, and probably not what was meant. */
  | 'unused';

export interface ConfigError {
  readonly code: ConfigErrorCode;
  /** Name of the file, when the reader was told. */
  readonly file?: string;
  /** From 1; absent when the document did not come from text. */
  readonly line?: number;
  /** From 1, in UTF-16 units. */
  readonly column?: number;
  /** `pools.web.members[2].port`; empty for the document itself. */
  readonly path: string;
  readonly message: string;
  /** The nearest valid word. */
  readonly suggestion?: string;
}

/** Steps from the document's root: keys of maps and indices of lists. */
export type Path = readonly (string | number)[];

/** `['pools', 'web', 'members', 2]` is `pools.web.members[2]`; odd keys come out as `["odd key"]`. */
export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${escapeText(step)}]`;
  }
  return text;
}

/** The steps of a path that `formatPath` made; null when the text is none. */
export function parsePath(text: string): Path | null {
  const path: (string | number)[] = [];
  let rest = text;
  while (rest !== '') {
    const match =
      /^\[([0-9]+)\]/.exec(rest) ??
      /^\[("(?:[^"\\]|\\.)*")\]/.exec(rest) ??
      /^\.?([A-Za-z0-9_][A-Za-z0-9_-]*)/.exec(rest);
    if (match === null) return null;
    const [whole, step = ''] = match;
    if (whole.startsWith('["')) path.push(JSON.parse(step) as string);
    else path.push(whole.startsWith('[') ? Number(step) : step);
    rest = rest.slice(whole.length);
  }
  return path;
}

/** One line: `FILE:LINE:COLUMN: PATH: MESSAGE (did you mean "WORD"?)`, leaving out what is not known. */
export function formatConfigError(error: ConfigError): string {
  const place = [error.file, error.line, error.line === undefined ? undefined : error.column]
    .filter((part) => part !== undefined)
    .join(':');
  const parts = [place, error.path, error.message].filter((part) => part !== '');
  const hint = error.suggestion === undefined ? '' : ` (did you mean "${error.suggestion}"?)`;
  return parts.join(': ') + hint;
}
