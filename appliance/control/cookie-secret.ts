/**
 * The secret that persistence cookies are signed and encrypted with. The unit makes it when it
 * first starts and keeps it in a file of its own: it is no part of the configuration, so no export,
 * history or difference ever shows it. Each service has a key of its own, by HKDF (RFC 5869).
 *
 * Invariant: an existing file is replaced by the other unit's older one only (shared/cookie-shelf.ts),
 * since that makes every cookie worthless.
 */
import { createHash, hkdfSync, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../whole-file.js';

export const COOKIE_SECRET_FILE = 'cookie-secret';
const BYTES = 32;

export class CookieSecret {
  #secret: Buffer;
  #made: number;
  readonly #path: string | null;

  /** `made`: milliseconds since 1970; without a path it is kept nowhere. */
  constructor(secret: Buffer, made = 0, path: string | null = null) {
    this.#secret = checked(secret);
    this.#made = made;
    this.#path = path;
  }

  /** When the pair's older unit made it, milliseconds since 1970. */
  get made(): number {
    return this.#made;
  }

  /** SHA-256 of it, hexadecimal: equal secrets are told by it. */
  get digest(): string {
    return createHash('sha256').update('weir cookie secret ').update(this.#secret).digest('hex');
  }

  /** The caller wipes it. */
  copy(): Buffer {
    return Buffer.from(this.#secret);
  }

  /** Takes that of the other unit, and keeps it. @throws RangeError, or what the file system says */
  replace(secret: Buffer, made: number): void {
    const copy = Buffer.from(checked(secret));
    if (this.#path !== null) write(this.#path, copy, made);
    this.#secret.fill(0);
    this.#secret = copy;
    this.#made = made;
  }

  /** The secret of a state directory, made when there is none. One process at a time. */
  static open(directory: string): CookieSecret {
    const path = join(directory, COOKIE_SECRET_FILE);
    const known = readIfThere(path);
    if (known === null) {
      const made = Date.now();
      const fresh = randomBytes(BYTES);
      write(path, fresh, made);
      return new CookieSecret(fresh, made, path);
    }
    const secret = Buffer.from(known, 'base64');
    if (secret.length !== BYTES) {
      throw new Error(
        `${path} is damaged: it should have ${BYTES} bytes in base64; restore it, or remove it to have a new one, by which clients may come to other members`,
      );
    }
    return new CookieSecret(secret, Math.round(statSync(path).mtimeMs), path);
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

function checked(secret: Buffer): Buffer {
  if (secret.length !== BYTES) throw new RangeError(`a secret has ${BYTES} bytes`);
  return secret;
}

/** Its time is that of the secret. */
function write(path: string, secret: Buffer, made: number): void {
  writeWhole(path, `${secret.toString('base64')}\n`, { flush: true, modified: made });
}
