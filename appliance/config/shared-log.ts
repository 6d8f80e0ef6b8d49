/**
 * The log that both units of a pair have (config/shared.ts), beside the revisions of this one.
 *
 * Invariant: entries are only ever added, and each leads to a revision that holds its document.
 * What changes is which of them are on the way to the head (`main`), and which revision is current:
 * one step that happens whole. An entry whose name does not match what it says is an error.
 */
import type { Database } from 'better-sqlite3';
import { canonicalJson } from './canonical.js';
import type { Document } from './schema.js';
import {
  automaticRollback,
  entryId,
  follow,
  sealedEntry,
  sharedDigest,
  withUnit,
  type Entry,
  type EntryContent,
  type SharedDocument,
  type Standing,
} from './shared.js';
import { StoreError } from './store-errors.js';
import type { PendingConfirm, Revision } from './store.js';

export interface StoredEntry extends Entry, Standing {
  /** Of this unit; has its document. */
  readonly revision: number;
  /** On the way to the head; else superseded, or still being taken over. */
  readonly main: boolean;
}

interface EntryRow extends Omit<StoredEntry, 'main' | 'confirmBy'> {
  readonly main: 0 | 1;
  readonly confirm_by: number | null;
}

/** An entry as it comes from the other unit; no document: it has that of the entry before. */
export interface Delivered {
  readonly entry: Entry;
  readonly document: SharedDocument | null;
}

/** An entry to be written together with its revision. */
export interface Recorded {
  readonly entry: Entry;
  /** The other unit has it already. */
  readonly peerHas: boolean;
}

export interface Adopted {
  readonly revision: Revision;
  /** What led to the head before and no longer does, the oldest first. */
  readonly superseded: readonly StoredEntry[];
}

/** How a revision stands in the log. */
export interface SharedMark {
  readonly id: string;
  readonly unit: string;
  readonly main: boolean;
  /** The other unit is known to have it. */
  readonly onBoth: boolean;
}

interface State {
  readonly pair: string;
  readonly head: string | null;
  readonly peer_head: string | null;
  readonly current: number | null;
}

/** What the log needs of the store around it. */
export interface LogHost {
  readonly database: Database;
  write<T>(action: () => T): T;
  guard<T>(action: () => T): T;
  head(): Revision | null;
  revision(number: number): Revision;
  pendingConfirm(): PendingConfirm | null;
  /** Adds a row; `base`: what its changes are counted from. Does not make it current. */
  insert(revision: {
    readonly time: number;
    readonly author: string;
    readonly comment: string;
    readonly document: Document;
    readonly base: Document | null;
  }): Revision;
}

const COLUMNS =
  'id, parent, height, weight, kind, unit, author, time, comment, confirm_by, digest, revision, main';

export class SharedLog {
  readonly #host: LogHost;

  constructor(host: LogHost) {
    this.#host = host;
  }

  /** Key of the pair whose log this is; null: this unit never was in a pair. */
  get pair(): string | null {
    return this.#host.guard(() => this.#state()?.pair ?? null);
  }

