/**
 * What a daemon needs to know of the workers that an earlier one left: a file of the run directory,
 * readable and writable by root alone, replaced whole.
 *
 * Invariant: it names every worker before that worker gets anything to serve, so none is ever
 * forgotten, however the daemon ends.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { compiled } from '../../paths.js';
import type { MemorySizes } from '../worker/memory.js';
import { writeWhole } from '../../whole-file.js';

/** In the run directory. */
export const L7_STATE = 'l7.json';

const rows = z.array(z.tuple([z.string(), z.number().int().nonnegative()]));
const registry = z.object({ owned: rows, freed: rows, next: z.number().int().positive() });
const state = z.object({
  boot: z.string(),
  layout: z.string(),
  /** Of the last snapshot. */
  number: z.number().int().nonnegative(),
  workers: z.array(
    z.object({
      pid: z.number().int().positive(),
      began: z.string(),
      /** -1: it has memory of another layout. */
      region: z.number().int().min(-1),
      since: z.number(),
    }),
  ),
  /** Which memory is that of all workers. */
  shared: z.number().nullable(),
  rows: registry,
  logs: registry,
  /** Members that monitors had found down. */
  down: z.array(z.string()),
});

export type TierState = z.infer<typeof state>;

/** Null: there is none, or none that makes sense. Throws when it is not the daemon's own. */
export function readState(path: string): TierState | null {
  let text: string;
  try {
    const { uid, mode } = statSync(path);
    if (uid !== process.geteuid?.() || (mode & 0o022) !== 0) {
      throw new Error(`others may write to ${path}: remove it`);
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const found = state.safeParse(JSON.parse(text));
    return found.success ? found.data : null;
  } catch {
    return null; // no JSON: cut off by a machine that lost its power, whose workers are gone too
  }
}

export function writeState(path: string, now: TierState): void {
  writeWhole(path, JSON.stringify(now));
}

const l7 = compiled('appliance/l7');
const layoutFolders = ['balance', 'limits', 'telemetry'];
/** Where modules are joined: it names those that it loads by what is in them. */
const program = join('worker', 'main.js');

function layoutFiles(): string[] {
  const files = layoutFolders.flatMap((folder) =>
    readdirSync(join(l7, folder))
      .filter((name) => name.endsWith('.js'))
      .sort()
      .map((name) => join(folder, name)),
  );
  return [...files, join('tls', 'session-table.js'), join('worker', 'memory.js')];
}

/** Names how memory is laid out: equal only where the code that lays it out is, and the sizes. */
export function layoutOf(sizes: MemorySizes): string {
  const hash = createHash('sha256');
  for (const file of existsSync(join(l7, 'balance')) ? layoutFiles() : [program]) {
    hash.update(file).update(readFileSync(join(l7, file)));
  }
  return hash.update(JSON.stringify(sizes)).digest('hex');
}
