/**
 * How the store's layout came to be: small functions, each from one version to the
 * next, kept for ever so that any old store can be opened.
 *
 * Invariant: a migration that was released is never edited; the next change is a new
 * entry at the end. Each runs in one transaction together with its version number.
 */
import type { Database } from 'better-sqlite3';

export interface Migration {
  /** The version (`PRAGMA user_version`) that the store has afterwards: 1, 2, 3 … without gaps. */
  readonly version: number;
  /** What it does, for the log. */
  readonly title: string;
  readonly migrate: (database: Database) => void;
}

export const migrations: readonly Migration[] = [
  {
    version: 1,
    title: 'revisions, and the one that waits to be confirmed',
    migrate(database) {
      database.exec(`
        CREATE TABLE revisions (
          number   INTEGER PRIMARY KEY CHECK (number > 0),
          time     INTEGER NOT NULL,                        -- ms since 1970
          author   TEXT NOT NULL,
          comment  TEXT NOT NULL,
          document TEXT NOT NULL,                           -- canonical JSON (RFC 8785)
          changes  TEXT NOT NULL,                           -- canonical JSON
          digest   TEXT NOT NULL CHECK (length(digest) = 64), -- SHA-256 of document
          seal     TEXT NOT NULL CHECK (length(seal) = 64)    -- SHA-256 over all the other columns
        ) STRICT;
        CREATE TABLE pending_confirm (
          id       INTEGER PRIMARY KEY CHECK (id = 1),      -- at most one row
          revision INTEGER NOT NULL REFERENCES revisions (number),
          previous INTEGER NOT NULL REFERENCES revisions (number),
          deadline INTEGER NOT NULL,                        -- ms since 1970
          CHECK (previous < revision)
        ) STRICT;
      `);
    },
  },
  {
    version: 2,
    title: 'the log that a pair of units has in common, and the revision that is current',
    migrate(database) {
      database.exec(`
        CREATE TABLE shared (
          id         TEXT PRIMARY KEY CHECK (length(id) = 64), -- SHA-256 of all that it says
          pair       TEXT NOT NULL,                            -- key of the pair whose log it is in
          parent     TEXT NOT NULL,                            -- the entry before, or the key of the pair
          height     INTEGER NOT NULL,
          weight     INTEGER NOT NULL,
          kind       TEXT NOT NULL CHECK (kind IN ('commit', 'confirm', 'rollback')),
          unit       TEXT NOT NULL,
          author     TEXT NOT NULL,
          time       INTEGER NOT NULL,                         -- ms since 1970
          comment    TEXT NOT NULL,
          confirm_by INTEGER,                                  -- ms since 1970
          digest     TEXT NOT NULL CHECK (length(digest) = 64),
          revision   INTEGER NOT NULL REFERENCES revisions (number), -- has its document
          main       INTEGER NOT NULL CHECK (main IN (0, 1)),  -- on the way to the head, or superseded
          told       INTEGER NOT NULL CHECK (told IN (0, 1))   -- 0: superseded, and the other unit may not have it
        ) STRICT;
        CREATE INDEX shared_height ON shared (pair, main, height);
        CREATE INDEX shared_revision ON shared (revision);
        CREATE TABLE shared_state (
          id        INTEGER PRIMARY KEY CHECK (id = 1),
          pair      TEXT NOT NULL,
          head      TEXT REFERENCES shared (id),
          peer_head TEXT REFERENCES shared (id),               -- the newest that the other unit is known to have
          current   INTEGER REFERENCES revisions (number)      -- which is executed
        ) STRICT;
      `);
    },
  },
];
