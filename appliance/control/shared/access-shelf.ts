/**
 * Temporary entries of access lists as a shelf that two units share.
 *
 * Invariant: what crosses is the time that an entry still has, so the clocks of the two need not agree
 * on when it ends.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type {
  AccessEntries,
  AccessEntry,
  AccessPlace,
  AccessVersion,
} from '../../config/access-entries.js';
import { parseName } from '../../config/basics.js';
import { parsePrefixKey, prefixText } from '../../config/prefix-key.js';
import type { Entry, Shelf, Version } from '../../ha/shared/shelf.js';

/** A year and a day: no more than a year can be asked for. */
const LONGEST_MS = 366 * 86_400_000;
/** What was removed is remembered for longer than it would have lasted: clocks and links may be slow. */
const MARGIN_MS = 86_400_000;

const metaSchema = z.strictObject({
  verdict: z.enum(['allow', 'deny']),
  author: z.string().max(256),
  comment: z.string().max(1000),
  /** Milliseconds, at the time of sending. */
  age: z.int().min(0).max(LONGEST_MS),
  left: z.int().min(1).max(LONGEST_MS),
});

export interface AccessShelfOptions {
  readonly entries: AccessEntries;
  /** Something came from the other unit; null: it was removed. */
  readonly onTaken: (place: AccessPlace, entry: AccessEntry | null) => void;
  readonly now?: () => number;
}

export function accessKey({ prefix, service }: AccessPlace): string {
  return `access/${prefix} ${service ?? ''}`;
}

export class AccessShelf implements Shelf {
  readonly name = 'access';
  readonly #options: AccessShelfOptions;
  readonly #now: () => number;

  constructor(options: AccessShelfOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  versions(): Version[] {
    const now = this.#now();
    return this.#options.entries
      .versions()
      .filter(({ entry }) => entry === null || entry.expires > now)
      .map(versionOf);
  }

  version(key: string): Version | undefined {
    const found = this.#options.entries.version(placeOf(key));
    return found && versionOf(found);
  }

  read(key: string): Entry | undefined {
    const found = this.#options.entries.version(placeOf(key));
    if (found === undefined) return undefined;
    const { entry } = found;
    const body = Buffer.alloc(0);
    if (entry === null) return { ...versionOf(found), meta: null, body };
    const now = this.#now();
    const { verdict, author, comment, created, expires } = entry;
    const left = expires - now;
    // It ends on both units by itself.
    if (left <= 0) return undefined;
    const age = Math.max(0, now - created);
    return { ...versionOf(found), meta: { verdict, author, comment, age, left }, body };
  }

  take(taken: Entry): void {
    const { entries, onTaken } = this.#options;
    const place = placeOf(taken.key);
    const now = this.#now();
    if (taken.meta === null) {
      const before = entries.version(place)?.entry;
      const until = Math.max(now, before?.expires ?? now) + MARGIN_MS;
      entries.takeRemoval(place, taken.at, until);
      onTaken(place, null);
      return;
    }
    const parsed = metaSchema.safeParse(taken.meta);
    if (!parsed.success) throw new Error(`${taken.key} did not come as an entry of access lists.`);
    const { verdict, author, comment, age, left } = parsed.data;
    const entry = { ...place, verdict, author, comment, created: now - age, expires: now + left };
    if (digestOf(entry) !== taken.digest) {
      throw new Error(`${taken.key} has another digest than it came with.`);
    }
    entries.prune(now);
    if (!entries.put(entry, taken.at)) throw new Error('There are too many temporary entries.');
    onTaken(place, entry);
  }

  onChange(listener: (key: string) => void): () => void {
    return this.#options.entries.onChange((place) => {
      listener(accessKey(place));
    });
  }
}

function versionOf(version: AccessVersion): Version {
  const { changed, entry } = version;
  return { key: accessKey(version), at: changed, digest: entry === null ? '' : digestOf(entry) };
}

function digestOf({ prefix, service, verdict, author, comment }: AccessEntry): string {
  return createHash('sha256')
    .update(JSON.stringify([prefix, service, verdict, author, comment]))
    .digest('hex');
}

/** @throws Error, a sentence */
function placeOf(key: string): AccessPlace {
  const [, prefix = '', service = ''] = /^access\/(\S+) (\S*)$/.exec(key) ?? [];
  const parsed = parsePrefixKey(prefix);
  if (
    !parsed.ok ||
    prefixText(parsed.value) !== prefix ||
    !(service === '' || parseName(service).ok)
  ) {
    throw new Error('An entry of access lists that is none.');
  }
  return { prefix, service: service === '' ? null : service };
}
