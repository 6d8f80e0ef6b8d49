/**
 * Commit-confirm: a revision that nobody confirms in time goes back by itself. The
 * deadline lives in the store, so it holds across restarts of the daemon; this is only
 * the clock beside it.
 */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export class ConfirmTimer {
  readonly #onDeadline: () => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(onDeadline: () => void) {
    this.#onDeadline = onDeadline;
  }

  /** @param deadline milliseconds since 1970; null: nothing awaits confirmation */
  set(deadline: number | null): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (deadline === null) return;
    const wait = Math.min(Math.max(deadline - Date.now(), 0), LONGEST_TIMEOUT_MS);
    this.#timer = setTimeout(() => {
      // The clock may have been set back meanwhile: then the deadline is still ahead.
      if (Date.now() < deadline) this.set(deadline);
      else this.#onDeadline();
    }, wait);
  }

  close(): void {
    this.set(null);
  }
}
