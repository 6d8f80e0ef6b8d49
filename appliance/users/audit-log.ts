/**
 * Who did what, and from where, in an SQLite file of its own that survives restarts: each act, whether
 * it was done or refused, and each login.
 *
 * Invariant: at most MOST_ACTS, the oldest give way; no password, key or body of a request is in it.
 */
import type { Database } from 'better-sqlite3';
import type { AuditRow } from '../api/user-contract.js';
import type { Migration } from '../config/migrations.js';
import { openStoreFile } from '../config/store-file.js';

export const MOST_ACTS = 100_000;
/** Looked at once for so many, since counting costs. */
const PRUNE_EVERY = 100;
const LONGEST = 500;

const migrations: readonly Migration[] = [
  {
    version: 1,
    title: 'who did what',
    migrate(database) {
      database.exec(`
        CREATE TABLE acts (
          number INTEGER PRIMARY KEY AUTOINCREMENT,
          time   INTEGER NOT NULL,                          -- ms since 1970
          author TEXT NOT NULL,
          role   TEXT,
          origin TEXT NOT NULL,
          act    TEXT NOT NULL,
          object TEXT NOT NULL,
          status INTEGER NOT NULL,
          reason TEXT NOT NULL
        ) STRICT;
      `);
    },
  },
];

export class AuditLog {
  readonly #database: Database;
  #untilPrune = 1;

  private constructor(database: Database) {
    this.#database = database;
  }

  /** @throws StoreError */
  static open(path: string, options: { readonly busyTimeout?: number } = {}): AuditLog {
    const { busyTimeout = 5000 } = options;
    return new AuditLog(openStoreFile(path, { migrations, now: Date.now, busyTimeout }));
  }

  append(act: Omit<AuditRow, 'number' | 'time'>, now: number): void {
    this.#database
      .prepare(
        `INSERT INTO acts (time, author, role, origin, act, object, status, reason)
           VALUES (@now, @author, @role, @from, @act, @object, @status, @reason)`,
      )
      .run({
        ...act,
        now,
        object: act.object.slice(0, LONGEST),
        reason: act.reason.slice(0, LONGEST),
      });
    if (--this.#untilPrune > 0) return;
    this.#untilPrune = PRUNE_EVERY;
    this.#database
      .prepare('DELETE FROM acts WHERE number <= (SELECT max(number) FROM acts) - ?')
      .run(MOST_ACTS);
  }

  /** Newest first; `before` leaves out that number and all newer ones. */
  latest({ limit, before }: { readonly limit: number; readonly before?: number }): AuditRow[] {
    return this.#database
      .prepare<[number, number], AuditRow>(
        `SELECT number, time, author, role, origin AS "from", act, object, status, reason
           FROM acts WHERE number < ? ORDER BY number DESC LIMIT ?`,
      )
      .all(before ?? Number.MAX_SAFE_INTEGER, limit);
  }

  close(): void {
    this.#database.close();
  }
}
