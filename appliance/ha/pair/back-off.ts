/** Tries again, later each time: from half a second to ten, less up to a fifth by chance, so that two units do not stay in step. */
const FIRST_MS = 500;
const LONGEST_MS = 10_000;
const BY_CHANCE = 0.2;

export class BackOff {
  readonly #again: () => void;
  #wait = FIRST_MS;
  #timer: NodeJS.Timeout | null = null;

  constructor(again: () => void) {
    this.#again = again;
  }

  /** It went well: the next failure waits for the shortest time. */
  reset(): void {
    this.#wait = FIRST_MS;
  }

  failed(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#again();
      },
      this.#wait * (1 - BY_CHANCE * Math.random()),
    );
    this.#wait = Math.min(this.#wait * 2, LONGEST_MS);
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
