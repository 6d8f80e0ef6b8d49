/**
 * A copy of the databases for each slot, made when the unit is about to leave it: what that slot's
 * version can read, should the other one migrate them.
 *
 * When a slot starts and finds a database of a newer layout than its own copy, it takes the copy and puts
 * the newer one aside. A database whose layout did not change is kept, with whatever was
 * committed since, so that going back loses nothing that need not be lost.
 *
 * Invariant: a copy appears when it is whole; a database is replaced by one rename, after what is
 * replaced was kept.
 */
import Database from 'better-sqlite3';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { flushPath } from '../../whole-file.js';
import type { Slot } from './environment.js';

const FOLDER = 'slots';
const SUFFIXES = ['-wal', '-shm', '-journal'];

/** Of the databases in `stateDir`, for the version in `slot`. Throws what SQLite or the disk throws. */
export function copyStores(stateDir: string, slot: Slot): void {
  const folder = join(stateDir, FOLDER);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `${slot}.new`);
  const target = join(folder, slot);
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  for (const name of databases(stateDir)) copy(join(stateDir, name), join(draft, name));
  flushPath(draft);
  // A folder cannot be renamed over one that has files: for a moment there is only the draft,
  // which is complete and is found by `restoreStores`.
  rmSync(target, { recursive: true, force: true });
  renameSync(draft, target);
  flushPath(folder);
}

/** What is in the slot now will not run again: its copies would be restored to what comes. */
export function dropStores(stateDir: string, slot: Slot): void {
  const folder = join(stateDir, FOLDER);
  for (const name of [slot, `${slot}.new`])
    rmSync(join(folder, name), { recursive: true, force: true });
}

/** What `restoreStores` did with a database. */
export interface Restored {
  readonly database: string;
  /** Where the newer one is kept. */
  readonly aside: string;
}

/** To be called before any database is opened. Throws what SQLite or the disk throws. */
export function restoreStores(stateDir: string, slot: Slot): Restored[] {
  const folder = join(stateDir, FOLDER);
  const target = join(folder, slot);
  const draft = `${target}.new`;
  if (!existsSync(target) && existsSync(draft)) renameSync(draft, target);
  if (!existsSync(target)) return [];
  const restored: Restored[] = [];
  for (const name of databases(target)) {
    const [own, present] = [join(target, name), join(stateDir, name)];
    if (!existsSync(present) || layoutOf(present) <= layoutOf(own)) continue;
    const aside = `${present}.layout-${layoutOf(present)}`;
    copy(present, aside);
    // Nothing of the newer one may be replayed into the older.
    absorbLog(present);
    const next = `${present}.older`;
    copy(own, next);
    renameSync(next, present);
    flushPath(stateDir);
    restored.push({ database: name, aside });
  }
  return restored;
}

function databases(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.db'))
    .sort();
}

/** PRAGMA user_version. */
function layoutOf(path: string): number {
  const database = new Database(path, { readonly: true, fileMustExist: true });
  try {
    return Number(database.pragma('user_version', { simple: true }));
  } finally {
    database.close();
  }
}

/** One statement over one snapshot, while the database is in use. */
function copy(from: string, to: string): void {
  const draft = `${to}.part`;
  rmSync(draft, { force: true });
  closeSync(openSync(draft, 'wx', 0o600));
  const database = new Database(from, { readonly: true, fileMustExist: true });
  try {
    database.prepare('VACUUM INTO ?').run(draft);
  } finally {
    database.close();
  }
  flushPath(draft);
  renameSync(draft, to);
}

function absorbLog(path: string): void {
  const database = new Database(path, { fileMustExist: true });
  try {
    database.pragma('journal_mode = DELETE');
  } finally {
    database.close();
  }
  for (const suffix of SUFFIXES) rmSync(`${path}${suffix}`, { force: true });
}
