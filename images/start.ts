/**
 * How a box starts a program of joined modules (join.ts): V8 takes its bytecode from a file that was made
 * with the image (v8.dev/blog/code-caching), instead of reading megabytes of source first. A file that is
 * of another Node or of other options is of no use, and costs nothing but the time that it saves.
 *
 * Invariants:
 * - Source and code are written together and never changed: V8 compares no more than the length.
 * - This file imports nothing but Node's own modules, and is CommonJS in an image.
 */
import { isAscii } from 'node:buffer';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Script } from 'node:vm';

interface Module {
  exports: unknown;
}
type Require = (id: string) => unknown;
type Body = (
  exports: unknown,
  require: Require,
  module: Module,
  file: string,
  folder: string,
) => void;

/** Beside each file of joined modules. */
const CODE = '.code';
const scripts = new Map<string, Script>();
const modules = new Map<string, Module>();

/** What a file of joined modules exports. Throws what the modules throw. */
export function load(file: string): unknown {
  const known = modules.get(file);
  if (known !== undefined) return known.exports;
  const bytes = readFileSync(file);
  // Most are ASCII, which is read fastest so, and takes half the memory.
  const source = bytes.toString(isAscii(bytes) ? 'latin1' : 'utf8');
  const made = existsSync(file + CODE) ? { cachedData: readFileSync(file + CODE) } : {};
  const script = new Script(
    `(function (exports, require, module, __filename, __dirname) {${source}\n})`,
    { filename: file, ...made },
  );
  const module: Module = { exports: {} };
  scripts.set(file, script);
  modules.set(file, module);
  const folder = dirname(file);
  const others = createRequire(file);
  const require = (id: string): unknown =>
    id.startsWith('.') ? load(join(folder, id)) : others(id);
  try {
    (script.runInThisContext() as Body)(module.exports, require, module, file, folder);
  } catch (error) {
    // Whoever asks again is not given half of it.
    modules.delete(file);
    throw error;
  }
  return module.exports;
}

/** Whether the code of each file that was loaded came from the file beside it. */
export function taken(): ReadonlyMap<string, boolean> {
  return new Map(
    [...scripts].map(([file, { cachedDataRejected }]) => [file, cachedDataRejected === false]),
  );
}

/** Makes the code of these files and of all that they load. The options of Node must be those of later. */
export function compile(files: readonly string[]): void {
  for (const file of files) load(file);
  for (const [file, script] of scripts) writeFileSync(file + CODE, script.createCachedData());
}
