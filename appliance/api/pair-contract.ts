/** What the control API answers about the pair, by the conventions of contract.ts. */

/** One link to the other unit: a connection to or from one address. */
export interface PairLink {
  /** The inviter's address, which is the link's name on both units. */
  readonly address: string;
  readonly up: boolean;
  /** When it came to be so, milliseconds since 1970; null: not since the daemon started. */
  readonly since: number | null;
  /** Of the last heartbeat, milliseconds; null while it is down. */
  readonly rtt: number | null;
  /** The other unit's clock minus this one's, milliseconds, and how wrong that may be; null while it is down. */
  readonly clock: { readonly ms: number; readonly errorMs: number } | null;
  /** Whether messages go over this one now. */
  readonly active: boolean;
  /** Why it is not up, a clause. */
  readonly reason: string | null;
}

export interface PairPeer {
  readonly name: string;
  /** SHA-256 of its public key, hexadecimal with colons. */
  readonly fingerprint: string;
  /** This unit's part in the pairing: the inviter listens, the joiner dials. */
  readonly role: 'inviter' | 'joiner';
  readonly addresses: readonly string[];
  readonly port: number;
  /** When the two were paired, milliseconds since 1970. */
  readonly since: number;
}

export interface PairInvitation {
  readonly expires: number;
  readonly wrongCodes: number;
  readonly addresses: readonly string[];
}

export interface PairView {
  /** This unit's name. */
  readonly unit: string;
  /** SHA-256 of this unit's public key; null while it has none. */
  readonly fingerprint: string | null;
  readonly port: number;
  readonly invitation: PairInvitation | null;
  /** The other unit; null while there is none. */
  readonly peer: PairPeer | null;
  /** Whether any link to it is up. */
  readonly together: boolean;
  readonly links: readonly PairLink[];
  /** Messages that the other unit has not acknowledged. */
  readonly unacknowledged: number;
  /** What was refused on the port since the daemon started, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Why the stored pair cannot be used, a sentence. */
  readonly problem: string | null;
}

/** An open invitation, with its code: once, to who asked for it. */
export interface PairInvited {
  readonly unit: string;
  readonly code: string;
  readonly expires: number;
  readonly fingerprint: string;
  readonly addresses: readonly string[];
  readonly port: number;
}
