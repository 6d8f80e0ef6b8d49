/**
 * What the two units of a pair have in common: the document without its `unit` section, and the log
 * of its changes. An entry of the log names the one before it and is named by a digest over all
 * that it says, so that equal names are equal histories.
 *
 * Invariant: of two logs of a pair `isBetter` prefers the same one on both units, and never one that
 * the other one continues.
 */
import { canonicalJson, sha256 } from './canonical.js';
import type { Document } from './schema.js';

export type SharedDocument = Omit<Document, 'unit'>;

/**
 * `commit`: somebody made a revision. `confirm`: somebody confirmed the entry before it. `rollback`:
 * nobody did in time; both units make the same entry of that, without asking one another.
 */
export const entryKinds = ['commit', 'confirm', 'rollback'] as const;
export type EntryKind = (typeof entryKinds)[number];

export interface EntryContent {
  /** The entry before; for the first one the key of the pair. */
  readonly parent: string;
  readonly kind: EntryKind;
  /** Where it was made. */
  readonly unit: string;
  readonly author: string;
  /** Milliseconds since 1970, by the clock of that unit. */
  readonly time: number;
  readonly comment: string;
  /** It is rolled back then unless it is confirmed, by the clock of that unit; null: it stays. */
  readonly confirmBy: number | null;
  /** Of the shared document that holds from here on: see `sharedDigest`. */
  readonly digest: string;
}

export interface Entry extends EntryContent {
  readonly id: string;
}

/** Where a log ends. */
export interface Standing {
  readonly id: string;
  /** Entries that somebody made. */
  readonly weight: number;
  /** All entries. */
  readonly height: number;
  readonly time: number;
}

export function sharedOf(document: Document): SharedDocument {
  const shared: Partial<Document> & SharedDocument = { ...document };
  delete shared.unit;
  return shared;
}

export function withUnit(shared: SharedDocument, unit: Document['unit']): Document {
  return { ...shared, unit };
}

export function sharedDigest(document: Document | SharedDocument): string {
  return sha256(canonicalJson({ ...document, unit: undefined }));
}

export function sealedEntry(content: EntryContent): Entry {
  return { ...content, id: entryId(content) };
}

export function entryId(entry: EntryContent): string {
  const { parent, kind, unit, author, time, comment, confirmBy, digest } = entry;
  return sha256(canonicalJson([parent, kind, unit, author, time, comment, confirmBy, digest]));
}

/** What both units write when nobody confirmed `pending` in time; `digest`: of what comes back. */
export function automaticRollback(pending: Entry, digest: string): Entry {
  return sealedEntry({
    parent: pending.id,
    kind: 'rollback',
    unit: '',
    author: 'weir',
    time: pending.confirmBy ?? pending.time,
    comment: '',
    confirmBy: null,
    digest,
  });
}

export function follow(before: Standing | null, { id, kind, time }: Entry): Standing {
  const { weight, height } = before ?? { weight: 0, height: 0 };
  return { id, weight: weight + (kind === 'rollback' ? 0 : 1), height: height + 1, time };
}

/**
 * Whether a pair goes on from `one` rather than from `other`: from the log in which people did more.
 * That needs no clock, and one side of a cut that was left alone never undoes work on the other. What
 * Weir did by itself counts only between logs that are equal in that; then the later one, and then
 * the name decide.
 */
export function isBetter(one: Standing | null, other: Standing | null): boolean {
  if (one === null || other === null) return one !== null;
  if (one.weight !== other.weight) return one.weight > other.weight;
  if (one.height !== other.height) return one.height > other.height;
  if (one.time !== other.time) return one.time > other.time;
  return one.id > other.id;
}
