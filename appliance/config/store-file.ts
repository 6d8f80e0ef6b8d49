/**
 * The store as a file: creating it, opening it safely, backing it up, migrating it.
 *
 * Invariant: a store that is damaged, foreign or from a newer Weir is never changed,
 * moved or deleted; opening it fails with a sentence that names the newest backup. A new
 * store appears under its name only when it is complete, so an empty file there can
 * only mean damage, never "nothing configured yet".
 */
import Database from 'better-sqlite3';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Migration } from './migrations.js';
import { StoreError, toStoreError } from './store-errors.js';

/** `PRAGMA application_id` of a store: "Weir" in ASCII. */
const applicationId = 0x57656972;
const privateMode = 0o600;

export interface StoreFileOptions {
  readonly migrations: readonly Migration[];
  readonly now: () => number;
  /** How long another writer is waited for, in milliseconds. */
  readonly busyTimeout: number;
}

/**
 * Opens the store at `path`, creates or migrates it when needed.
 *
 * @throws StoreError
 */
export function openStoreFile(path: string, options: StoreFileOptions): Database.Database {
  try {
    if (!existsSync(path)) createStoreFile(path, options.migrations);
    inspect(path, options);
    return openForWriting(path, options);
  } catch (error) {
    throw withBackupHint(toStoreError(error, path), path);
  }
}

function createStoreFile(path: string, migrations: readonly Migration[]): void {
  // A log without its database would be replayed into the new one.
  const log = `${path}-wal`;
  if (existsSync(log) && statSync(log).size > 0) {
    throw new StoreError(
      'corrupt',
      `The store ${path} is missing, but its log ${log} is there: restore the store, or move the log away to begin anew.`,
    );
  }
  const draft = `${path}.new`;
  removeDatabase(draft);
  try {
    closeSync(openSync(draft, 'wx', privateMode));
    const database = new Database(draft);
    try {
      database.pragma(`application_id = ${applicationId}`);
      database.pragma('foreign_keys = ON');
      for (const migration of migrations) runMigration(database, migration);
      database.pragma('journal_mode = WAL');
    } finally {
      database.close();
    }
    syncPath(draft);
    // Unlike a rename, a link never replaces a store that another process made meanwhile.
    linkSync(draft, path);
    removeDatabase(draft);
    syncPath(dirname(path));
  } catch (error) {
    removeDatabase(draft);
    throw error;
  }
}

/** Looks at a store without writing: not even the log is merged into a file that is then refused. */
function inspect(path: string, options: StoreFileOptions): void {
  if (statSync(path).size === 0) {
    throw new StoreError('corrupt', `The store ${path} is empty: it was cut off.`);
  }
  const database = new Database(path, {
    readonly: true,
    fileMustExist: true,
    timeout: options.busyTimeout,
  });
  try {
    const application = Number(database.pragma('application_id', { simple: true }));
    if (application !== applicationId) {
      throw new StoreError(
        'not-a-store',
        `${path} is a database, but not one of Weir: name another file.`,
      );
    }
    const version = storeVersion(database);
    const newest = options.migrations.at(-1)?.version ?? 0;
    if (version > newest) {
      throw new StoreError(
        'newer',
        `The store ${path} was written by a newer Weir (layout ${version}, this build knows ${newest}): install that version again, or restore a backup.`,
      );
    }
    const problems = quickCheck(database);
    if (problems.length > 0) {
      throw new StoreError('corrupt', `The store ${path} is damaged (${problems[0] ?? ''}).`);
    }
  } finally {
    database.close();
  }
}

function openForWriting(path: string, options: StoreFileOptions): Database.Database {
  const database = new Database(path, { fileMustExist: true, timeout: options.busyTimeout });
  try {
    chmodSync(path, privateMode);
    database.pragma('journal_mode = WAL');
    // In WAL mode SQLite's default, NORMAL, may lose the last commits at a power cut.
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    for (const migration of options.migrations) {
      if (migration.version <= storeVersion(database)) continue;
      backUp(database, path, options.now());
      runMigration(database, migration);
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function runMigration(database: Database.Database, migration: Migration): void {
  if (migration.version !== storeVersion(database) + 1) {
    throw new RangeError(
      `Migration ${migration.version} does not follow layout ${storeVersion(database)}.`,
    );
  }
  database
    .transaction(() => {
      migration.migrate(database);
      database.pragma(`user_version = ${migration.version}`);
    })
    .immediate();
}

export function storeVersion(database: Database.Database): number {
  return Number(database.pragma('user_version', { simple: true }));
}

/**
 * A complete copy beside the store, `FILE.backup-vLAYOUT-TIME`, while the store is in use.
 *
 * By VACUUM INTO and not by SQLite's backup API: it is one synchronous statement over one
 * read snapshot, so no writer can come between the copy and the migration that follows,
 * and it leaves a file without a log of its own. The copy gets its name when it is whole
 * and on disk.
 *
 * @returns the path of the copy
 */
export function backUp(database: Database.Database, path: string, time: number): string {
  const stamp = new Date(time).toISOString().replace(/[:.]/g, '-');
  const stem = `${path}.backup-v${storeVersion(database)}-${stamp}`;
  let target = stem;
  for (let copy = 2; existsSync(target); copy++) target = `${stem}-${copy}`;
  const draft = `${path}.backup.part`;
  rmSync(draft, { force: true });
  try {
    // SQLite fills an existing empty file, which keeps the mode that it was made with.
    closeSync(openSync(draft, 'wx', privateMode));
    database.prepare('VACUUM INTO ?').run(draft);
    const copy = new Database(draft, { readonly: true });
    try {
      const problems = quickCheck(copy);
      if (problems.length > 0)
        throw new StoreError(
          'corrupt',
          `The backup of ${path} is damaged (${problems[0] ?? ''}): check the disk.`,
        );
    } finally {
      copy.close();
    }
    syncPath(draft);
    renameSync(draft, target);
    syncPath(dirname(target));
    return target;
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** The newest backup of a store, by its time; null when there is none. */
export function newestBackup(path: string): string | null {
  const folder = dirname(path);
  const start = `${basename(path)}.backup-`;
  const found = readdirSync(folder)
    .filter((file) => file.startsWith(start))
    .map((file) => ({ file, time: statSync(join(folder, file)).mtimeMs }))
    .sort((a, b) => b.time - a.time);
  return found[0] === undefined ? null : join(folder, found[0].file);
}

/** What SQLite finds wrong with the file; empty when nothing is. */
export function quickCheck(database: Database.Database): string[] {
  const rows = database.pragma('quick_check(5)') as { readonly quick_check: string }[];
  return rows.map((row) => row.quick_check).filter((text) => text !== 'ok');
}

function withBackupHint(error: StoreError, path: string): StoreError {
  if (error.code !== 'corrupt' && error.code !== 'not-a-store') return error;
  let backup: string | null;
  try {
    backup = newestBackup(path);
  } catch (cause) {
    // The hint is a courtesy: a folder that cannot be listed must not hide the real error.
    return new StoreError(error.code, `${error.message} Its folder cannot be listed.`, { cause });
  }
  const hint =
    backup === null ? 'There is no backup beside it.' : `The newest backup is ${backup}.`;
  return new StoreError(error.code, `${error.message} ${hint} Nothing was changed.`, {
    cause: error.cause ?? error,
  });
}

/** What was written to a file, or the names in a folder, is on disk afterwards. */
function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal'])
    rmSync(`${path}${suffix}`, { force: true });
}
