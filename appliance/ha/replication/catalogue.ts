/**
 * The log of the pair as it is sent and told: entries with their documents in bounded batches, and
 * what somebody changed in lines.
 */
import { diffDocuments, formatChange } from '../../config/changes.js';
import type { Document } from '../../config/schema.js';
import type { StoredEntry } from '../../config/shared-log.js';
import { sharedOf, withUnit, type Entry, type SharedDocument } from '../../config/shared.js';
import type { ConfigStore } from '../../config/store.js';
import {
  BATCH_CHARACTERS,
  BATCH_ENTRIES,
  rivalOf,
  type Offer,
  type Proposal,
  type Rival,
} from './messages.js';
import type { Lost } from './state.js';

type Given = Proposal['delivered'];

export class Catalogue {
  readonly #store: ConfigStore;

  constructor(store: ConfigStore) {
    this.#store = store;
  }

  proposal(entry: Entry, document: Document | null): Given {
    return given(entry, document === null ? null : sharedOf(document));
  }

  /** What is above the first of these names that is known here; all of it when none is. */
  *above(locator: readonly string[]): Generator<Pick<Offer, 'entries' | 'goal'>> {
    const { log } = this.#store;
    const head = log.head();
    const common = locator.map((id) => log.entry(id)).find((one) => one?.main === true);
    let height = common?.height ?? 0;
    while (head !== null && height < head.height) {
      const entries = this.#batch(log.after(height, BATCH_ENTRIES));
      height += entries.length;
      yield { entries, goal: height < head.height ? 'part' : 'head' };
    }
  }

  untold(): Given[] {
    return this.#batch(this.#store.log.untold(BATCH_ENTRIES));
  }

  /** Why the last of these cannot be executed with this unit's section; null: it can. */
  unexecutable(
    entries: Offer['entries'],
    unit: Document['unit'],
    check: (document: Document) => string | null,
  ): string | null {
    const last = entries.at(-1);
    if (last === undefined || last.entry.kind === 'rollback') return null;
    const found = last.document ?? entries.findLast(({ document }) => document !== null)?.document;
    if (found !== null && found !== undefined)
      return check(withUnit(found as unknown as SharedDocument, unit));
    // A confirmation alone: of what is executed already, or was.
    const confirmed = this.#store.log.entry(last.entry.parent);
    if (confirmed === null) return null;
    return check({ ...this.#store.revision(confirmed.revision).document, unit });
  }

  /** What made the current revision another one than `base`. */
  rival(base: number): Rival {
    const { log } = this.#store;
    const head = this.#store.head();
    const before = base === 0 ? null : this.#store.revision(base).document;
    const entry = log.head() ?? head ?? NOBODY;
    const lines = head === null ? [] : changed(before, head.document);
    return rivalOf({ unit: '', ...entry }, lines);
  }

  /** What this unit has on top of `parent`; null: it does not have that either. */
  rivalSince(parent: string, pair: string): Rival | null {
    const { log } = this.#store;
    const head = log.head();
    const before = log.entry(parent);
    if (head === null || (before?.main !== true && parent !== pair)) return null;
    const base = before === null ? null : this.#store.revision(before.revision).document;
    return rivalOf(head, changed(base, this.#store.revision(head.revision).document));
  }

  /** Of a change that is not written down yet. */
  rivalOf(entry: Entry): Rival {
    return rivalOf(entry, []);
  }

  lost(entries: readonly Entry[]): Lost {
    const { log } = this.#store;
    const stored = entries.flatMap(({ id }) => log.entry(id) ?? []);
    const revisions = [...new Set(stored.map(({ revision }) => revision))];
    return {
      revisions,
      authors: [...new Set(stored.map(({ author, unit }) => `${author} on ${unit || 'both'}`))],
      changes: revisions.flatMap((number) =>
        this.#store.revision(number).changes.map(formatChange),
      ),
    };
  }

  #batch(entries: readonly StoredEntry[]): Given[] {
    const batch: Given[] = [];
    let characters = 0;
    for (const entry of entries) {
      const { document } = this.#store.revision(entry.revision);
      characters += JSON.stringify(document).length;
      if (batch.length > 0 && characters > BATCH_CHARACTERS) break;
      batch.push(given(entry, entry.kind === 'confirm' ? null : sharedOf(document)));
    }
    return batch;
  }
}

const NOBODY = { author: '', time: 0, comment: '' };

function given(entry: Entry, document: SharedDocument | null): Given {
  const { id, parent, kind, unit, author, time, comment, confirmBy, digest } = entry;
  return {
    entry: { id, parent, kind, unit, author, time, comment, confirmBy, digest },
    document: document as unknown as Given['document'],
  };
}

function changed(before: Document | null, after: Document): string[] {
  const { unit } = after;
  const base = before === null ? null : { ...before, unit };
  return diffDocuments(base, after).map(formatChange);
}
