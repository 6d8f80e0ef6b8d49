/**
 * One kind of what a unit is made of, as a backup has it. What is backed up is the list of parts in
 * `unit-parts.ts`.
 */
import type { Entry } from './records.js';

export interface Part {
  /** In the file; never changes. */
  readonly name: string;
  /** For people, plural. */
  readonly title: string;
  /** As it is now, read in one turn of the event loop. Bodies are the caller's to wipe. @throws Error, a sentence */
  read(): Entry[];
  /** Checks all of it, and changes nothing. @throws Error, a sentence */
  plan(entries: readonly Entry[]): PartPlan;
}

export interface PartPlan {
  /** Sentences: what would change, and what of it cannot be taken. */
  readonly changes: readonly string[];
  /** Changes it. What it did until it throws `undo` takes back. */
  carryOut(): void;
  undo(): void;
}
