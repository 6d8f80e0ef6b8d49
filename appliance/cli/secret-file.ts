/**
 * Files of keys, backups and bundles, in and out.
 *
 * Invariant: a file is written whole, for its owner alone, and takes the place of another one only where
 * that was asked for.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BACKUP_LIMIT_BYTES } from '../api/contract.js';
import { CliError, EXIT, whyNot } from './exit-codes.js';

export interface WriteOptions {
  /** Whether a file that is there gives way; left out: none does, nor can that be asked for. */
  readonly replace?: boolean;
  /** As link(2). */
  readonly link?: (from: string, to: string) => Promise<void>;
}

/** What link(2) says on a file system without hard links, such as the FAT of a USB stick. */
const NO_LINKS: ReadonlySet<unknown> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** @throws CliError */
export async function writeWholeFile(
  path: string,
  bytes: Buffer,
  { replace, link: makeLink = link }: WriteOptions = {},
): Promise<void> {
  const beside = `${path}.${randomBytes(4).toString('hex')}.part`;
  try {
    await writeNew(beside, bytes);
    if (replace === true) await rename(beside, path);
    else {
      try {
        // Unlike a rename, a link never replaces what is there.
        await makeLink(beside, path);
      } catch (error) {
        if (!NO_LINKS.has(codeOf(error))) throw error;
        await writeNew(path, bytes);
      }
    }
    const folder = await open(dirname(path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    const way = replace === undefined ? '' : ', or add --replace';
    throw new CliError(
      EXIT.failure,
      codeOf(error) === 'EEXIST'
        ? `${path} is there already: name another file${way}.`
        : `Cannot write ${path}: ${whyNot(error)}.`,
      undefined,
      error,
    );
  } finally {
    await rm(beside, { force: true });
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** A file that was not there; one that cannot be written whole is taken away again. */
async function writeNew(path: string, bytes: Buffer): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** @throws CliError */
export async function readWholeFile(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > BACKUP_LIMIT_BYTES) {
      throw new CliError(EXIT.invalid, `${path} has ${size} bytes, more than any backup.`);
    }
    const file = await open(path, 'r');
    try {
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(EXIT.failure, `Cannot read ${path}: ${whyNot(error)}.`, undefined, error);
  }
}
