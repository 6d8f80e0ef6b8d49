/**
 * An invitation: one code, for one unit, for ten minutes, and void after five wrong codes.
 *
 * Invariant: the secret is wiped when it ends, however that is.
 */
import { formatCode, makeSecret, type CodeSecret } from './code.js';

export const INVITATION_MS = 600_000;
export const WRONG_CODES = 5;

export type InvitationEnd = 'used' | 'expired' | 'wrong codes' | 'withdrawn';

export class Invitation {
  readonly addresses: readonly string[];
  /** Milliseconds since 1970. */
  readonly expires: number;
  readonly #secret: CodeSecret = makeSecret();
  readonly #timer: NodeJS.Timeout;
  readonly #onEnd: (why: InvitationEnd) => void;
  #wrong = 0;
  #over = false;

  constructor(
    addresses: readonly string[],
    onEnd: (why: InvitationEnd) => void,
    lifetimeMs: number = INVITATION_MS,
  ) {
    this.addresses = addresses;
    this.expires = Date.now() + lifetimeMs;
    this.#onEnd = onEnd;
    this.#timer = setTimeout(() => {
      this.end('expired');
    }, lifetimeMs);
  }

  /** For the administrator, once. */
  code(): string {
    return formatCode(this.#secret);
  }

  get secret(): CodeSecret | null {
    return this.#over ? null : this.#secret;
  }

  get wrongCodes(): number {
    return this.#wrong;
  }

  /** Whether it is void by that. */
  wrong(): boolean {
    this.#wrong += 1;
    if (this.#wrong >= WRONG_CODES) this.end('wrong codes');
    return this.#over;
  }

  /** Whether it was not over before. */
  end(why: InvitationEnd): boolean {
    if (this.#over) return false;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#secret.fill(0);
    this.#onEnd(why);
    return true;
  }
}
