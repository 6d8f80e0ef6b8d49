/**
 * Who is logged in. Sessions are in memory alone: they end with the daemon.
 *
 * Invariant: of a session's secret only the SHA-256 is kept; a session ends when it was not used for
 * `idleMs`, after `longestMs` whatever happens, and when the user's stamp is another than at the login.
 */
import { createHash, randomBytes } from 'node:crypto';

export interface SessionRules {
  readonly idleMs: number;
  readonly longestMs: number;
}

export const SESSION_RULES: SessionRules = { idleMs: 30 * 60_000, longestMs: 12 * 3_600_000 };

/** Of one user; the session that was longest unused makes room. */
const MOST_PER_USER = 16;

export interface Session {
  readonly name: string;
  /** Another one when sessions of before are void: of the password that was given. */
  readonly stamp: string;
  readonly expires: number;
  readonly used: number;
}

export function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** 256 random bits; the beginning says to people, and to scanners of leaks, what it is. */
export function newSecret(kind: 'session' | 'token'): string {
  return `weir_${kind}_${randomBytes(32).toString('base64url')}`;
}

export class Sessions {
  readonly rules: SessionRules;
  /** By digest, the longest unused first. */
  readonly #sessions = new Map<string, Session>();

  constructor(rules: SessionRules = SESSION_RULES) {
    this.rules = rules;
  }

  open(name: string, stamp: string, now: number): { secret: string; expires: number } {
    this.#prune(now);
    const own = [...this.#sessions].filter(([, one]) => one.name === name);
    for (const [digest] of own.slice(0, Math.max(0, own.length + 1 - MOST_PER_USER))) {
      this.#sessions.delete(digest);
    }
    const secret = newSecret('session');
    const expires = now + this.rules.longestMs;
    this.#sessions.set(digestOf(secret), { name, stamp, expires, used: now });
    return { secret, expires };
  }

  /** Null: there is none, or it is over. `use`: it counts as used now. */
  find(secret: string, now: number, use: boolean): Session | null {
    const digest = digestOf(secret);
    const found = this.#sessions.get(digest);
    if (found === undefined) return null;
    if (this.#over(found, now)) {
      this.#sessions.delete(digest);
      return null;
    }
    if (!use) return found;
    const used = { ...found, used: now };
    this.#sessions.delete(digest);
    this.#sessions.set(digest, used);
    return used;
  }

  /** Whose it was; null: there is none. */
  close(secret: string): string | null {
    const digest = digestOf(secret);
    const name = this.#sessions.get(digest)?.name ?? null;
    this.#sessions.delete(digest);
    return name;
  }

  closeAll(name: string): void {
    for (const [digest, one] of this.#sessions) {
      if (one.name === name) this.#sessions.delete(digest);
    }
  }

  count(name: string, stamp: string, now: number): number {
    this.#prune(now);
    return [...this.#sessions.values()].filter((one) => one.name === name && one.stamp === stamp)
      .length;
  }

  #over({ expires, used }: Session, now: number): boolean {
    return now >= expires || now - used >= this.rules.idleMs;
  }

  #prune(now: number): void {
    for (const [digest, one] of this.#sessions) {
      if (this.#over(one, now)) this.#sessions.delete(digest);
    }
  }
}
