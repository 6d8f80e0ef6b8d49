/** What the replication of the configuration says of itself. */
import type { Entry } from '../../config/shared.js';
import type { Revision } from '../../config/store.js';
import type { Rival } from './messages.js';

export interface PeerIdentity {
  /** The same on both units, another one for each pairing: 64 hexadecimal digits. */
  readonly key: string;
  readonly name: string;
  /** This unit's. */
  readonly role: 'inviter' | 'joiner';
}

/** What became of a change that concerns both units. */
export interface Report {
  readonly peer: string;
  /** Whether the other unit has it too. */
  readonly replicated: boolean;
  /** Null when it has; `away`, `late` (no answer in time), or why the other unit cannot take it. */
  readonly why: string | null;
  /** Since when it is away, milliseconds since 1970; null: not known. */
  readonly since: number | null;
}

export interface View {
  readonly peer: string;
  readonly state: 'in-step' | 'catching-up' | 'away' | 'refused';
  /** When it was lost; null: it is heard, or was not since this daemon started. */
  readonly since: number | null;
  /** Changes that the other unit is not known to have. */
  readonly lacking: number;
  /** Why the other unit does not take over the configuration. */
  readonly reason: string | null;
}

export interface Lost {
  /** Of this unit, where they are kept. */
  readonly revisions: readonly number[];
  readonly authors: readonly string[];
  /** What they did, in lines. */
  readonly changes: readonly string[];
}

export type ReplicationNews =
  | {
      readonly what: 'taken';
      readonly peer: string;
      readonly entry: Entry;
      readonly revision: Revision;
      /** The configuration that this unit had before the pair began, if it had one. */
      readonly replaced: Revision | null;
    }
  /** Both units had changed something while they did not hear each other. `where`: made by whom. */
  | ({
      readonly what: 'superseded';
      readonly where: 'here' | 'there';
      readonly peer: string;
    } & Lost)
  /** The other unit cannot execute what holds here. */
  | { readonly what: 'refused'; readonly peer: string; readonly reason: string }
  | { readonly what: 'not-kept'; readonly peer: string; readonly reason: string };

export type ReplicationErrorCode =
  /** Somebody else was first: see `rival`. */
  | 'conflict'
  /** The other unit cannot execute it. */
  | 'refused'
  | 'joining'
  /** A revision of this unit alone waits to be confirmed. */
  | 'waits'
  | 'closing';

export class ReplicationError extends Error {
  override readonly name = 'ReplicationError';
  readonly code: ReplicationErrorCode;
  readonly rival: Rival | null;

  constructor(code: ReplicationErrorCode, message: string, rival: Rival | null = null) {
    super(message);
    this.code = code;
    this.rival = rival;
  }
}
