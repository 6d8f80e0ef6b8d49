/**
 * The store: every revision of the configuration in one SQLite file.
 *
 * Each revision is the whole document with author, time, comment and what it changed. A
 * commit is one transaction (WAL, synchronous FULL): after a power cut at any instant
 * the newest revision is the last acknowledged one or the one being committed, whole.
 *
 * Invariant: rows of `revisions` are only ever added. The row that says "this revision
 * waits to be confirmed" is written in the same transaction as its revision. Every row
 * read is checked against its digests, so a flipped bit is an error and never a
 * configuration.
 */
import type { Database } from 'better-sqlite3';
import { canonicalJson, sha256 } from './canonical.js';
import { diffDocuments, type Change } from './changes.js';
import { migrations as allMigrations, type Migration } from './migrations.js';
import type { Document } from './schema.js';
import { SharedLog, type Recorded } from './shared-log.js';
import { StoreError, toStoreError } from './store-errors.js';
import { checkIntegrity, type IntegrityReport } from './store-integrity.js';
import { findDamage, sealed, type Row } from './store-rows.js';
import { backUp, newestBackup, openStoreFile } from './store-file.js';

export { StoreError, type StoreErrorCode } from './store-errors.js';
export type { IntegrityReport } from './store-integrity.js';

export interface RevisionSummary {
  /** 1, 2, 3 … without gaps. */
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly author: string;
  readonly comment: string;
  readonly changes: readonly Change[];
  /** SHA-256 of the document's canonical JSON, in hexadecimal: equal documents have equal digests. */
  readonly digest: string;
}

export interface Revision extends RevisionSummary {
  readonly document: Document;
}

/** A revision as text, with what a store says of it. */
export type PastRevision = Omit<Row, 'seal' | 'digest'>;

/** A revision that is rolled back at `deadline` unless it is confirmed. */
export interface PendingConfirm {
  readonly revision: number;
  /** The revision whose document comes back. */
  readonly previous: number;
  /** Milliseconds since 1970. */
  readonly deadline: number;
}

export interface Commit {
  readonly document: Document;
  readonly author: string;
  readonly comment: string;
  /** The newest revision that the author has seen (0: none); another one is a `conflict`. */
  readonly parent?: number | undefined;
  /** The revision must be confirmed until then (milliseconds since 1970). */
  readonly confirmBy?: number | undefined;
  /**
   * The revision to go back to when nobody confirms. Left out: that of the commit which is
   * still unconfirmed, if there is one, else the newest before this commit.
   */
  readonly pendingPrevious?: number | undefined;
  /** Of another unit, from 1 on: it becomes the history of a store that has none. */
  readonly history?: readonly PastRevision[] | undefined;
  /** The entry of the pair's log that this is; left out: a change of this unit alone. */
  readonly recorded?: Recorded | undefined;
}

export interface StoreOptions {
  readonly now?: () => number;
  readonly migrations?: readonly Migration[];
  /** How long another writer is waited for, in milliseconds. */
  readonly busyTimeout?: number;
}

const NOT_SUPERSEDED =
  "NOT EXISTS (SELECT 1 FROM shared WHERE revision = number AND main = 0 AND kind <> 'confirm')";

const INSERT = `INSERT INTO revisions (number, time, author, comment, document, changes, digest, seal)
  VALUES (@number, @time, @author, @comment, @document, @changes, @digest, @seal)`;

export class ConfigStore {
  readonly path: string;
  /** What the other unit of a pair has too. */
  readonly log: SharedLog;
  readonly #database: Database;
  readonly #now: () => number;
  #head: { readonly version: unknown; readonly revision: Revision | null } | null = null;

  private constructor(path: string, database: Database, now: () => number) {
    this.path = path;
    this.#database = database;
    this.#now = now;
    this.log = new SharedLog({
      database,
      write: (action) => this.#write(action),
      guard: (action) => this.#guard(action),
      head: () => this.head(),
      revision: (number) => this.revision(number),
      pendingConfirm: () => this.pendingConfirm(),
      insert: (revision) => this.#insert(revision),
    });
  }

  /**
   * Opens the store, creates it when the file does not exist, migrates it when it is older
   * (after a backup). The newest revision is read, so that damage shows now.
   *
   * @throws StoreError
   */
  static open(path: string, options: StoreOptions = {}): ConfigStore {
    const now = options.now ?? Date.now;
    const database = openStoreFile(path, {
      migrations: options.migrations ?? allMigrations,
      now,
      busyTimeout: options.busyTimeout ?? 5_000,
    });
    const store = new ConfigStore(path, database, now);
    try {
      store.head();
      const pending = store.pendingConfirm();
      if (pending !== null) store.revision(pending.previous);
    } catch (error) {
      database.close();
      throw error;
    }
    return store;
  }

