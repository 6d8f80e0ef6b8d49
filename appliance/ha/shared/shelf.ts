/**
 * What two units have in common: entries by key, each with a version that both order alike.
 *
 * Invariant: of two versions of a key the later one is kept, on both units, whichever comes first; what
 * was removed is a version too.
 */
export interface Version {
  /** `shelf/name`. */
  readonly key: string;
  /** When it was made, milliseconds since 1970, and later than what it replaced. */
  readonly at: number;
  /** Of the content; empty: removed. */
  readonly digest: string;
}

export interface Entry extends Version {
  /** What is no secret, of the shelf's own; null: removed. */
  readonly meta: unknown;
  /** May hold secrets: whoever got it wipes it. */
  readonly body: Buffer;
}

/** One kind of what is shared. It checks everything that it takes. */
export interface Shelf {
  /** What its keys begin with, without the slash. */
  readonly name: string;
  /** Of all there is, and of what was removed. */
  versions(): readonly Version[];
  version(key: string): Version | undefined;
  /** As it is now; undefined: never there. @throws Error when it cannot be read */
  read(key: string): Entry | undefined;
  /** In the place of an earlier version. The body is the caller's to wipe. @throws Error, a sentence, when it cannot */
  take(entry: Entry): void;
  /** The other unit has this version. */
  shared?(version: Version): void;
  /** Hears the key of whatever changed here. Returns what ends that. */
  onChange(listener: (key: string) => void): () => void;
}

export function isLater(
  one: Pick<Version, 'at' | 'digest'>,
  other: Pick<Version, 'at' | 'digest'> | undefined,
): boolean {
  if (other === undefined || one.at !== other.at) return one.at > (other?.at ?? -1);
  return one.digest > other.digest;
}

/** The time of a version that replaces one of time `before`: a clock that was set back orders nothing anew. */
export function timeAfter(before: number | undefined, now: number): number {
  return Math.max(now, (before ?? -1) + 1);
}
