/** What the control API answers about the unit as a machine, by the conventions of contract.ts. */
import type { Change } from '../config/changes.js';

export type BackupScope = 'unit' | 'configuration';

/** What a backup is of, and what restoring it here would do. */
export interface BackupView {
  /** Of the unit that it was made on. */
  readonly unit: string;
  /** Of the Weir that made it. */
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly author: string;
  readonly scope: BackupScope;
  /** The revision that was current; null: none was. */
  readonly revision: number | null;
  readonly parts: readonly BackupPartRow[];
  readonly restore: RestorePlan;
}

export interface BackupPartRow {
  readonly name: string;
  /** For people. */
  readonly title: string;
  readonly entries: readonly string[];
}

export interface RestorePlan {
  /** Of the document. */
  readonly changes: readonly Change[];
  /** Of everything else, and what is not restored; sentences. */
  readonly notes: readonly string[];
  /** Why it would be refused, a sentence; null: it would not. */
  readonly refusal: string | null;
}

export interface RestoreResult {
  /** Null: the backup had no document, or the unit has it already. */
  readonly revision: number | null;
  readonly changes: readonly Change[];
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
  /** On the unit: a backup of what was there, with the same passphrase. */
  readonly copy: string;
}

export interface SystemView {
  readonly unit: string;
  /** Whether Weir may reboot this host and turn it off. */
  readonly power: boolean;
  /** Where copies from before a restore are. */
  readonly copies: string;
}

export type PowerAction = 'reboot' | 'off';