  /**
   * The current revision, which is the newest one of those that are not superseded; null while
   * nothing was committed. Read and checked against its
   * digests once, and again whenever somebody else wrote to the file.
   */
  head(): Revision | null {
    return this.#guard(() => {
      const known = this.#head;
      const version = this.#dataVersion();
      if (known !== null && known.version === version) return known.revision;
      const row = this.#database
        .prepare<[], Row>(
          `SELECT * FROM revisions WHERE number = iif(EXISTS (SELECT 1 FROM shared_state),
           (SELECT current FROM shared_state), (SELECT max(number) FROM revisions))`,
        )
        .get();
      const revision = row === undefined ? null : this.#toRevision(row);
      this.#head = { version, revision };
      return revision;
    });
  }

  revision(number: number): Revision {
    return this.#guard(() => {
      const row = this.#database
        .prepare<[number], Row>('SELECT * FROM revisions WHERE number = ?')
        .get(number);
      if (row === undefined) {
        throw new StoreError(
          'no-such-revision',
          `There is no revision ${number}: see "weir history".`,
        );
      }
      return this.#toRevision(row);
    });
  }

  /** The newest first; `before` continues an earlier page; `valid` leaves out those that are superseded. */
  history(
    options: { readonly limit?: number; readonly before?: number; readonly valid?: boolean } = {},
  ): RevisionSummary[] {
    const valid = options.valid === true ? `AND ${NOT_SUPERSEDED}` : '';
    return this.#guard(() =>
      this.#database
        .prepare<[number, number], Row>(
          `SELECT * FROM revisions WHERE number < ? ${valid} ORDER BY number DESC LIMIT ?`,
        )
        .all(options.before ?? Number.MAX_SAFE_INTEGER, Math.max(0, options.limit ?? 50))
        .map((row) => this.#toSummary(row)),
    );
  }

  /** Revisions from this number on, at most `limit`, the oldest first. @throws StoreError when one is damaged */
  past(from: number, limit: number): PastRevision[] {
    return this.#guard(() =>
      this.#database
        .prepare<[number, number], Row>(
          'SELECT * FROM revisions WHERE number >= ? ORDER BY number LIMIT ?',
        )
        .all(from, limit)
        .map((row) => {
          this.#toSummary(row);
          const { number, time, author, comment, changes, document } = row;
          return { number, time, author, comment, changes, document };
        }),
    );
  }

  /**
   * Adds a revision. One transaction: it returns when the revision is on disk, or throws and
   * nothing has changed.
   *
   * @throws StoreError `conflict`, `unconfirmed`, `nothing-to-return-to`, `disk-full` …
   */
  commit(commit: Commit): Revision {
    return this.#writeHead(() => this.#commit(commit));
  }

  /** What `commit` would refuse whatever the document is. @throws StoreError */
  checkCommit({ parent, confirmBy }: Pick<Commit, 'parent' | 'confirmBy'>): void {
    const head = this.head();
    const pending = this.pendingConfirm();
    if (parent !== undefined && parent !== (head?.number ?? 0)) {
      throw new StoreError(
        'conflict',
        `The newest revision is ${head?.number ?? 'none'}, but this change was made from ${parent === 0 ? 'none' : parent}: look at "weir diff" and repeat it.`,
      );
    }
    if (pending !== null && confirmBy === undefined) {
      throw new StoreError(
        'unconfirmed',
        `Revision ${pending.revision} waits to be confirmed: run "weir confirm" or "weir rollback ${pending.previous}" first.`,
      );
    }
    if (confirmBy !== undefined && head === null) {
      throw new StoreError(
        'nothing-to-return-to',
        'There is no revision to go back to yet: apply the first one without --confirm.',
      );
    }
  }

  pendingConfirm(): PendingConfirm | null {
    return this.#guard(
      () =>
        this.#database
          .prepare<[], PendingConfirm>(
            'SELECT revision, previous, deadline FROM pending_confirm WHERE id = 1',
          )
          .get() ?? null,
    );
  }

  /** Keeps the revision that waits. @throws StoreError `not-pending` */
  confirm(revision: number, recorded?: Recorded): void {
    this.#write(() => {
      const pending = this.pendingConfirm();
      if (pending?.revision !== revision) {
        throw new StoreError(
          'not-pending',
          pending === null
            ? 'No revision waits to be confirmed: it was confirmed or rolled back already.'
            : `Revision ${pending.revision} waits to be confirmed, not ${revision}: name that one.`,
        );
      }
      this.#database.prepare('DELETE FROM pending_confirm').run();
      if (recorded !== undefined) this.log.append(recorded, revision);
    });
  }

  /**
   * Commits the document from before the unconfirmed revision as a new one.
   *
   * @param recorded left out, when both units wait: that nobody confirmed in time
   * @throws StoreError `not-pending`
   */
  rollbackPending(author: string, comment?: string, recorded?: Recorded): Revision {
    return this.#writeHead(() => {
      const pending = this.pendingConfirm();
      if (pending === null) {
        throw new StoreError(
          'not-pending',
          'No revision waits to be confirmed, so there is nothing to roll back.',
        );
      }
      const automatic = recorded === undefined ? this.log.rollbackEntry() : null;
      this.#database.prepare('DELETE FROM pending_confirm').run();
      return this.#commit({
        recorded: automatic === null ? recorded : { entry: automatic, peerHas: false },
        document: this.revision(pending.previous).document,
        author,
        comment:
          comment ||
          `Rolled back to revision ${pending.previous}: revision ${pending.revision} was not confirmed`,
      });
    });
  }

  /** A copy beside the store, made while it is in use. @returns its path */
  backup(): string {
    return this.#guard(() => backUp(this.#database, this.path, this.#now()));
  }

  /** The whole file, and every revision against its digests. Slow in proportion to the history. */
  integrityCheck(): IntegrityReport {
    return this.#guard(() => checkIntegrity(this.#database));
  }

  /** How this connection writes; `synchronous` 2 is FULL. */
  durability(): {
    readonly journal: string;
    readonly synchronous: number;
    readonly foreignKeys: boolean;
  } {
    return this.#guard(() => {
      const ask = (pragma: string): unknown => this.#database.pragma(pragma, { simple: true });
      return {
        journal: String(ask('journal_mode')),
        synchronous: Number(ask('synchronous')),
        foreignKeys: ask('foreign_keys') === 1,
      };
    });
  }

  close(): void {
    if (!this.#database.open) return;
    this.#guard(() => this.#database.close());
  }

  /** A write that makes a new newest revision, which is then known without reading it again. */
  #writeHead(action: () => Revision): Revision {
    const { version, revision } = this.#write(() => {
      const made = action();
      // Asked while nobody else can write: asked afterwards, it could be that of a later commit.
      return { version: this.#dataVersion(), revision: made };
    });
    this.#head = { version, revision };
    return revision;
  }

  /** Changes when another connection wrote to the file (SQLite, PRAGMA data_version). */
  #dataVersion(): unknown {
    return this.#database.pragma('data_version', { simple: true });
  }

  #commit(commit: Commit): Revision {
    const pending = this.pendingConfirm();
    this.checkCommit(commit);
    if (commit.history !== undefined) this.#takeHistory(commit.history);
    const head = this.head();
    const { author, comment, document, recorded } = commit;
    const time = recorded?.entry.time ?? this.#now();
    const made = this.#insert({ time, author, comment, document, base: head?.document ?? null });
    if (recorded === undefined) this.log.moved(made.number);
    else this.log.append(recorded, made.number);

    if (commit.confirmBy !== undefined) {
      const previous = commit.pendingPrevious ?? pending?.previous ?? head?.number ?? 0;
      this.revision(previous);
      this.#database
        .prepare(
          'INSERT OR REPLACE INTO pending_confirm (id, revision, previous, deadline) VALUES (1, ?, ?, ?)',
        )
        .run(made.number, previous, commit.confirmBy);
    }
    return made;
  }

  /** Adds a row, and nothing else. */
  #takeHistory(history: readonly PastRevision[]): void {
    if (this.head() !== null || history.some(({ number }, index) => number !== index + 1)) {
      throw new StoreError('conflict', 'A store that has revisions takes no other history.');
    }
    const insert = this.#database.prepare<Row>(INSERT);
    for (const row of history) insert.run(sealed({ ...row, digest: sha256(row.document) }));
    this.#head = null;
  }

  #insert(revision: {
    readonly time: number;
    readonly author: string;
    readonly comment: string;
    readonly document: Document;
    readonly base: Document | null;
  }): Revision {
    const document = canonicalJson(revision.document);
    const changes = diffDocuments(revision.base, revision.document);
    const last = this.#database
      .prepare<[], { readonly number: number | null }>(
        'SELECT max(number) AS number FROM revisions',
      )
      .get();
    const row = sealed({
      number: (last?.number ?? 0) + 1,
      time: revision.time,
      author: revision.author,
      comment: revision.comment,
      document,
      changes: canonicalJson(changes),
      digest: sha256(document),
    });
    this.#database.prepare<Row>(INSERT).run(row);
    const { number, time, author, comment, digest } = row;
    return {
      number,
      time,
      author,
      comment,
      digest,
      changes,
      document: JSON.parse(document) as Document,
    };
  }

  #toSummary(row: Row): RevisionSummary {
    const problem = findDamage(row);
    if (problem !== null) {
      const backup = newestBackup(this.path);
      throw new StoreError(
        'corrupt',
        `The store ${this.path} is damaged: ${problem} ${backup === null ? 'There is no backup beside it.' : `The newest backup is ${backup}.`}`,
      );
    }
    const { number, time, author, comment, digest } = row;
    return { number, time, author, comment, digest, changes: JSON.parse(row.changes) as Change[] };
  }

  #toRevision(row: Row): Revision {
    return { ...this.#toSummary(row), document: JSON.parse(row.document) as Document };
  }

  #write<T>(action: () => T): T {
    // Our own writes do not show in data_version; and a failed one may have read what it undid.
    return this.#guard(() => {
      try {
        return this.#database.transaction(action).immediate();
      } finally {
        this.#head = null;
      }
    });
  }

  #guard<T>(action: () => T): T {
    if (!this.#database.open)
      throw new StoreError('closed', `The store ${this.path} is closed: open it again.`);
    try {
      return action();
    } catch (error) {
      throw toStoreError(error, this.path);
    }
  }
}
