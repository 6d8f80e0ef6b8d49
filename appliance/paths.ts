/**
 * Where the project's own files are: examples, profiles, golden files, BPF objects.
 *
 * Compiled code lives in build/, data files do not, so nothing may be found relative
 * to the module that asks. Everybody starts from the folder that holds package.json.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findRoot(start: string): string {
  let folder = start;
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) {
      throw new Error(
        `No package.json in ${start} or any folder above it: install Weir as a whole, with its package.json.`,
      );
    }
    folder = parent;
  }
  return folder;
}

/** The folder that holds package.json: the checkout, or the place where the appliance is installed. */
export const projectRoot: string = findRoot(dirname(fileURLToPath(import.meta.url)));

/**
 * A compiled file, or a folder of them, by its path in the sources: `appliance/l7/worker/main.js`. In an
 * image modules are joined, so only programs have files of their own.
 */
export const compiled = (path: string): string => join(projectRoot, 'build', path);
