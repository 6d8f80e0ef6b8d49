/**
 * Small files that a document names by their path, such as secrets: read when they are used.
 *
 * Invariant: reading one never waits, whatever lies at the path, and what is wrong is a clause that
 * follows the path in a sentence, without anything of the content.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';

export class FileError extends Error {
  override readonly name = 'FileError';
}

/**
 * A secret from a file that is root's (or this process' user's) alone, without white space around it.
 *
 * @throws FileError
 */
export function readSecretText(path: string, largest: number): string {
  return readSmallFile(path, largest, true).toString('utf8').trim();
}

/**
 * @param secret whether others must be able neither to read nor to change it
 * @throws FileError
 */
export function readSmallFile(path: string, largest: number, secret = false): Buffer {
  let file: number;
  try {
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | (secret ? constants.O_NOFOLLOW : 0);
    file = openSync(path, flags);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FileError(`cannot be read: ${why}`, { cause });
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw new FileError('is no file');
    const foreign = stat.uid !== 0 && stat.uid !== process.geteuid?.();
    if (secret && (foreign || (stat.mode & 0o077) !== 0)) {
      throw new FileError(
        'can be changed or read by others than root: "chown root" and "chmod 600" it',
      );
    }
    if (stat.size > largest) throw new FileError(`is longer than ${largest} bytes`);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}
