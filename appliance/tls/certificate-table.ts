/**
 * The certificate store as a file of SQLite: chains, encrypted keys, which expiries were told, and what
 * goes on with authorities: accounts, and failures that are to be tried again.
 *
 * It is a file of its own beside that of the revisions: the configuration, its backups and its
 * exports then hold no key, not even an encrypted one, and damage to the one does not hinder the other.
 *
 * Invariant: a row's key is encrypted (machine-key.ts). What is removed is overwritten (secure_delete).
 */
import type { Database } from 'better-sqlite3';
import type { Migration } from '../config/migrations.js';
import { openStoreFile } from '../config/store-file.js';

export const CERTIFICATES_FILE = 'certificates.db';

/** A certificate, an authority's, or a request whose key waits for its certificate. */
export const certificateKinds = ['certificate', 'authority', 'request'] as const;
export type CertificateKind = (typeof certificateKinds)[number];

export const certificateSources = ['imported', 'self-signed', 'ca', 'acme'] as const;
export type CertificateSource = (typeof certificateSources)[number];

export interface CertificateRow {
  readonly name: string;
  readonly kind: CertificateKind;
  /** DER, each with its length in four bytes before it; of a request the request itself. */
  readonly chain: Buffer;
  readonly key: Buffer | null;
  readonly source: CertificateSource;
  /** Milliseconds since 1970. */
  readonly changed: number;
  readonly author: string;
  readonly generation: number;
}

const migrations: readonly Migration[] = [
  {
    version: 1,
    title: 'certificates, requests, and the expiries that were told',
    migrate(database) {
      database.exec(`
        CREATE TABLE certificates (
          name       TEXT NOT NULL,
          kind       TEXT NOT NULL CHECK (kind IN ('certificate', 'authority', 'request')),
          waiting    INTEGER NOT NULL CHECK (waiting = (kind = 'request')),
          chain      BLOB NOT NULL,
          key        BLOB,                                  -- PKCS#8, encrypted
          source     TEXT NOT NULL,
          changed    INTEGER NOT NULL,                      -- ms since 1970
          author     TEXT NOT NULL,
          generation INTEGER NOT NULL,
          PRIMARY KEY (name, waiting)                       -- a request beside what it will replace
        ) STRICT;
        CREATE TABLE generations (
          id INTEGER PRIMARY KEY AUTOINCREMENT              -- never the same twice
        ) STRICT;
        CREATE TABLE told (
          fingerprint TEXT PRIMARY KEY,                     -- of the certificate whose expiry was told
          days        INTEGER NOT NULL                      -- the least that was told; 0: it has expired
        ) STRICT;
      `);
    },
  },
  {
    version: 2,
    title: 'accounts at authorities, and what is to be tried again',
    migrate(database) {
      database.exec(`
        CREATE TABLE accounts (
          directory TEXT PRIMARY KEY,                       -- URL of the authority's ACME directory
          key       BLOB NOT NULL,                          -- PKCS#8, encrypted
          url       TEXT                                    -- of the account; null until it is known
        ) STRICT;
        CREATE TABLE retries (
          name     TEXT PRIMARY KEY,
          declared TEXT NOT NULL,                           -- as the document had it, canonical JSON
          failures INTEGER NOT NULL,                        -- in a row
          at       INTEGER NOT NULL,                        -- not before, ms since 1970
          message  TEXT NOT NULL
        ) STRICT;
      `);
    },
  },
  {
    version: 3,
    title: 'what was removed, and what the other unit of a pair does not have yet',
    migrate(database) {
      database.exec(`
        CREATE TABLE removed (
          name    TEXT NOT NULL,
          waiting INTEGER NOT NULL,
          at      INTEGER NOT NULL,                         -- ms since 1970
          PRIMARY KEY (name, waiting)
        ) STRICT;
        CREATE TABLE unshared (
          name    TEXT NOT NULL,
          waiting INTEGER NOT NULL,
          PRIMARY KEY (name, waiting)
        ) STRICT;
        INSERT INTO unshared SELECT name, waiting FROM certificates;
      `);
    },
  },
  {
    version: 4,
    title: 'versions of accounts, by which two units agree on one',
    migrate(database) {
      database.exec(`
        ALTER TABLE accounts ADD COLUMN changed INTEGER NOT NULL DEFAULT 0; -- ms since 1970
        ALTER TABLE accounts ADD COLUMN digest TEXT NOT NULL DEFAULT '';    -- names this content
      `);
    },
  },
];

