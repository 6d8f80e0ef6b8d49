/**
 * History on the disk: an SQLite file of its own with a row for each archive, written over in place, so
 * its size follows from how many services there are and not from time.
 *
 * Invariant: no failure of the file gets out, since history is no reason not to balance. What is damaged
 * is put aside and begins anew; what cannot be written is tried again later; both are told.
 */
import { existsSync, renameSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import { HISTORY_SPANS, type HistorySpan } from '../../api/history-contract.js';
import type { Migration } from '../../config/migrations.js';
import { StoreError, type StoreErrorCode, toStoreError } from '../../config/store-errors.js';
import { openStoreFile } from '../../config/store-file.js';
import { Archive } from './archive.js';
import { type History, kindOf } from './history.js';
import { Series, type SeriesKind } from './series.js';

const migrations: readonly Migration[] = [
  {
    version: 1,
    title: 'archives of the history',
    migrate(database) {
      database.exec(`
        CREATE TABLE archives (
          series   TEXT NOT NULL,
          span     TEXT NOT NULL,
          shape    TEXT NOT NULL,                           -- step, slots, measures
          newest   INTEGER NOT NULL,
          open     BLOB NOT NULL,                           -- doubles
          content  BLOB NOT NULL,                           -- floats
          seen     REAL NOT NULL,
          PRIMARY KEY (series, span)
        ) STRICT;
      `);
    },
  },
];

const UNUSABLE: ReadonlySet<StoreErrorCode> = new Set(['corrupt', 'not-a-store', 'newer']);

export interface HistoryStoreOptions {
  readonly busyTimeout?: number;
  /** The file was damaged, and history begins anew. */
  readonly onDamage: (sentence: string) => void;
  /** Once, until it can be written again. */
  readonly onError: (error: unknown) => void;
}

interface Row {
  readonly series: string;
  readonly span: string;
  readonly shape: string;
  readonly newest: number;
  readonly open: Buffer;
  readonly content: Buffer;
  readonly seen: number;
}

export class HistoryStore {
  readonly #path: string;
  readonly #options: HistoryStoreOptions;
  #database: Database | null = null;
  #well = true;
  #closed = false;

  constructor(path: string, options: HistoryStoreOptions) {
    this.#path = path;
    this.#options = options;
    this.#open();
  }

  /** Puts into `history` what was kept. */
  load(history: History): void {
    const found = this.#try((database) => {
      const kept = new Map<string, { seen: number; archives: Map<HistorySpan, Archive> }>();
      const rows = database.prepare<[], Row>('SELECT * FROM archives').iterate();
      for (const row of rows) {
        const span = HISTORY_SPANS.find((one) => one === row.span);
        const archive = span === undefined ? null : archiveOf(row, span);
        if (span === undefined || archive === null) continue;
        const one = kept.get(row.series) ?? { seen: 0, archives: new Map() };
        one.archives.set(span, archive);
        one.seen = Math.max(one.seen, row.seen);
        kept.set(row.series, one);
      }
      return kept;
    });
    for (const [name, { seen, archives }] of found ?? []) {
      const series = new Series(kindOf(name), archives);
      series.seen = seen;
      history.restore(name, series);
    }
  }

  /** Whether it was written. */
  save(history: History, names: readonly string[]): boolean {
    const done = this.#try((database) => {
      const put = database.prepare<[string, string, string, number, Buffer, Buffer, number]>(
        'INSERT OR REPLACE INTO archives (series, span, shape, newest, open, content, seen) VALUES (?, ?, ?, ?, ?, ?, ?)',
      );
      database.transaction(() => {
        for (const name of names) {
          const series = history.get(name);
          if (series === undefined) continue;
          for (const span of HISTORY_SPANS) {
            const { newest, open, values } = series.state(span);
            const shape = shapeOf(series.kind, span);
            put.run(name, span, shape, newest, octets(open), octets(values), series.seen);
          }
        }
      })();
      return true;
    });
    return done === true;
  }

  forget(names: readonly string[]): void {
    this.#try((database) => {
      const remove = database.prepare<[string]>('DELETE FROM archives WHERE series = ?');
      database.transaction(() => {
        for (const name of names) remove.run(name);
      })();
    });
  }

  close(): void {
    this.#closed = true;
    this.#let();
  }

  #open(): void {
    const { busyTimeout = 5000 } = this.#options;
    const open = (): Database => {
      const database = openStoreFile(this.#path, { migrations, now: Date.now, busyTimeout });
      // What a loss of power takes is ten minutes at most; waiting for the disk is not worth that.
      database.pragma('synchronous = NORMAL');
      return database;
    };
    try {
      this.#database = open();
    } catch (error) {
      this.#failed(error);
    }
  }

  #try<T>(work: (database: Database) => T): T | null {
    if (this.#closed) return null;
    if (this.#database === null) this.#open();
    if (this.#database === null) return null;
    try {
      const value = work(this.#database);
      this.#well = true;
      return value;
    } catch (error) {
      this.#failed(toStoreError(error, this.#path));
      return null;
    }
  }

  #failed(error: unknown): void {
    if (error instanceof StoreError && UNUSABLE.has(error.code)) {
      this.#let();
      try {
        for (const end of ['', '-wal', '-shm']) {
          const path = this.#path + end;
          if (existsSync(path)) renameSync(path, `${this.#path}.unusable${end}`);
        }
        this.#options.onDamage(
          `the history of traffic begins anew: ${error.message} The old file is ${this.#path}.unusable.`,
        );
        return;
      } catch (cannot) {
        this.#tell(cannot);
        return;
      }
    }
    this.#tell(error);
  }

  #tell(error: unknown): void {
    if (this.#well) this.#options.onError(error);
    this.#well = false;
  }

  #let(): void {
    const database = this.#database;
    this.#database = null;
    try {
      database?.close();
    } catch (error) {
      this.#tell(error);
    }
  }
}

function shapeOf({ measures, shapes }: SeriesKind, span: HistorySpan): string {
  const { stepMs, slots } = shapes[span];
  return `${stepMs} ${slots} ${measures.join(' ')}`;
}

/** Null for one of another version, or that makes no sense. */
function archiveOf(row: Row, span: HistorySpan): Archive | null {
  const kind = kindOf(row.series);
  if (row.shape !== shapeOf(kind, span)) return null;
  if (row.open.length % 8 !== 0 || row.content.length % 4 !== 0) return null;
  // Copied, because a typed array begins at a whole multiple of its elements.
  const open = new Float64Array(Uint8Array.from(row.open).buffer);
  const values = new Float32Array(Uint8Array.from(row.content).buffer);
  return Archive.restore(kind.shapes[span], kind.measures.length, {
    ...{ newest: row.newest, open, values },
  });
}

function octets({ buffer, byteOffset, byteLength }: Float64Array | Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
