/** What the control API answers about upgrades, by the conventions of contract.ts. */

/**
 * `idle`: nothing is done. `armed`: the next boot tries the other slot, and somebody must reboot.
 * `trying`: this boot is the trial. `other-unit`: the other unit of the pair is upgraded first.
 */
export type UpgradePhase =
  | 'idle'
  | 'verifying'
  | 'other-unit'
  | 'writing'
  | 'handing-over'
  | 'armed'
  | 'rebooting'
  | 'trying';

export interface SlotRow {
  readonly slot: 'a' | 'b';
  readonly running: boolean;
  /** What boots when nothing is tried. */
  readonly good: boolean;
  readonly trial: boolean;
  /** Null: nothing that boots, as far as is known. */
  readonly version: string | null;
  readonly commit: string | null;
}

/** The latest upgrade that wrote a slot or chose another one. */
export interface LastUpgrade {
  readonly stage: 'writing' | 'written' | 'armed' | 'good' | 'fallen-back' | 'failed';
  readonly version: string | null;
  /** Back to what the other slot has. */
  readonly back: boolean;
  readonly author: string;
  /** Milliseconds since 1970. */
  readonly began: number;
  readonly changed: number;
  /** Why it failed or fell back, a clause. */
  readonly reason: string | null;
}

export interface UpgradeView {
  /** Why this unit cannot be upgraded, a sentence; null: it can. */
  readonly unable: string | null;
  readonly version: string;
  readonly slots: readonly SlotRow[];
  readonly phase: UpgradePhase;
  /** Octets of the phase; null: it has none. */
  readonly progress: { readonly done: number; readonly total: number } | null;
  /** Of the phase `other-unit`: what it does, a clause. */
  readonly otherUnit: string | null;
  readonly last: LastUpgrade | null;
  /** Why the latest attempt since the daemon started failed, a sentence. */
  readonly problem: string | null;
  /** While a slot is tried: what is missing until it is good, clauses. */
  readonly missing: readonly string[];
  /** Whether the daemon reboots the unit by itself. */
  readonly reboots: boolean;
}
