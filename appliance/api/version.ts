/**
 * The version of this build, from its package.json: written down once.
 *
 * Invariant: it is found by name upwards from this file, wherever the build lies.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

let known: string | undefined;

export function version(): string {
  known ??= find(dirname(fileURLToPath(import.meta.url)));
  return known;
}

function find(folder: string): string {
  const file = join(folder, 'package.json');
  if (existsSync(file)) {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (
      typeof value === 'object' &&
      value !== null &&
      'name' in value &&
      value.name === 'weir' &&
      'version' in value &&
      typeof value.version === 'string'
    ) {
      return value.version;
    }
  }
  const parent = dirname(folder);
  if (parent === folder) {
    throw new Error(
      'The installation is damaged: there is no package.json of weir above its code.',
    );
  }
  return find(parent);
}
