/**
 * The files of access lists: read when first asked for, and again when they change (the kernel
 * tells of changes in their folders; a look every few seconds finds what it does not tell, such
 * as a folder that was made anew).
 *
 * Invariant: a file that cannot be taken changes nothing: its last good content stays, also over
 * a restart, from a copy in the state directory; `problems` says what is wrong until it is not.
 */
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  watch,
  writeFileSync,
  type FSWatcher,
} from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FEED_MAX_BYTES, readFeed, type Feed, type FeedResult } from './access-feed.js';

export interface AccessFilesOptions {
  /** Where copies of good content are kept; made when absent. */
  readonly directory: string;
  /** The content of a file changed, or what is wrong with it. */
  readonly onChange: (path: string) => void;
  readonly pollMs?: number;
}

export interface FileState {
  readonly feed: Feed;
  /** When the content was read, milliseconds since 1970; null when it never was. */
  readonly loaded: number | null;
  /** Sentence that names file and line; null when all is well. */
  readonly problem: string | null;
  readonly problemSince: number | null;
}

interface Kept extends FileState {
  /** Of what was last looked at, good or not. */
  readonly stamp: string;
}

const EMPTY: Feed = { keys: [], expires: new Map() };
const POLL_MS = 5000;
/** Several changes in a row are one: whoever writes a file writes it in parts. */
const SETTLE_MS = 100;

export class AccessFiles {
  readonly #options: AccessFilesOptions;
  readonly #files = new Map<string, Kept>();
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #settling = new Map<string, NodeJS.Timeout>();
  readonly #reading = new Map<string, Promise<void>>();
  readonly #poll: NodeJS.Timeout;
  #closed = false;

