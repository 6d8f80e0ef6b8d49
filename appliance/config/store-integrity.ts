/** The whole store examined: what SQLite finds, and every revision against its digests. */
import type { Database } from 'better-sqlite3';
import { findDamage, type Row } from './store-rows.js';

export interface IntegrityReport {
  readonly ok: boolean;
  /** Sentences; empty when all is well. */
  readonly problems: readonly string[];
  readonly revisions: number;
}

/** Slow in proportion to the history. */
export function checkIntegrity(database: Database): IntegrityReport {
  const problems: string[] = [];
  for (const row of database.pragma('integrity_check(20)') as {
    readonly integrity_check: string;
  }[]) {
    if (row.integrity_check !== 'ok') problems.push(row.integrity_check);
  }
  for (const row of database.pragma('foreign_key_check') as { readonly table: string }[]) {
    problems.push(`A row of ${row.table} refers to a revision that does not exist.`);
  }
  let expected = 1;
  for (const row of database
    .prepare<[], Row>('SELECT * FROM revisions ORDER BY number')
    .iterate()) {
    if (row.number !== expected) problems.push(`Revision ${expected} is missing.`);
    expected = row.number + 1;
    const problem = findDamage(row);
    if (problem !== null) problems.push(problem);
  }
  return { ok: problems.length === 0, problems, revisions: expected - 1 };
}
