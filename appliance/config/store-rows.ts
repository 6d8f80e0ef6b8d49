/**
 * A revision as a row of the store, and the digests that make a flipped bit an error.
 *
 * Invariant: a row carries the digest of its document and a seal over every other column,
 * so no part of the history can change unnoticed.
 */
import { canonicalJson, sha256 } from './canonical.js';

export interface SummaryRow {
  readonly number: number;
  readonly time: number;
  readonly author: string;
  readonly comment: string;
  readonly changes: string;
  readonly digest: string;
  readonly seal: string;
}

export interface Row extends SummaryRow {
  readonly document: string;
}

export function sealed(row: Omit<Row, 'seal'>): Row {
  return { ...row, seal: sealOf(row) };
}

/** Over every column, so that no part of the history can change unnoticed. */
function sealOf(row: Omit<Row, 'seal'>): string {
  const { number, time, author, comment, digest } = row;
  return sha256(canonicalJson([number, time, author, comment, digest, sha256(row.changes)]));
}

/** A sentence when a row is not what was once written; null when it is. */
export function findDamage(row: Row): string | null {
  if (sha256(row.document) !== row.digest)
    return `the document of revision ${row.number} does not match its digest.`;
  if (sealOf(row) !== row.seal)
    return `the record of revision ${row.number} does not match its seal.`;
  return null;
}
