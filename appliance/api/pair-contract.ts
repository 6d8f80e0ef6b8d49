/** What the control API answers about the pair, by the conventions of contract.ts. */
import type { ReplicationView } from './contract.js';

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

/** One way by which heartbeats of the other unit's VRRP speaker come: a network that both are in. */
export interface PairPath {
  /** The network. */
  readonly path: string;
  readonly interface: string;
  readonly local: string;
  readonly remote: string;
  /** Null: no speaker has listened there yet. */
  readonly heard: boolean | null;
  /** When it came to be so, milliseconds since 1970, as far as this daemon knows. */
  readonly since: number | null;
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
  readonly paths: readonly PairPath[];
  /** Messages that the other unit has not acknowledged. */
  readonly unacknowledged: number;
  /** What was refused on the port since the daemon started, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Why the stored pair cannot be used, a sentence. */
  readonly problem: string | null;
  /** What the two units have in common; null without a pair. */
  readonly standing: PairStanding | null;
}

export interface PairStanding {
  readonly configuration: PairConfiguration;
  readonly flows: PairFlows;
  /** Which member clients of the proxy stick to: entries since the daemon started. */
  readonly clients: { readonly told: number; readonly taken: number };
  readonly shared: PairShared;
  /** Virtual routers of this unit by role, … */
  readonly routers: { readonly master: number; readonly backup: number; readonly down: number };
  /** … and the groups that were told to give their addresses up. */
  readonly failovers: readonly string[];
}

export interface PairConfiguration extends Omit<ReplicationView, 'peer'> {
  /** Of this unit; null: nothing was applied yet. */
  readonly revision: number | null;
  /** Of the latest change that both units are to have: the same on both; null: there is none. */
  readonly id: string | null;
  /** Numbers of revisions that gave way and were not brought back, the newest first, few. */
  readonly superseded: readonly SupersededRevision[];
}

export interface SupersededRevision {
  readonly revision: number;
  /** Where it was made; empty: on both. */
  readonly unit: string;
  readonly author: string;
  readonly time: number;
}

/** How far either unit could go on with the flows of the other. */
export interface PairFlows {
  /** The other unit knows all flows of this one. */
  readonly told: boolean;
  /** This unit knows all flows of the other one. */
  readonly complete: boolean;
  /** Flows of the other unit that are known here; null: not counted yet. */
  readonly known: number | null;
  /** Records in the last second. */
  readonly toldPerSecond: number;
  readonly takenPerSecond: number;
  /** Milliseconds that the oldest batch waits for its acknowledgement; 0: none waits. */
  readonly lag: number;
  /** Since the daemon started: ends of flows that could not be told, each is made up for by a pass. */
  readonly untold: number;
  /** Since the daemon started: records of the other unit that found no place here, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Since the tables were made: flows of the other unit that this one went on with. */
  readonly takenOver: number;
  /** A sentence. */
  readonly problem: string | null;
}

/** Certificates, keys and whatever else both units have beside the configuration. */
export interface PairShared {
  readonly state: 'in-step' | 'catching-up' | 'away';
  /** Entries that the other unit is still to be given. */
  readonly waiting: number;
  /** Since the daemon started. */
  readonly given: number;
  readonly taken: number;
  readonly notTaken: number;
  /** Entries of each kind. */
  readonly kinds: readonly { readonly name: string; readonly entries: number }[];
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
