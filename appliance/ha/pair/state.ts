/** What a unit tells of its pair: how it is, and what happens. */
import type { ClockDifference } from './clock.js';
import type { RefusalCounts } from './counts.js';
import type { InvitationEnd } from './invitation.js';
import type { Peer } from './store.js';

export interface LinkState {
  readonly address: string;
  readonly up: boolean;
  /** When it came to be so, milliseconds since 1970; null: not since the daemon started. */
  readonly since: number | null;
  /** Of the last heartbeat, milliseconds. */
  readonly rtt: number | null;
  /** The other unit's clock minus this one's, and how wrong that may be, milliseconds. */
  readonly clock: ClockDifference | null;
  /** Whether messages go over this one now. */
  readonly active: boolean;
  /** Why it is not up, a clause. */
  readonly reason: string | null;
}

export interface PairState {
  /** This unit's, hexadecimal with colons; null: it has no key yet. */
  readonly fingerprint: string | null;
  readonly epoch: number;
  readonly port: number;
  readonly invitation: {
    readonly expires: number;
    readonly wrongCodes: number;
    readonly addresses: readonly string[];
  } | null;
  readonly peer: (Omit<Peer, 'pin'> & { readonly fingerprint: string }) | null;
  /** Of the other daemon; null: not heard since this one started. */
  readonly peerEpoch: number | null;
  readonly links: readonly LinkState[];
  readonly unacknowledged: number;
  readonly refused: RefusalCounts;
  /** Why the stored pair cannot be used. */
  readonly problem: string | null;
}

/** What happened, for the event log. */
export type PairNews =
  | {
      readonly what: 'paired';
      readonly peer: string;
      /** This unit's. */
      readonly role: Peer['role'];
    }
  | { readonly what: 'left'; readonly peer: string }
  | { readonly what: 'up'; readonly peer: string; readonly address: string }
  | {
      readonly what: 'down';
      readonly peer: string;
      readonly address: string;
      readonly reason: string;
    }
  /** The first link came up, or the last went. */
  | { readonly what: 'together' | 'alone'; readonly peer: string }
  | { readonly what: 'wrong-code'; readonly address: string; readonly left: number }
  | { readonly what: 'invitation-over'; readonly why: InvitationEnd };
