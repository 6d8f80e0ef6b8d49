/** What the control API answers about alerts, by the conventions of contract.ts. */
import type { Severity } from './contract.js';

/** Somebody who is told, and how that goes. Counts are since the daemon started. */
export interface AlertTargetRow {
  readonly name: string;
  readonly type: 'syslog' | 'email' | 'webhook';
  /** Where to: a URL, `SERVER:PORT`, or addresses of e-mail. */
  readonly to: string;
  /** Least severity of what it is told. */
  readonly severity: Severity;
  /** `idle`: nothing was sent yet. */
  readonly state: 'idle' | 'well' | 'failing';
  readonly delivered: number;
  readonly lastDelivery: number | null;
  /** The latest, also when it is over. */
  readonly lastError: { readonly time: number; readonly message: string } | null;
  /** Alerts that are not delivered yet. */
  readonly waiting: number;
  /** When it is tried again; null: nothing failed just now. */
  readonly nextTry: number | null;
  /** Alerts that nobody will be told of: no room, too old, or refused for good. */
  readonly dropped: number;
}

/** What a target said to a test. */
export interface AlertTestRow {
  readonly target: string;
  readonly ok: boolean;
  /** One sentence: the answer, or why there was none. */
  readonly message: string;
  readonly durationMs: number;
}

export interface AlertTest {
  /** Whether every target took it. */
  readonly ok: boolean;
  readonly tests: readonly AlertTestRow[];
}
