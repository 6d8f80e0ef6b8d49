/**
 * Users and tokens in an SQLite file of their own, `users.db`: no part of the document, of its history
 * or of an export. All of it is held in memory too, since each request asks for it.
 *
 * Invariant: a password is here as its hash, a token as its SHA-256. What was removed leaves its name
 * and the time, so that it does not come back from the other unit of a pair.
 */
import { createHash } from 'node:crypto';
import type { Database } from 'better-sqlite3';
import { z } from 'zod';
import { ROLES } from '../api/user-contract.js';
import type { Migration } from '../config/migrations.js';
import { openStoreFile } from '../config/store-file.js';
import { isHash } from './password.js';

/** Of each kind, those that were removed among them. */
export const MOST_ACCOUNTS = 1000;

const time = z.int().min(0);
export const userSchema = z.strictObject({
  role: z.enum(ROLES),
  disabled: z.boolean(),
  created: time,
  passwordChanged: time,
  hash: z.string().refine(isHash),
});
export const tokenSchema = z.strictObject({
  role: z.enum(ROLES),
  created: time,
  expires: time.nullable(),
  author: z.string().max(256),
  /** SHA-256 of the secret, hexadecimal. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
});
export type StoredUser = z.output<typeof userSchema>;
export type StoredToken = z.output<typeof tokenSchema>;

interface Accounts {
  readonly user: StoredUser;
  readonly token: StoredToken;
}
export type AccountKind = keyof Accounts;
const schemas: { readonly [K in AccountKind]: z.ZodType<Accounts[K]> } = {
  user: userSchema,
  token: tokenSchema,
};

export interface Versioned<T> {
  readonly name: string;
  /** Milliseconds since 1970, and later than what it replaced. */
  readonly changed: number;
  /** Null: removed. */
  readonly value: T | null;
}

export function isAccountName(name: string): boolean {
  return /^[a-z][a-z0-9._-]{0,31}$/.test(name);
}

const migrations: readonly Migration[] = [
  {
    version: 1,
    title: 'users and tokens',
    migrate(database) {
      database.exec(`
        CREATE TABLE accounts (
          kind    TEXT NOT NULL CHECK (kind IN ('user', 'token')),
          name    TEXT NOT NULL,
          changed INTEGER NOT NULL,                         -- ms since 1970
          value   TEXT,                                     -- JSON; null: removed
          PRIMARY KEY (kind, name)
        ) STRICT;
        CREATE TABLE seen (
          kind TEXT NOT NULL CHECK (kind IN ('user', 'token')),
          name TEXT NOT NULL,
          time INTEGER NOT NULL,                            -- last login or use on this unit
          PRIMARY KEY (kind, name)
        ) STRICT;
      `);
    },
  },
];

type Tables = { readonly [K in AccountKind]: Map<string, Versioned<Accounts[K]>> };

export class UserStore {
  readonly #database: Database;
  readonly #tables: Tables = { user: new Map(), token: new Map() };
  readonly #listeners = new Set<(kind: AccountKind, name: string) => void>();

  private constructor(database: Database) {
    this.#database = database;
    for (const kind of ['user', 'token'] as const) this.#load(kind);
  }

  /** @throws StoreError; Error when something in it is damaged */
  static open(path: string, options: { readonly busyTimeout?: number } = {}): UserStore {
    const { busyTimeout = 5000 } = options;
    const database = openStoreFile(path, { migrations, now: Date.now, busyTimeout });
    try {
      return new UserStore(database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Those that are there, by name. */
  list<K extends AccountKind>(kind: K): (Accounts[K] & { readonly name: string })[] {
    return this.versions(kind)
      .flatMap(({ name, value }) => (value === null ? [] : [{ ...value, name }]))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get<K extends AccountKind>(kind: K, name: string): Accounts[K] | null {
    return this.#tables[kind].get(name)?.value ?? null;
  }

  version<K extends AccountKind>(kind: K, name: string): Versioned<Accounts[K]> | undefined {
    return this.#tables[kind].get(name);
  }

  versions<K extends AccountKind>(kind: K): Versioned<Accounts[K]>[] {
    return [...this.#tables[kind].values()];
  }

  /**
   * Null removes. `changed`: its version, of the other unit; left out: a new one.
   * @throws Error, a sentence, when all places are taken
   */
  put<K extends AccountKind>(
    kind: K,
    name: string,
    value: Accounts[K] | null,
    changed = Math.max(Date.now(), (this.version(kind, name)?.changed ?? -1) + 1),
  ): void {
    const table = this.#tables[kind];
    if (!table.has(name) && table.size >= MOST_ACCOUNTS) this.#makeRoom(kind);
    this.#database
      .prepare(
        `INSERT INTO accounts VALUES (@kind, @name, @changed, @value)
           ON CONFLICT DO UPDATE SET changed = @changed, value = @value`,
      )
      .run({ kind, name, changed, value: value === null ? null : JSON.stringify(value) });
    table.set(name, { name, changed, value });
    for (const listener of [...this.#listeners]) listener(kind, name);
  }

  /**
   * Makes all of this kind older than any that the other unit of a new pair has: of two of one name that unit's
   * counts. Nobody hears of it, since nothing has other content.
   */
  giveWay(kind: AccountKind): void {
    this.#database.prepare('UPDATE accounts SET changed = 0 WHERE kind = ?').run(kind);
    this.#load(kind);
  }

  seen(kind: AccountKind, name: string): number | null {
    const row = this.#database
      .prepare<[string, string], { readonly time: number }>(
        'SELECT time FROM seen WHERE kind = ? AND name = ?',
      )
      .get(kind, name);
    return row?.time ?? null;
  }

  see(kind: AccountKind, name: string, now: number): void {
    this.#database
      .prepare('INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET time = excluded.time')
      .run(kind, name, now);
  }

  /** Hears of whatever is put or removed. Returns what ends that. */
  onChange(listener: (kind: AccountKind, name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#database.close();
  }

  #load<K extends AccountKind>(kind: K): void {
    const rows = this.#database
      .prepare<[string], { name: string; changed: number; value: string | null }>(
        'SELECT name, changed, value FROM accounts WHERE kind = ?',
      )
      .all(kind);
    for (const { name, changed, value } of rows) {
      const parsed = value === null ? null : schemas[kind].safeParse(JSON.parse(value));
      if (parsed?.success === false) {
        throw new Error(
          `The ${kind} ${name} in users.db is damaged: restore a backup of the file.`,
        );
      }
      this.#tables[kind].set(name, { name, changed, value: parsed?.data ?? null });
    }
  }

  /** What was removed longest ago gives way. */
  #makeRoom(kind: AccountKind): void {
    const [oldest] = this.versions(kind)
      .filter(({ value }) => value === null)
      .sort((a, b) => a.changed - b.changed);
    if (oldest === undefined) {
      throw new Error(`There are ${MOST_ACCOUNTS} of them, which is the most.`);
    }
    this.#database
      .prepare('DELETE FROM accounts WHERE kind = ? AND name = ?')
      .run(kind, oldest.name);
    this.#tables[kind].delete(oldest.name);
  }
}

/** Of the content: what two units compare, and what a session's user must still have. */
export function contentDigest(value: StoredUser | StoredToken): string {
  const keys = Object.keys(value).sort();
  return createHash('sha256').update(JSON.stringify(value, keys)).digest('hex');
}
