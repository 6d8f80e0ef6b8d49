/**
 * What the API asks of the daemon about the pair. Errors: as `DaemonPort`.
 *
 * Invariant: a code of an invitation is in no log, event or path.
 */
import type { PairInvited, PairView } from './pair-contract.js';

export interface PairPort {
  view(): Promise<PairView>;
  /** No addresses: one of each interface. Errors: invalid, conflict, unavailable. */
  invite(request: {
    readonly addresses: readonly string[];
    readonly author: string;
  }): Promise<PairInvited>;
  /** Answers once both units know each other. Errors: invalid, conflict, unavailable. */
  join(request: {
    readonly code: string;
    readonly address: string;
    readonly author: string;
  }): Promise<PairView>;
  /** Withdraws an invitation or forgets the other unit. Errors: conflict when there is neither. */
  leave(request: { readonly author: string }): Promise<PairView>;
}
