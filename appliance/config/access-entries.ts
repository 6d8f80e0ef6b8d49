/**
 * Temporary entries of access lists, made at the command line: a prefix, a verdict and the time
 * at which it ends. They are no part of the document and of no revision: whoever wants one to
 * stay writes it there. Kept in an SQLite file of their own, beside that of the revisions.
 *
 * Each has a version, the time of its last change, by which two units of a pair agree on what holds;
 * what was removed keeps its version until it would have ended anyway.
 *
 * Invariant: one entry for each prefix and service ('' stands for all), at most MAX_ENTRIES, and as
 * many that were removed.
 */
import type { Database } from 'better-sqlite3';
import type { Migration } from './migrations.js';
import { openStoreFile } from './store-file.js';

export const MAX_ENTRIES = 10_000;

export interface AccessEntry {
  /** Canonical text. */
  readonly prefix: string;
  readonly verdict: 'allow' | 'deny';
  /** Null: for every service. */
  readonly service: string | null;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly expires: number;
  readonly author: string;
  readonly comment: string;
}

const migrations: readonly Migration[] = [
  {
    version: 1,
    title: 'temporary entries of access lists',
    migrate(database) {
      database.exec(`
        CREATE TABLE access_entries (
          prefix  TEXT NOT NULL,
          service TEXT NOT NULL,                            -- '' for every service
          verdict TEXT NOT NULL CHECK (verdict IN ('allow', 'deny')),
          created INTEGER NOT NULL,                         -- ms since 1970
          expires INTEGER NOT NULL,
          author  TEXT NOT NULL,
          comment TEXT NOT NULL,
          PRIMARY KEY (prefix, service)
        ) STRICT;
      `);
    },
  },
  {
    version: 2,
    title: 'versions of temporary entries, and of those that were removed',
    migrate(database) {
      database.exec(`
        ALTER TABLE access_entries ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
        UPDATE access_entries SET changed = created;
        CREATE TABLE access_removed (
          prefix  TEXT NOT NULL,
          service TEXT NOT NULL,
          changed INTEGER NOT NULL,                         -- ms since 1970
          expires INTEGER NOT NULL,                         -- when nobody has it any more
          PRIMARY KEY (prefix, service)
        ) STRICT;
      `);
    },
  },
];

/** Where an entry stands. */
export interface AccessPlace {
  readonly prefix: string;
  /** Null: for every service. */
  readonly service: string | null;
}

export interface AccessVersion extends AccessPlace {
  /** Milliseconds since 1970, and later than what it replaced. */
  readonly changed: number;
  /** Null: it was removed. */
  readonly entry: AccessEntry | null;
}

const COLUMNS = 'prefix, service, verdict, created, expires, author, comment';

type Row = Omit<AccessEntry, 'service'> & { readonly service: string };

export class AccessEntries {
  readonly #database: Database;
  readonly #listeners = new Set<(place: AccessPlace) => void>();

  private constructor(database: Database) {
    this.#database = database;
  }

  /** @throws StoreError */
  static open(path: string, options: { readonly busyTimeout?: number } = {}): AccessEntries {
    const { busyTimeout = 5000 } = options;
    return new AccessEntries(openStoreFile(path, { migrations, now: Date.now, busyTimeout }));
  }

  /** The oldest first. */
  list(): AccessEntry[] {
    return this.#database
      .prepare<[], Row>(`SELECT ${COLUMNS} FROM access_entries ORDER BY created, prefix, service`)
      .all()
      .map(toEntry);
  }

