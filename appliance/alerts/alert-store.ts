/**
 * What is not delivered yet and which alarms were told, in an SQLite file of its own, so that neither
 * is lost with the daemon.
 *
 * Invariant: a store that cannot be written or read (a full disk is what an alert may be about) hinders
 * no delivery; it is told once, until it works again.
 */
import { existsSync, renameSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import type { Migration } from '../config/migrations.js';
import { StoreError, type StoreErrorCode } from '../config/store-errors.js';
import { openStoreFile } from '../config/store-file.js';
import { waitingSchema, type Waiting } from './alert.js';
import { toldSchema, type Told, type ToldStore } from './told.js';
import type { WaitingStore } from './queue.js';

const migrations: readonly Migration[] = [
  {
    version: 1,
    title: 'alerts that wait, and alarms that were told',
    migrate(database) {
      database.exec(`
        CREATE TABLE alerts_waiting (
          number  INTEGER PRIMARY KEY,                      -- the order in which they came
          target  TEXT NOT NULL,
          id      TEXT NOT NULL,
          content TEXT NOT NULL,                            -- JSON
          UNIQUE (target, id)
        ) STRICT;
        CREATE TABLE alarms_told (
          target  TEXT NOT NULL,
          key     TEXT NOT NULL,
          content TEXT NOT NULL,                            -- JSON
          PRIMARY KEY (target, key)
        ) STRICT;
      `);
    },
  },
];

const UNUSABLE: ReadonlySet<StoreErrorCode> = new Set(['corrupt', 'not-a-store', 'newer']);

export interface Kept {
  readonly waiting: Waiting[];
  readonly told: Told[];
}

export class AlertStore implements WaitingStore, ToldStore {
  readonly #database: Database;
  readonly #onError: (error: unknown) => void;
  #well = true;

  private constructor(database: Database, onError: (error: unknown) => void) {
    this.#database = database;
    this.#onError = onError;
  }

  /**
   * A file that cannot be used any more is put aside: alerts are no reason not to balance.
   *
   * @throws StoreError
   */
  static open(
    path: string,
    options: { readonly busyTimeout?: number; readonly onError: (error: unknown) => void },
  ): AlertStore {
    const { busyTimeout = 5000, onError } = options;
    const open = (): AlertStore =>
      new AlertStore(openStoreFile(path, { migrations, now: Date.now, busyTimeout }), onError);
    try {
      return open();
    } catch (error) {
      if (!(error instanceof StoreError) || !UNUSABLE.has(error.code)) throw error;
      onError(error);
      for (const end of ['', '-wal', '-shm']) {
        if (existsSync(path + end)) renameSync(path + end, `${path}.unusable${end}`);
      }
      return open();
    }
  }

  /** All that was kept, by target. What an earlier version wrote and this one cannot read is left out. */
  load(): Map<string, Kept> {
    const kept = new Map<string, Kept>();
    const of = (target: string): Kept => {
      const found = kept.get(target) ?? { waiting: [], told: [] };
      kept.set(target, found);
      return found;
    };
    this.#safely(() => {
      const rows = (sql: string): { target: string; content: string }[] =>
        this.#database.prepare<[], { target: string; content: string }>(sql).all();
      const waiting = 'SELECT target, content FROM alerts_waiting ORDER BY number';
      for (const { target, content } of rows(waiting)) {
        const one = waitingSchema.safeParse(JSON.parse(content));
        if (one.success) of(target).waiting.push(one.data);
      }
      for (const { target, content } of rows('SELECT target, content FROM alarms_told')) {
        const one = toldSchema.safeParse(JSON.parse(content));
        if (one.success) of(target).told.push(one.data);
      }
    });
    return kept;
  }

  /** All that is written within is written at once. */
  together(work: () => void): void {
    let begun = false;
    let failure: { readonly error: unknown } | null = null as { readonly error: unknown } | null;
    this.#safely(() => {
      this.#database.transaction(() => {
        begun = true;
        try {
          work();
        } catch (error) {
          failure = { error };
        }
      })();
    });
    if (!begun) work();
    if (failure !== null) throw failure.error;
  }

  put(target: string, waiting: Waiting): void {
    this.#write(
      'INSERT INTO alerts_waiting (target, id, content) VALUES (?, ?, ?) ON CONFLICT (target, id) DO UPDATE SET content = excluded.content',
      ...([target, waiting.id, JSON.stringify(waiting)] as const),
    );
  }

  remove(target: string, id: string): void {
    this.#write('DELETE FROM alerts_waiting WHERE target = ? AND id = ?', target, id);
  }

  putTold(target: string, key: string, told: Told): void {
    this.#write(
      'INSERT OR REPLACE INTO alarms_told (target, key, content) VALUES (?, ?, ?)',
      ...([target, key, JSON.stringify(told)] as const),
    );
  }

  removeTold(target: string, key: string): void {
    this.#write('DELETE FROM alarms_told WHERE target = ? AND key = ?', target, key);
  }

  /** A target that is no more. */
  forget(target: string): void {
    this.#write('DELETE FROM alerts_waiting WHERE target = ?', target);
    this.#write('DELETE FROM alarms_told WHERE target = ?', target);
  }

  close(): void {
    this.#database.close();
  }

  #write(sql: string, ...values: readonly string[]): void {
    this.#safely(() => this.#database.prepare(sql).run(...values));
  }

  #safely(work: () => void): void {
    try {
      work();
      this.#well = true;
    } catch (error) {
      if (this.#well) this.#onError(error);
      this.#well = false;
    }
  }
}