/** Of what was removed, the latest are remembered. */
const MOST_REMOVED = 5000;

/** A certificate that could not be obtained, and when that is tried again. */
export interface Retry {
  /** As the document declared it, canonical JSON. */
  readonly declared: string;
  /** In a row. */
  readonly failures: number;
  /** Not before, milliseconds since 1970. */
  readonly at: number;
  /** What went wrong, a sentence. */
  readonly message: string;
}

/** An account at an authority; its key is encrypted. */
export interface AccountRow {
  readonly key: Buffer;
  readonly url: string | null;
  /** Milliseconds since 1970, and later than what it replaced; 0: not known. */
  readonly changed: number;
  /** Another one for each content; empty: not known. */
  readonly digest: string;
}

/** A certificate, or a request, that was removed. */
export interface Removed {
  readonly name: string;
  readonly waiting: boolean;
  /** Milliseconds since 1970. */
  readonly at: number;
}

type NewRow = Omit<CertificateRow, 'generation'>;

export class CertificateTable {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
    database.pragma('secure_delete = ON');
  }

  /** @throws StoreError */
  static open(path: string, options: { readonly busyTimeout?: number } = {}): CertificateTable {
    const { busyTimeout = 5000 } = options;
    return new CertificateTable(openStoreFile(path, { migrations, now: Date.now, busyTimeout }));
  }

  rows(): CertificateRow[] {
    return this.#database
      .prepare<[], CertificateRow>(
        'SELECT name, kind, chain, key, source, changed, author, generation FROM certificates ORDER BY name, waiting',
      )
      .all();
  }

  /**
   * Puts a row in the place of the one with its name; a certificate ends the request that led to it.
   * `shared`: it came from the other unit.
   */
  put(row: NewRow, endsRequest: boolean, shared = false): CertificateRow {
    return this.#database
      .transaction(() => {
        const { lastInsertRowid } = this.#database
          .prepare('INSERT INTO generations DEFAULT VALUES')
          .run();
        this.#database.prepare('DELETE FROM generations WHERE id < ?').run(lastInsertRowid);
        const whole: CertificateRow = { ...row, generation: Number(lastInsertRowid) };
        const waiting = row.kind === 'request' ? 1 : 0;
        if (endsRequest) this.remove(row.name, true, row.changed);
        this.#database
          .prepare('DELETE FROM removed WHERE name = ? AND waiting = ?')
          .run(row.name, waiting);
        this.setShared(row.name, waiting === 1, shared);
        this.#database
          .prepare(
            `INSERT OR REPLACE INTO certificates VALUES
             (@name, @kind, @waiting, @chain, @key, @source, @changed, @author, @generation)`,
          )
          .run({ ...whole, waiting });
        return whole;
      })
      .immediate();
  }

  /** Whether there was one. That there is none since `at` is remembered. */
  remove(name: string, waiting: boolean, at: number, shared = false): boolean {
    return this.#database.transaction(() => {
      const key = [name, waiting ? 1 : 0] as const;
      const { changes } = this.#database
        .prepare('DELETE FROM certificates WHERE name = ? AND waiting = ?')
        .run(...key);
      if (changes === 0 && !shared) return false;
      this.#database.prepare('INSERT OR REPLACE INTO removed VALUES (?, ?, ?)').run(...key, at);
      this.#database
        .prepare(
          'DELETE FROM removed WHERE rowid IN (SELECT rowid FROM removed ORDER BY at DESC LIMIT -1 OFFSET ?)',
        )
        .run(MOST_REMOVED);
      this.setShared(name, waiting, shared);
      return changes > 0;
    })();
  }

  removed(): Removed[] {
    return this.#database
      .prepare<[], { name: string; waiting: number; at: number }>('SELECT * FROM removed')
      .all()
      .map((row) => ({ ...row, waiting: row.waiting === 1 }));
  }

  setShared(name: string, waiting: boolean, shared: boolean): void {
    const statement = shared
      ? 'DELETE FROM unshared WHERE name = ? AND waiting = ?'
      : 'INSERT OR IGNORE INTO unshared VALUES (?, ?)';
    this.#database.prepare(statement).run(name, waiting ? 1 : 0);
  }

  forgetPair(): void {
    this.#database.exec(
      'BEGIN; DELETE FROM removed; INSERT OR IGNORE INTO unshared SELECT name, waiting FROM certificates; COMMIT',
    );
  }

  /** Whether the other unit has it, or has had it since the last change. */
  isShared(name: string, waiting: boolean): boolean {
    return (
      this.#database
        .prepare('SELECT 1 FROM unshared WHERE name = ? AND waiting = ?')
        .get(name, waiting ? 1 : 0) === undefined
    );
  }

  /** The least number of days that was told of a certificate; null for none. */
  told(fingerprint: string): number | null {
    const row = this.#database
      .prepare<[string], { days: number }>('SELECT days FROM told WHERE fingerprint = ?')
      .get(fingerprint);
    return row?.days ?? null;
  }

  tell(fingerprint: string, days: number): void {
    this.#database.prepare('INSERT OR REPLACE INTO told VALUES (?, ?)').run(fingerprint, days);
  }

  /** Forgets what was told of certificates that are no longer there. */
  forgetOthers(fingerprints: readonly string[]): void {
    this.#database
      .prepare('DELETE FROM told WHERE fingerprint NOT IN (SELECT value FROM json_each(?))')
      .run(JSON.stringify(fingerprints));
  }

  account(directory: string): AccountRow | undefined {
    return this.#database
      .prepare<[string], AccountRow>(
        'SELECT key, url, changed, digest FROM accounts WHERE directory = ?',
      )
      .get(directory);
  }

  /** Directories of the authorities that there are accounts at. */
  accounts(): string[] {
    return this.#database
      .prepare<[], { directory: string }>('SELECT directory FROM accounts ORDER BY directory')
      .all()
      .map(({ directory }) => directory);
  }

  putAccount(directory: string, { key, url, changed, digest }: AccountRow): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)')
      .run(directory, key, url, changed, digest);
  }

  removeAccount(directory: string): void {
    this.#database.prepare('DELETE FROM accounts WHERE directory = ?').run(directory);
  }

  retries(): Map<string, Retry> {
    const rows = this.#database
      .prepare<[], Retry & { name: string }>(
        'SELECT name, declared, failures, at, message FROM retries',
      )
      .all();
    return new Map(rows.map(({ name, ...retry }) => [name, retry]));
  }

  /** null: nothing is to be tried again. */
  setRetry(name: string, retry: Retry | null): void {
    if (retry === null) this.#database.prepare('DELETE FROM retries WHERE name = ?').run(name);
    else {
      this.#database
        .prepare(
          'INSERT OR REPLACE INTO retries VALUES (@name, @declared, @failures, @at, @message)',
        )
        .run({ name, ...retry });
    }
  }

  close(): void {
    this.#database.close();
  }
}

export function packChain(ders: readonly Buffer[]): Buffer {
  return Buffer.concat(
    ders.flatMap((der) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(der.length);
      return [length, der];
    }),
  );
}

/** @throws RangeError when it was not packed so */
export function unpackChain(packed: Buffer): Buffer[] {
  const ders: Buffer[] = [];
  for (let at = 0; at < packed.length;) {
    const length = packed.readUInt32BE(at);
    if (at + 4 + length > packed.length) throw new RangeError('a chain is cut off');
    ders.push(packed.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return ders;
}
