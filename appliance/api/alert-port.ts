/** What the API asks of the daemon about alerts. Errors: as `DaemonPort`. */
import type { AlertTargetRow, AlertTest } from './alert-contract.js';

export interface AlertPort {
  /** By name. */
  targets(): Promise<AlertTargetRow[]>;
  /**
   * Sends a test to these, or to all when none is named, and answers when all have answered or had
   * their time. Errors: not-found for a name that is not declared, conflict when none is.
   */
  test(request: {
    readonly targets: readonly string[];
    readonly author: string;
  }): Promise<AlertTest>;
}
