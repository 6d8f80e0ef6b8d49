/**
 * The secret that persistence cookies are signed and encrypted with. The unit makes it when it
 * first starts and keeps it in a file of its own: it is no part of the configuration, so no export,
 * history or difference ever shows it. Each service has a key of its own, by HKDF (RFC 5869).
 *
 * Invariant: an existing file is never replaced, since that would make every cookie worthless.
 */
import { hkdfSync, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export const COOKIE_SECRET_FILE = 'cookie-secret';
const BYTES = 32;

export class CookieSecret {
  readonly #secret: Buffer;

  constructor(secret: Buffer) {
    if (secret.length !== BYTES) throw new RangeError(`a secret has ${BYTES} bytes`);
    this.#secret = secret;
  }

  /** The secret of a state directory, made when there is none. One process at a time. */
  static open(directory: string): CookieSecret {
    const path = join(directory, COOKIE_SECRET_FILE);
    const known = readIfThere(path);
    if (known === null) return new CookieSecret(make(path));
    const secret = Buffer.from(known, 'base64');
    if (secret.length !== BYTES) {
      throw new Error(
        `${path} is damaged: it should have ${BYTES} bytes in base64; restore it, or remove it to have a new one, by which clients may come to other members`,
      );
    }
    return new CookieSecret(secret);
  }

  /** The key of one service: 32 bytes in base64, the same each time. */
  readonly keyOf = (service: string): string =>
    Buffer.from(hkdfSync('sha256', this.#secret, '', `weir cookie ${service}`, BYTES)).toString(
      'base64',
    );
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Whole or not at all: what a crash leaves is the file beside it. */
function make(path: string): Buffer {
  const secret = randomBytes(BYTES);
  const beside = `${path}.new`;
  const file = openSync(beside, 'w', 0o600);
  try {
    writeSync(file, `${secret.toString('base64')}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(beside, path);
  return secret;
}
