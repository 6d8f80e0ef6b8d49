/** Files of backups and bundles, in and out. Invariant: a file is written whole, for its owner alone. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BACKUP_LIMIT_BYTES } from '../api/contract.js';
import { CliError, EXIT, whyNot } from './exit-codes.js';

/** `replace`: also in the place of a file that is there. @throws CliError */
export async function writeWholeFile(path: string, bytes: Buffer, replace = false): Promise<void> {
  const beside = `${path}.${randomBytes(4).toString('hex')}.part`;
  try {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const file = await open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    if (replace) await rename(beside, path);
    // Unlike a rename, a link never replaces what is there.
    else await link(beside, path);
    const folder = await open(dirname(path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    const there = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    throw new CliError(
      EXIT.failure,
      there
        ? `${path} is there already: name another file, or add --replace.`
        : `Cannot write ${path}: ${whyNot(error)}.`,
      undefined,
      error,
    );
  } finally {
    await rm(beside, { force: true });
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