  head(): StoredEntry | null {
    return this.#host.guard(() => {
      const head = this.#state()?.head ?? null;
      return head === null ? null : this.#need(head);
    });
  }

  entry(id: string): StoredEntry | null {
    return this.#host.guard(() => {
      const row = this.#database
        .prepare<[string, string], EntryRow>(
          `SELECT ${COLUMNS} FROM shared WHERE id = ? AND pair = ?`,
        )
        .get(id, this.#state()?.pair ?? '');
      return row === undefined ? null : toEntry(row);
    });
  }

  /** Whether what waits to be confirmed is one of both units. */
  get waits(): boolean {
    const head = this.head();
    return head !== null && head.confirmBy !== null;
  }

  /** Of the main line, above a height, the oldest first. */
  after(height: number, limit: number): StoredEntry[] {
    return this.#list('main = 1 AND height > ? ORDER BY height LIMIT ?', height, limit);
  }

  /** Superseded entries that the other unit may not have, the oldest first. */
  untold(limit: number): StoredEntry[] {
    return this.#list('told = 0 AND height > ? ORDER BY height, revision LIMIT ?', 0, limit);
  }

  /** Revisions that gave way, and whose documents did not hold again since, the newest first. */
  superseded(limit: number): StoredEntry[] {
    return this.#list(
      `main = 0 AND kind = 'commit' AND revision > coalesce((
         SELECT max(revision) FROM shared AS back WHERE main = 0 AND digest IN (
           SELECT digest FROM shared AS held WHERE held.main = 1)), 0)
       ORDER BY revision DESC LIMIT ?`,
      limit,
    );
  }

  /** Names on the main line, from the head downwards in growing steps, for the other unit to find what both have. */
  locator(): string[] {
    const head = this.head();
    if (head === null) return [];
    const heights = [head.height];
    for (let step = 1; ; step *= 2) {
      const next = (heights.at(-1) ?? 0) - step;
      if (next <= 1) break;
      heights.push(next);
    }
    if (head.height > 1) heights.push(1);
    return heights.flatMap((height) =>
      this.#list('main = 1 AND height = ? ORDER BY height LIMIT ?', height, 1).map(({ id }) => id),
    );
  }

  mark(revision: number): SharedMark | null {
    return this.#host.guard(() => {
      const row = this.#database
        .prepare<[number], EntryRow & { readonly pair: string }>(
          `SELECT ${COLUMNS}, pair FROM shared WHERE revision = ? AND kind <> 'confirm'`,
        )
        .get(revision);
      if (row === undefined) return null;
      const { id, unit, main, height } = toEntry(row);
      const state = this.#state();
      const peer = state?.pair === row.pair ? this.#peerHeight(state) : 0;
      return { id, unit, main, onBoth: main && height <= peer };
    });
  }

  /** How many entries of the main line the other unit is not known to have. */
  peerLacks(): number {
    return this.#host.guard(() => {
      const state = this.#state();
      return state === null ? 0 : (this.head()?.height ?? 0) - this.#peerHeight(state);
    });
  }

  /** The entry that a change from the current revision would make. */
  draft(content: Omit<EntryContent, 'parent'>, pair: string): Entry {
    return sealedEntry({ ...content, parent: this.head()?.id ?? pair });
  }

  /** A new pair has a new log; `root`: what the configuration of this unit begins it with. */
  begin(pair: string, root: { readonly unit: string } | null): void {
    this.#host.write(() => {
      const current = this.#host.head();
      if (this.#state()?.pair !== pair) {
        this.#database
          .prepare('INSERT OR REPLACE INTO shared_state VALUES (1, ?, NULL, NULL, ?)')
          .run(pair, current?.number ?? null);
      }
      if (root === null || current === null || this.head() !== null) return;
      const { author, time, comment, document } = current;
      const digest = sharedDigest(document);
      const { unit } = root;
      const content = { parent: pair, unit, author, time, comment, digest } as const;
      const entry = sealedEntry({ ...content, kind: 'commit', confirmBy: null });
      this.append({ entry, peerHas: false }, current.number);
    });
  }

  /** Within a transaction of the store: this entry is the new head, and that revision is current. */
  append({ entry, peerHas }: Recorded, revision: number): void {
    this.#add(entry, revision, true);
    this.#database
      .prepare('UPDATE shared_state SET head = ?, current = ?, peer_head = iif(?, ?, peer_head)')
      .run(entry.id, revision, peerHas ? 1 : 0, entry.id);
  }

  /** Within a transaction of the store: a revision of this unit alone is current. */
  moved(revision: number): void {
    this.#database.prepare('UPDATE shared_state SET current = ?').run(revision);
  }

  /** What both units write when nobody confirmed the head in time; null when it does not wait. */
  rollbackEntry(): Entry | null {
    const head = this.head();
    if (head === null || head.confirmBy === null) return null;
    return automaticRollback(head, this.#lastThatStays(head)?.digest ?? head.digest);
  }

  /**
   * Keeps entries of the other unit, in their order, each with its revision, and changes nothing else.
   *
   * @param unit this unit's section, while it has no configuration
   * @throws StoreError (`no-such-revision`) when an entry does not follow one that is known
   */
  stash(delivered: readonly Delivered[], unit: Document['unit']): void {
    this.#host.write(() => {
      for (const { entry, document } of delivered) {
        if (this.entry(entry.id) !== null) continue;
        const parent = this.#parent(entry);
        if (document === null) {
          if (parent === null) throw unknown(entry.parent);
          this.#add(entry, parent.revision, false);
          continue;
        }
        const current = this.#host.head();
        const own = current?.document.unit ?? unit;
        const before = parent === null ? current : this.#host.revision(parent.revision);
        const { number } = this.#host.insert({
          time: entry.time,
          author: entry.author,
          comment: entry.kind === 'rollback' ? goneBack(parent) : entry.comment,
          document: withUnit(document, own),
          base: before === null ? null : withUnit(before.document, own),
        });
        this.#add(entry, number, false);
      }
    });
  }

  /**
   * Makes a known entry the head, whatever was before.
   *
   * @param deadline when it goes back unless it is confirmed, if it waits for that; by this unit's clock
   * @throws StoreError `unconfirmed` while a revision of this unit alone waits to be confirmed
   */
  adopt(id: string, deadline: number): Adopted {
    return this.#host.write(() => {
      const goal = this.#need(id);
      if (this.#host.pendingConfirm() !== null && !this.waits) {
        throw new StoreError('unconfirmed', 'A revision of this unit alone waits to be confirmed.');
      }
      const path: string[] = [];
      let ancestor: StoredEntry | null = goal;
      while (ancestor !== null && !ancestor.main) {
        path.push(ancestor.id);
        ancestor = this.#parent(ancestor);
      }
      const superseded = this.after(ancestor?.height ?? 0, Number.MAX_SAFE_INTEGER);
      const leave = this.#database.prepare('UPDATE shared SET main = 0, told = 0 WHERE id = ?');
      for (const one of superseded) leave.run(one.id);
      const take = this.#database.prepare('UPDATE shared SET main = 1, told = 1 WHERE id = ?');
      for (const one of path) take.run(one);

      this.#database.prepare('DELETE FROM pending_confirm').run();
      const stays = goal.confirmBy === null ? null : this.#lastThatStays(goal);
      const previous = stays === null ? null : this.#revisionOf(stays, 0);
      const current = this.#revisionOf(goal, previous ?? 0);
      if (previous !== null) {
        this.#database
          .prepare(
            'INSERT INTO pending_confirm (id, revision, previous, deadline) VALUES (1, ?, ?, ?)',
          )
          .run(current, previous, deadline);
      }
      this.#database.prepare('UPDATE shared_state SET head = ?, current = ?').run(id, current);
      return { revision: this.#host.revision(current), superseded };
    });
  }

  /** The other unit is known to have this entry, or (null) nothing. */
  peerHas(id: string | null): void {
    if (this.#host.guard(() => this.#state())?.peer_head === id) return;
    this.#host.write(() => this.#database.prepare('UPDATE shared_state SET peer_head = ?').run(id));
  }

  /** The other unit has these superseded entries now. */
  told(ids: readonly string[]): void {
    this.#host.write(() => {
      const tell = this.#database.prepare('UPDATE shared SET told = 1 WHERE id = ?');
      for (const id of ids) tell.run(id);
    });
  }

  /** The newest revision, or the one that was made current last. @returns null: the newest */
  current(): number | null {
    return this.#state()?.current ?? null;
  }

  get #database(): Database {
    return this.#host.database;
  }

  #state(): State | null {
    return (
      this.#database
        .prepare<[], State>('SELECT pair, head, peer_head, current FROM shared_state')
        .get() ?? null
    );
  }

  #list(where: string, ...values: readonly number[]): StoredEntry[] {
    return this.#host.guard(() =>
      this.#database
        .prepare<unknown[], EntryRow>(`SELECT ${COLUMNS} FROM shared WHERE pair = ? AND ${where}`)
        .all(this.#state()?.pair ?? '', ...values)
        .map(toEntry),
    );
  }

  #need(id: string): StoredEntry {
    const entry = this.entry(id);
    if (entry === null) throw unknown(id);
    return entry;
  }

  #parent({ parent }: Entry): StoredEntry | null {
    return parent === this.#state()?.pair ? null : this.#need(parent);
  }

  /** What comes back when this entry, which waits, is not confirmed. */
  #lastThatStays(entry: StoredEntry): StoredEntry | null {
    let before = this.#parent(entry);
    while (before !== null && before.confirmBy !== null) before = this.#parent(before);
    return before;
  }

  /** The highest entry of the main line that the other unit is known to have. */
  #peerHeight({ peer_head: head }: State): number {
    let entry = head === null ? null : this.#need(head);
    while (entry !== null && !entry.main) entry = this.#parent(entry);
    return entry?.height ?? 0;
  }

  /** A revision above `above` of an entry's document with the unit section of now; made if need be. */
  #revisionOf(entry: StoredEntry, above: number): number {
    const kept = this.#host.revision(entry.revision);
    const unit = this.#host.head()?.document.unit ?? kept.document.unit;
    const same = canonicalJson(unit) === canonicalJson(kept.document.unit);
    if (same && kept.number > above) return kept.number;
    const { time, author, comment } = kept;
    const document = { ...kept.document, unit };
    const base = kept.document;
    const { number } = this.#host.insert({ time, author, comment, document, base });
    this.#database.prepare('UPDATE shared SET revision = ? WHERE id = ?').run(number, entry.id);
    return number;
  }

  #add(entry: Entry, revision: number, main: boolean): void {
    const parent = this.#parent(entry);
    const { weight, height } = follow(parent, entry);
    const { confirmBy, ...rest } = entry;
    this.#database
      .prepare(
        `INSERT INTO shared (${COLUMNS}, pair, told) VALUES (@id, @parent, @height, @weight, @kind,
         @unit, @author, @time, @comment, @confirm_by, @digest, @revision, @main, @pair, 1)`,
      )
      .run({
        ...rest,
        ...{ weight, height, revision, confirm_by: confirmBy, main: main ? 1 : 0 },
        pair: this.#state()?.pair,
      });
  }
}

function toEntry({ confirm_by: confirmBy, main, ...row }: EntryRow): StoredEntry {
  const entry = { ...row, confirmBy, main: main === 1 };
  if (entryId(entry) === entry.id) return entry;
  throw new StoreError(
    'corrupt',
    `The entry of revision ${entry.revision} in the log of the pair is damaged: restore the store from a backup.`,
  );
}

function goneBack(pending: StoredEntry | null): string {
  return pending === null
    ? 'Rolled back: it was not confirmed'
    : `Rolled back: revision ${pending.revision} was not confirmed`;
}

function unknown(id: string): StoreError {
  return new StoreError('no-such-revision', `The log of the pair has no entry ${id.slice(0, 12)}.`);
}