  /**
   * Adds an entry or replaces the one of the same prefix and service; false when all places are taken.
   * `changed`: its version, of the other unit; left out: a new one.
   */
  put(entry: AccessEntry, changed = this.#next(entry, entry.created)): boolean {
    const kept = this.#database.transaction(() => {
      this.#clear(entry);
      const { count } = this.#database
        .prepare<[], { count: number }>('SELECT count(*) AS count FROM access_entries')
        .get() ?? { count: 0 };
      if (count >= MAX_ENTRIES) return false;
      this.#database
        .prepare(
          `INSERT INTO access_entries (${COLUMNS}, changed) VALUES
             (@prefix, @service, @verdict, @created, @expires, @author, @comment, @changed)`,
        )
        .run({ ...entry, service: entry.service ?? '', changed });
      return true;
    })();
    if (kept) this.#tell(entry);
    return kept;
  }

  /** Whether there was one. */
  remove(prefix: string, service: string | null, now = Date.now()): boolean {
    const place = { prefix, service };
    const known = this.version(place)?.entry ?? null;
    if (known === null) return false;
    this.takeRemoval(place, this.#next(place, now), known.expires);
    return true;
  }

  /** Keeps that it was removed until `expires`. */
  takeRemoval(place: AccessPlace, changed: number, expires: number): void {
    const { prefix, service } = place;
    this.#database.transaction(() => {
      this.#clear(place);
      this.#database
        .prepare('INSERT INTO access_removed VALUES (?, ?, ?, ?)')
        .run(prefix, service ?? '', changed, expires);
      this.#database
        .prepare(
          `DELETE FROM access_removed WHERE rowid IN
             (SELECT rowid FROM access_removed ORDER BY changed DESC LIMIT -1 OFFSET ?)`,
        )
        .run(MAX_ENTRIES);
    })();
    this.#tell(place);
  }

  /** What is known of a place; undefined: never anything, or too long ago. */
  version({ prefix, service }: AccessPlace): AccessVersion | undefined {
    const of = [prefix, service ?? ''] as const;
    const row = this.#database
      .prepare<[string, string], Row & { readonly changed: number }>(
        'SELECT * FROM access_entries WHERE prefix = ? AND service = ?',
      )
      .get(...of);
    if (row !== undefined) {
      const { changed, ...entry } = row;
      return { prefix, service, changed, entry: toEntry(entry) };
    }
    const removed = this.#database
      .prepare<[string, string], { readonly changed: number }>(
        'SELECT changed FROM access_removed WHERE prefix = ? AND service = ?',
      )
      .get(...of);
    return removed && { prefix, service, changed: removed.changed, entry: null };
  }

  /** Of all entries, and of those that were removed. */
  versions(): AccessVersion[] {
    const removed = this.#database
      .prepare<[], Pick<Row, 'prefix' | 'service'> & { readonly changed: number }>(
        'SELECT prefix, service, changed FROM access_removed',
      )
      .all()
      .map((row) => ({ ...row, service: row.service === '' ? null : row.service, entry: null }));
    const there = this.#database
      .prepare<[], Row & { readonly changed: number }>('SELECT * FROM access_entries')
      .all()
      .map(({ changed, ...row }) => {
        const entry = toEntry(row);
        const { prefix, service } = entry;
        return { prefix, service, changed, entry };
      });
    return [...there, ...removed];
  }

  /** Removes what has ended. */
  prune(now: number): void {
    this.#database.prepare('DELETE FROM access_entries WHERE expires <= ?').run(now);
    this.#database.prepare('DELETE FROM access_removed WHERE expires <= ?').run(now);
  }

  /** Hears of whatever is put or removed. Returns what ends that. */
  onChange(listener: (place: AccessPlace) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#database.close();
  }

  /** The version of a change at this time: later than what it replaces, whatever the clock says. */
  #next(place: AccessPlace, now: number): number {
    return Math.max(now, (this.version(place)?.changed ?? -1) + 1);
  }

  #clear({ prefix, service }: AccessPlace): void {
    for (const table of ['access_entries', 'access_removed']) {
      this.#database
        .prepare(`DELETE FROM ${table} WHERE prefix = ? AND service = ?`)
        .run(prefix, service ?? '');
    }
  }

  #tell({ prefix, service }: AccessPlace): void {
    for (const listener of [...this.#listeners]) listener({ prefix, service });
  }
}

function toEntry(row: Row): AccessEntry {
  return { ...row, service: row.service === '' ? null : row.service };
}
