/**
 * One process at a time: an exclusive lock on a file (flock(2)). The kernel lets go of it
 * when the process ends, however it ends, so a lock never outlives its holder.
 */
import { closeSync, openSync, statSync } from 'node:fs';
import koffi from 'koffi';

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

const flock = koffi.load('libc.so.6').func('int flock(int fd, int operation)') as (
  fd: number,
  operation: number,
) => number;

/** Somebody else holds the lock, or the file cannot be locked. */
export class LockError extends Error {
  override readonly name = 'LockError';
  readonly code: 'held' | 'io';

  constructor(code: LockError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Takes the lock at once, on a file, which is made when absent, or on a directory that exists.
 * Returns what lets go of it. Throws LockError.
 */
export function lock(path: string): () => void {
  const directory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const fd = openSync(path, directory ? 'r' : 'w', 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    const errno = koffi.errno();
    closeSync(fd);
    throw errno === EWOULDBLOCK
      ? new LockError(
          'held',
          `Another daemon holds ${path}: stop it first, or give this one directories of its own.`,
        )
      : new LockError('io', `Cannot lock ${path} (errno ${errno}): is it on a local file system?`);
  }
  return () => {
    closeSync(fd);
  };
}