  constructor(options: AccessFilesOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    this.#poll = setInterval(() => {
      for (const path of this.#files.keys()) void this.#check(path);
      this.#watchFolders();
    }, options.pollMs ?? POLL_MS);
    this.#poll.unref();
  }

  /** The content of a file now; read at once when it was never asked for. */
  state(path: string): FileState {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const stamp = stampOf(() => statSync(path));
    const result = run(() => readNow(path));
    let kept = this.#take(path, stamp, result);
    if (!result.ok) {
      const copy = run(() => readNow(this.#copyOf(path)));
      if (copy.ok) kept = { ...kept, feed: copy.feed };
    }
    this.#files.set(path, kept);
    this.#watchFolders();
    return kept;
  }

  /** Forgets the files that are not among these. */
  keepOnly(paths: ReadonlySet<string>): void {
    for (const path of this.#files.keys()) if (!paths.has(path)) this.#files.delete(path);
    this.#watchFolders();
  }

  /** Reads every file again, changed or not. */
  async reload(): Promise<void> {
    await Promise.all(Array.from(this.#files.keys(), (path) => this.#read(path)));
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#poll);
    for (const timer of this.#settling.values()) clearTimeout(timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watchFolders(): void {
    const wanted = new Set(Array.from(this.#files.keys(), dirname));
    for (const [folder, watcher] of this.#watchers) {
      if (wanted.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of wanted) {
      if (this.#closed || this.#watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, (_event, name) => {
          for (const path of this.#files.keys()) {
            if (dirname(path) === folder && (name === null || basename(path) === name)) {
              this.#settle(path);
            }
          }
        });
        const forget = (): void => {
          watcher.close();
          this.#watchers.delete(folder);
        };
        watcher.on('error', forget);
        this.#watchers.set(folder, watcher);
      } catch {
        // The folder is not there: the file's own problem says so, and the poll looks again.
      }
    }
  }

  #settle(path: string): void {
    clearTimeout(this.#settling.get(path));
    const timer = setTimeout(() => {
      this.#settling.delete(path);
      void this.#check(path);
    }, SETTLE_MS);
    timer.unref();
    this.#settling.set(path, timer);
  }

  async #check(path: string): Promise<void> {
    const stamp = await stat(path).then(stampOfStats, (error: unknown) => messageOf(error));
    if (this.#files.get(path)?.stamp !== stamp) await this.#read(path);
  }

  /** One reading of a file at a time; whoever asks meanwhile waits for a reading of its own. */
  async #read(path: string): Promise<void> {
    const before = this.#reading.get(path) ?? Promise.resolve();
    const reading = before.then(() => this.#readOnce(path));
    this.#reading.set(path, reading);
    await reading;
    if (this.#reading.get(path) === reading) this.#reading.delete(path);
  }

  async #readOnce(path: string): Promise<void> {
    if (this.#closed) return;
    let stamp: string;
    let result: FeedResult;
    try {
      const stats = await stat(path);
      stamp = stampOfStats(stats);
      refuseSize(stats);
      const steps = readFeed(await readFile(path));
      let step = steps.next();
      while (step.done !== true) {
        await nextTurn();
        step = steps.next();
      }
      result = step.value;
    } catch (error) {
      stamp = messageOf(error);
      result = { ok: false, line: 0, message: stamp };
    }
    const before = this.#files.get(path);
    if (before === undefined) return;
    const kept = this.#take(path, stamp, result);
    this.#files.set(path, kept);
    if (kept.feed !== before.feed || kept.problem !== before.problem) this.#options.onChange(path);
  }

  #take(path: string, stamp: string, result: FeedResult): Kept {
    const before = this.#files.get(path);
    if (!result.ok) {
      const where = result.line === 0 ? path : `${path}, line ${result.line}`;
      const problem = `${where}: ${result.message}`;
      return {
        feed: before?.feed ?? EMPTY,
        loaded: before?.loaded ?? null,
        problem,
        problemSince: before?.problemSince ?? Date.now(),
        stamp,
      };
    }
    const same = before !== undefined && sameFeed(before.feed, result.feed);
    const kept = { loaded: Date.now(), problem: null, problemSince: null, stamp };
    if (same) return { ...kept, feed: before.feed };
    this.#keepCopy(path);
    return { ...kept, feed: result.feed };
  }

  #copyOf(path: string): string {
    const name = createHash('sha256').update(path).digest('hex').slice(0, 32);
    return join(this.#options.directory, name);
  }

  #keepCopy(path: string): void {
    const copy = this.#copyOf(path);
    try {
      writeFileSync(`${copy}.part`, readFileSync(path), { mode: 0o600 });
      renameSync(`${copy}.part`, copy);
    } catch {
      // Without a copy a restart while the file is broken begins with an empty list; the alarm
      // about the file tells of it then. A full disk has an alarm of its own.
    }
  }
}

function readNow(path: string): FeedResult {
  refuseSize(statSync(path));
  const steps = readFeed(readFileSync(path));
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Before the file is read: a device or a pipe would never end. */
function refuseSize(stats: { readonly size: number; isFile(): boolean }): void {
  if (!stats.isFile()) throw new Error('it is no regular file');
  if (stats.size > FEED_MAX_BYTES) {
    throw new Error(`the file has ${stats.size} bytes, at most ${FEED_MAX_BYTES} are read`);
  }
}

function run(read: () => FeedResult): FeedResult {
  try {
    return read();
  } catch (error) {
    return { ok: false, line: 0, message: messageOf(error) };
  }
}

function stampOf(look: () => Parameters<typeof stampOfStats>[0]): string {
  try {
    return stampOfStats(look());
  } catch (error) {
    return messageOf(error);
  }
}

function stampOfStats(stats: { mtimeMs: number; size: number; ino: number }): string {
  return `${stats.mtimeMs} ${stats.size} ${stats.ino}`;
}

function messageOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'it may not be read';
  return error instanceof Error ? error.message : String(error);
}

function sameFeed(a: Feed, b: Feed): boolean {
  return (
    a.keys.length === b.keys.length &&
    a.expires.size === b.expires.size &&
    a.keys.every((key, index) => key === b.keys[index]) &&
    [...a.expires].every(([index, time]) => b.expires.get(index) === time)
  );
}
