/**
 * Temporary entries of access lists, made at the command line: a prefix, a verdict and the time
 * at which it ends. They are no part of the document and of no revision: whoever wants one to
 * stay writes it there. Kept in an SQLite file of their own, beside that of the revisions.
 *
 * Invariant: one entry for each prefix and service ('' stands for all), at most MAX_ENTRIES.
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
];

type Row = Omit<AccessEntry, 'service'> & { readonly service: string };

export class AccessEntries {
  readonly #database: Database;

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
      .prepare<[], Row>('SELECT * FROM access_entries ORDER BY created, prefix, service')
      .all()
      .map((row) => ({ ...row, service: row.service === '' ? null : row.service }));
  }

  /** Adds an entry or replaces the one of the same prefix and service; false when all places are taken. */
  put(entry: AccessEntry): boolean {
    return this.#database.transaction(() => {
      this.remove(entry.prefix, entry.service);
      const { count } = this.#database
        .prepare<[], { count: number }>('SELECT count(*) AS count FROM access_entries')
        .get() ?? { count: 0 };
      if (count >= MAX_ENTRIES) return false;
      this.#database
        .prepare(
          'INSERT INTO access_entries VALUES (@prefix, @service, @verdict, @created, @expires, @author, @comment)',
        )
        .run({ ...entry, service: entry.service ?? '' });
      return true;
    })();
  }

  /** Whether there was one. */
  remove(prefix: string, service: string | null): boolean {
    const { changes } = this.#database
      .prepare('DELETE FROM access_entries WHERE prefix = ? AND service = ?')
      .run(prefix, service ?? '');
    return changes > 0;
  }

  /** Removes what has ended. */
  prune(now: number): void {
    this.#database.prepare('DELETE FROM access_entries WHERE expires <= ?').run(now);
  }

  close(): void {
    this.#database.close();
  }
}
