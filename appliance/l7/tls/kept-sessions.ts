/**
 * Sessions of a client of TLS with one server, for its next connections. The newest goes first; one of
 * TLS 1.3 goes once, so several are kept: servers give more than one, and connections come in numbers.
 *
 * Invariant: each that was given is freed once, when it is spent, one too many, or at the end. After
 * that none is taken: connections that outlive it were begun by what counts no longer.
 */
import { freeSession, useSession } from '../../../native/ffi/tls-session.js';

export class KeptSessions {
  readonly #sessions: number[] = [];
  readonly #most: number;
  #closed = false;

  constructor(most = 8) {
    this.#most = most;
  }

  /** A connection that is about to begin goes on with one, if there is one. */
  resume(ssl: number): void {
    const session = this.#sessions.pop();
    if (session === undefined) return;
    if (useSession(ssl, session)) this.#sessions.push(session);
    else freeSession(session);
  }

  /** Whether it is kept, and freed here. */
  keep(session: number): boolean {
    if (this.#closed) return false;
    const oldest = this.#sessions.length < this.#most ? undefined : this.#sessions.shift();
    if (oldest !== undefined) freeSession(oldest);
    this.#sessions.push(session);
    return true;
  }

  close(): void {
    this.#closed = true;
    for (const session of this.#sessions.splice(0)) freeSession(session);
  }
}
