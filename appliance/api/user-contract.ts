/**
 * What the control API says of users, their sessions, tokens, and of who did what. Part of
 * contract.ts, with its conventions.
 */

/** From the one that may least on: each may what those before it may. */
export const ROLES = ['viewer', 'operator', 'administrator'] as const;

/** viewer: looks. operator: also drains, enables, disables and weighs members. administrator: everything. */
export type Role = (typeof ROLES)[number];

export interface UserRow {
  readonly name: string;
  readonly role: Role;
  readonly disabled: boolean;
  readonly created: number;
  readonly passwordChanged: number;
  /** On this unit. */
  readonly lastLogin: number | null;
  /** Until when this unit takes no login of that name; null: it does. */
  readonly lockedUntil: number | null;
  /** Open ones on this unit. */
  readonly sessions: number;
}

/** A token for scripts. Its secret is told once, when it is made. */
export interface TokenRow {
  readonly name: string;
  readonly role: Role;
  readonly created: number;
  /** Null: it does not end by itself. */
  readonly expires: number | null;
  /** Who made it. */
  readonly author: string;
  /** On this unit, to a minute. */
  readonly lastUsed: number | null;
}

export interface TokenCreated extends TokenRow {
  /** The secret: nobody can ask for it again. */
  readonly token: string;
}

export interface LoggedIn {
  /** For `Authorization: Bearer`. */
  readonly token: string;
  readonly name: string;
  readonly role: Role;
  /** When the session ends at the latest. */
  readonly expires: number;
  /** It ends sooner when nothing is asked with it for so long. */
  readonly idleMs: number;
}

/** Who is asking. */
export interface Me {
  /** Of the user, of the token, or the peer's name on the system. */
  readonly name: string;
  readonly role: Role;
  /** root, local: by who the peer of the socket is. session, token: by what was sent. */
  readonly via: 'root' | 'local' | 'session' | 'token';
  /** `console`, the peer's name on the system, or its address. */
  readonly from: string;
  /** As it is written beside changes: `anna (console)`, `token ci`. */
  readonly author: string;
  /** Of the session or token; null: never. */
  readonly expires: number | null;
}

/** One act, or an attempt of one. */
export interface AuditRow {
  /** Grows by one with each. */
  readonly number: number;
  readonly time: number;
  /** `anna (console)`, `token ci`; of a login that failed the name that was given. */
  readonly author: string;
  readonly role: Role | null;
  readonly from: string;
  /** In words: `set a member`, `log in`. */
  readonly act: string;
  /** What it was done to: the path of the request without `/v1`. */
  readonly object: string;
  /** HTTP status of the answer. */
  readonly status: number;
  /** Why it was refused; empty when it was done. */
  readonly reason: string;
}
