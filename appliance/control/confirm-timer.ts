/**
 * Commit-confirm: a revision that nobody confirms in time goes back by itself. The
 * deadline lives in the store, so it holds across restarts of the daemon; while the daemon
 * runs, the time that really passes decides, whatever happens to the clock.
 */
import type { PendingConfirm } from '../config/store.js';

export class ConfirmTimer {
  readonly #onDeadline: (revision: number) => void;
  #timer: NodeJS.Timeout | null = null;
  #revision: number | null = null;

  constructor(onDeadline: (revision: number) => void) {
    this.#onDeadline = onDeadline;
  }

  /** Watches this revision from now on; null: nothing awaits confirmation. */
  watch(pending: PendingConfirm | null): void {
    // One that is watched already keeps the time that it was given.
    if (pending !== null && pending.revision === this.#revision) return;
    this.#clear();
    if (pending !== null) this.#start(pending.revision, pending.deadline - Date.now());
  }

  /** Reminds of the revision again after so many milliseconds. */
  again(revision: number, delayMs: number): void {
    this.#clear();
    this.#start(revision, delayMs);
  }

  close(): void {
    this.#clear();
  }

  #start(revision: number, delayMs: number): void {
    this.#revision = revision;
    this.#timer = setTimeout(
      () => {
        this.#revision = null;
        this.#onDeadline(revision);
      },
      Math.max(0, delayMs),
    );
  }

  #clear(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#revision = null;
  }
}
