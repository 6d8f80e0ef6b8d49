/**
 * Files of prefixes: one a line, `PREFIX [expires=TIME]`, comments after "#" or ";", times as
 * RFC 3339. A byte order mark and Windows line ends are taken. Pure.
 *
 * Invariant: a file is taken whole or not at all, and its size is bounded before it is looked at;
 * the first error names its line.
 */
import { parsePrefixKey, type PrefixKey } from '../config/prefix-key.js';
import { parseTime } from '../config/time.js';
import { quote } from '../config/words.js';

export const FEED_MAX_BYTES = 32 * 1024 * 1024;
export const FEED_MAX_PREFIXES = 500_000;

export interface Feed {
  readonly keys: readonly PrefixKey[];
  /** Milliseconds since 1970 by index in `keys`, for those that expire. */
  readonly expires: ReadonlyMap<number, number>;
}

export type FeedResult =
  | { readonly ok: true; readonly feed: Feed }
  /** `line` from 1; 0 when it is about the file as a whole. */
  | { readonly ok: false; readonly line: number; readonly message: string };

const LINES_AT_ONCE = 5000;

/** Stops after every few thousand lines, so that whoever runs it can do something else meanwhile. */
export function* readFeed(bytes: Uint8Array): Generator<undefined, FeedResult, void> {
  if (bytes.length > FEED_MAX_BYTES) {
    return failed(0, `the file has ${bytes.length} bytes, at most ${FEED_MAX_BYTES} are read`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return failed(0, 'the file is not UTF-8 text');
  }
  const keys: PrefixKey[] = [];
  const expires = new Map<number, number>();
  let line = 0;
  for (let from = 0; from < text.length;) {
    const newline = text.indexOf('\n', from);
    const to = newline < 0 ? text.length : newline;
    line++;
    const problem = readLine(text.slice(from, to), keys, expires);
    if (problem !== null) return failed(line, problem);
    if (keys.length > FEED_MAX_PREFIXES) {
      return failed(
        line,
        `here is prefix ${keys.length}, and at most ${FEED_MAX_PREFIXES} are read`,
      );
    }
    from = to + 1;
    if (line % LINES_AT_ONCE === 0) yield;
  }
  return { ok: true, feed: { keys, expires } };
}

function readLine(line: string, keys: PrefixKey[], expires: Map<number, number>): string | null {
  const comment = line.search(/[#;]/);
  const words = (comment < 0 ? line : line.slice(0, comment)).trim();
  if (words === '') return null;
  const [prefix = '', ...options] = words.split(/[ \t]+/);
  const key = parsePrefixKey(prefix);
  if (!key.ok) return key.message;
  for (const option of options) {
    const time = /^expires=(.*)$/.exec(option)?.[1];
    if (time === undefined) {
      return `${quote(option)} is not known here: after a prefix there is only expires=TIME, or a comment after "#"`;
    }
    const at = parseTime(time);
    if (!at.ok) return at.message;
    expires.set(keys.length, at.value);
  }
  keys.push(key.value);
  return null;
}

function failed(line: number, message: string): FeedResult {
  return { ok: false, line, message };
}
