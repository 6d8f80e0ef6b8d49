/**
 * What the API asks of the daemon about users. Passwords and secrets of tokens come in here and are
 * kept by nobody as they are.
 */
import type { AuditRow, LoggedIn, Role, TokenCreated, TokenRow, UserRow } from './user-contract.js';

/** Who a secret belongs to. */
export interface Holder {
  readonly name: string;
  readonly role: Role;
  readonly via: 'session' | 'token';
  /** Null: never. */
  readonly expires: number | null;
}

export interface UsersPort {
  /** Whether there are, or ever were, users: then local peers other than root have to log in. */
  readonly any: boolean;

  /** Whose session or token this is; null: nobody's, or it is over. `use` counts as use of it. */
  holder(secret: string, use: boolean): Holder | null;
  /**
   * `source`: what failures are counted by beside the name; `from`: as people read it.
   * Errors: unauthenticated (with no word on what was wrong), locked, unavailable.
   */
  login(request: {
    readonly name: string;
    readonly password: string;
    readonly source: string;
    readonly from: string;
  }): Promise<LoggedIn>;
  /** Ends a session. */
  logout(request: { readonly secret: string; readonly author: string }): void;

  list(): UserRow[];
  /** Errors: bad-request, conflict. */
  add(request: {
    readonly name: string;
    readonly role: Role;
    readonly password: string;
    readonly author: string;
  }): Promise<UserRow>;
  /** Errors: not-found, bad-request, conflict (the last administrator). */
  set(request: {
    readonly name: string;
    readonly role?: Role;
    readonly password?: string;
    readonly disabled?: boolean;
    readonly author: string;
  }): Promise<UserRow>;
  /** One's own. Errors: forbidden (the old one is wrong), locked, bad-request. */
  changePassword(request: {
    readonly name: string;
    readonly old: string;
    readonly password: string;
    readonly source: string;
    readonly author: string;
  }): Promise<UserRow>;
  /** Errors: not-found, conflict (the last administrator). */
  remove(request: { readonly name: string; readonly author: string }): void;
  /** Ends a lock-out. Errors: not-found. */
  unlock(request: { readonly name: string; readonly author: string }): UserRow;

  tokens(): TokenRow[];
  /** `lifetimeMs` null: without end. Errors: bad-request, conflict. */
  createToken(request: {
    readonly name: string;
    readonly role: Role;
    readonly lifetimeMs: number | null;
    readonly author: string;
  }): TokenCreated;
  /** Errors: not-found. */
  revokeToken(request: { readonly name: string; readonly author: string }): void;

  /** The newest `limit`, newest first; `before` leaves out that number and all newer ones. */
  audit(query: { readonly limit: number; readonly before?: number }): AuditRow[];
  record(act: Omit<AuditRow, 'number' | 'time'>): void;
}
