/** What can go wrong with the store, each with a sentence for the administrator. */

export type StoreErrorCode =
  /** The parent revision named by the caller is no longer the newest (HTTP 412). */
  | 'conflict'
  /** A revision waits to be confirmed, which comes first. */
  | 'unconfirmed'
  /** No revision, or another one, waits to be confirmed. */
  | 'not-pending'
  /** The first revision cannot wait for a confirmation: nothing is there to go back to. */
  | 'nothing-to-return-to'
  | 'no-such-revision'
  /** The database, a row or a digest is damaged. */
  | 'corrupt'
  /** The file is a database of something else, or no database at all. */
  | 'not-a-store'
  /** Written by a newer Weir. */
  | 'newer'
  | 'read-only'
  | 'disk-full'
  | 'busy'
  | 'closed'
  | 'io';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Whatever SQLite or the file system said, in words that name the file and the remedy. */
export function toStoreError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const options = { cause: error };
  const is = (...prefixes: string[]): boolean => prefixes.some((prefix) => code.startsWith(prefix));

  // SQLite reserves the pages of its shared memory by writing them, so a full disk can show there too.
  if (is('SQLITE_FULL', 'ENOSPC', 'EDQUOT', 'SQLITE_IOERR_SHMSIZE')) {
    return new StoreError(
      'disk-full',
      `The disk that holds ${path} is full: free some space and repeat the change. The last revision is unharmed.`,
      options,
    );
  }
  if (is('SQLITE_NOTADB')) {
    return new StoreError(
      'not-a-store',
      `${path} is no database: move it away, or restore it from a backup.`,
      options,
    );
  }
  if (is('SQLITE_CORRUPT', 'SQLITE_CONSTRAINT')) {
    return new StoreError(
      'corrupt',
      `The store ${path} is damaged: restore it from a backup.`,
      options,
    );
  }
  if (is('SQLITE_READONLY', 'SQLITE_CANTOPEN', 'SQLITE_PERM', 'EACCES', 'EPERM', 'EROFS')) {
    return new StoreError(
      'read-only',
      `${path} cannot be written: check the owner and mode of the file and its folder, and that the disk is not mounted read-only.`,
      options,
    );
  }
  if (is('SQLITE_BUSY', 'SQLITE_LOCKED')) {
    return new StoreError(
      'busy',
      `Another process is writing to ${path}: stop it, or repeat the change.`,
      options,
    );
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new StoreError(
    'io',
    `${path} cannot be read or written (${detail}): check the disk.`,
    options,
  );
}
