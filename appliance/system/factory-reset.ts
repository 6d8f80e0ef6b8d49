/**
 * Makes a unit a new box: services ended, what it kept erased.
 *
 * A file that says so is written first, and removed last. While it is there, each start of the daemon
 * begins with the rest of the work, so a reset that was interrupted at any moment is finished by the next.
 *
 * Invariant: nothing outside of the state and the run directory is erased but files of access logs.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import type { DaemonOptions } from '../api/daemon-options.js';
import type { Document } from '../config/schema.js';
import { flushPath, writeWhole } from '../whole-file.js';

const MARKER = 'factory-reset';
/** Held by whoever erases. */
const LOCK = 'lock';

const markerSchema = z.strictObject({ logs: z.array(z.string().refine(isAbsolute)).max(100_000) });

/** Full paths of the access logs that a document names. */
export function accessLogsOf(document: Document | null): string[] {
  const files = Object.values(document?.services ?? {}).flatMap(
    (service) => service['access-log']?.file ?? [],
  );
  return [...new Set(files)];
}

/** `logs`: absolute paths of logs that are erased too, with those that they were rotated to. */
export function markReset(stateDir: string, logs: readonly string[]): void {
  writeWhole(join(stateDir, MARKER), `${JSON.stringify({ logs })}\n`, { flush: true });
}

export function resetPending(stateDir: string): boolean {
  return existsSync(join(stateDir, MARKER));
}

/**
 * Erases, if that was asked for. Whoever calls it has ended what serves, and holds the lock of the state
 * directory. Returns whether it was asked for.
 */
export function finishReset({
  stateDir,
  runDir,
}: Pick<DaemonOptions, 'stateDir' | 'runDir'>): boolean {
  if (!resetPending(stateDir)) return false;
  const marker = join(stateDir, MARKER);
  const { logs } = markerSchema.parse(JSON.parse(readFileSync(marker, 'utf8')));
  for (const log of logs) eraseLog(log);
  erase(runDir, []);
  erase(stateDir, [MARKER, LOCK]);
  flushPath(stateDir);
  rmSync(marker);
  flushPath(stateDir);
  return true;
}

function erase(folder: string, but: readonly string[]): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (!but.includes(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** The file and what it was rotated to: `FILE.1`, `FILE.2.gz`. */
function eraseLog(path: string): void {
  const folder = dirname(path);
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const rest = name.startsWith(basename(path)) ? name.slice(basename(path).length) : null;
    if (rest !== null && /^(\.\d+)?(\.gz)?$/.test(rest)) rmSync(join(folder, name));
  }
}
