/**
 * The secret of persistence cookies as a shelf that two units share, so that the cookies of either are
 * good at both.
 *
 * Invariant: of two secrets the older one is kept: it is that which clients have cookies of.
 */
import { createHash } from 'node:crypto';
import type { Entry, Shelf, Version } from '../../ha/shared/shelf.js';
import type { CookieSecret } from '../cookie-secret.js';

const KEY = 'cookie-secret/';
/** Of versions the later one is kept: the older a secret, the later its version. */
const LATEST = 2 ** 48 - 1;

export class CookieShelf implements Shelf {
  readonly name = 'cookie-secret';
  readonly #secret: CookieSecret;
  readonly #onTaken: () => void;

  /** `onTaken`: cookies that this unit gave until now are no longer good. */
  constructor(secret: CookieSecret, onTaken: () => void) {
    this.#secret = secret;
    this.#onTaken = onTaken;
  }

  versions(): Version[] {
    const { digest, made } = this.#secret;
    return [{ key: KEY, at: LATEST - made, digest }];
  }

  version(key: string): Version | undefined {
    return this.versions().find((one) => one.key === key);
  }

  read(key: string): Entry | undefined {
    const version = this.version(key);
    return version && { ...version, meta: {}, body: this.#secret.copy() };
  }

  take({ key, at, digest, body }: Entry): void {
    const seen = createHash('sha256').update('weir cookie secret ').update(body).digest('hex');
    if (key !== KEY || seen !== digest) throw new Error('It is no secret of cookies.');
    const other = digest !== this.#secret.digest;
    this.#secret.replace(body, LATEST - at);
    if (other) this.#onTaken();
  }

  /** It changes only by what the other unit gives. */
  onChange(): () => void {
    return () => undefined;
  }
}
