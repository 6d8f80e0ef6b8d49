/** What the API asks of the daemon about upgrades. Errors: as `DaemonPort`. */
import type { UpgradeView } from './upgrade-contract.js';

export interface UpgradeRequest {
  /** Path of the bundle on this unit, absolute. */
  readonly file: string;
  readonly allowOlder: boolean;
  /** The other unit of the pair first, then this one. */
  readonly pair: boolean;
  readonly author: string;
}

export interface UpgradePort {
  view(): Promise<UpgradeView>;
  /** Answers when it is under way. Errors: bad-request (the bundle), conflict, unavailable. */
  start(request: UpgradeRequest): Promise<UpgradeView>;
  /** Boots the other slot as it is. Errors: conflict, unavailable. */
  back(request: { readonly author: string }): Promise<UpgradeView>;
}
