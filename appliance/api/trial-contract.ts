/** What the control API says of a document that is tried before it is applied. Part of contract.ts. */

/** One member, asked once as the monitor of its pool would. */
export interface TrialRow {
  readonly pool: string;
  /** ADDRESS:PORT, as the document names it. */
  readonly member: string;
  /** Type of the monitor. */
  readonly monitor: string;
  /** `inconclusive`: the unit itself could not ask; the reason says why. */
  readonly outcome: 'pass' | 'fail' | 'inconclusive';
  /** A few words: `connection refused`, `status 200`. */
  readonly reason: string;
  /** Milliseconds; null when nothing came. */
  readonly latencyMs: number | null;
}

export interface Trial {
  /** In the order of the document; members of pools without a monitor, and disabled ones, are not asked. */
  readonly rows: readonly TrialRow[];
  /** Of the document, sentences. */
  readonly warnings: readonly string[];
}
