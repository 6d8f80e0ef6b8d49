/**
 * What one worker remembers of a member's failures: those in a row, and those of a sliding window in
 * eight parts.
 *
 * Invariant: `requests` and `failures` are the sums of the parts, which together cover the window up
 * to now, and at least seven eighths of it.
 */
const PARTS = 8;

export class MemberRecord {
  /** Failures in a row. */
  row = 0;
  requests = 0;
  failures = 0;
  /** Takes no new requests until then. */
  ejected = false;
  until = 0;
  /** Ejections that still count, for how long the next one lasts. */
  times = 0;
  returnedAt = 0;
  /** Milliseconds of a part; 0: nothing was counted yet. */
  #width = 0;
  #begin = 0;
  #part = 0;
  readonly #requests = new Int32Array(PARTS);
  readonly #failures = new Int32Array(PARTS);

  /** @param width milliseconds of a part of the window */
  count(now: number, width: number, failed: boolean): void {
    if (width !== this.#width) {
      this.forget();
      this.#width = width;
      this.#begin = now;
    }
    const elapsed = (now - this.#begin) | 0;
    if (elapsed >= width) this.#advance(elapsed, width);
    const part = this.#part;
    this.requests += 1;
    this.#requests[part] = (this.#requests[part] as number) + 1;
    if (failed) {
      this.row += 1;
      this.failures += 1;
      this.#failures[part] = (this.#failures[part] as number) + 1;
    } else this.row = 0;
  }

  #advance(elapsed: number, width: number): void {
    const parts = Math.floor(elapsed / width);
    this.#begin = (this.#begin + parts * width) | 0;
    for (let i = 0; i < parts && i < PARTS; i += 1) {
      const part = (this.#part + 1) % PARTS;
      this.#part = part;
      this.requests -= this.#requests[part] as number;
      this.failures -= this.#failures[part] as number;
      this.#requests[part] = 0;
      this.#failures[part] = 0;
    }
  }

  /** Counts from nothing on, as after an ejection. */
  forget(): void {
    this.row = 0;
    this.requests = 0;
    this.failures = 0;
    this.#width = 0;
    this.#requests.fill(0);
    this.#failures.fill(0);
  }
}

/** Milliseconds of a part of a window. */
export function partOf(window: number): number {
  return Math.max(1, Math.floor(window / PARTS));
}
