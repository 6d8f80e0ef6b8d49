/**
 * One deadline for each connection. A deadline that is put off costs one store: the timer that is set
 * already fires too early and is set anew then, so a busy connection touches the wheel once in a while
 * and not with every request.
 *
 * Invariant: `expired` is called once for a deadline that was reached and not cleared, never early.
 */
export interface DeadlineTimers {
  setTimer(timer: number, milliseconds: number): void;
  /** Milliseconds of the loop's clock, a word. */
  readonly now: number;
  /** Milliseconds with fractions when the turn began. */
  readonly clock: Float64Array;
}

export class Deadlines {
  readonly #timers: DeadlineTimers;
  readonly #due: Int32Array;
  /** When the timer that is set will fire. */
  readonly #fires: Int32Array;
  /** Bits: 1 there is a deadline, 2 a timer is set. */
  readonly #state: Uint8Array;

  constructor(timers: DeadlineTimers, slots: number) {
    this.#timers = timers;
    this.#due = new Int32Array(slots);
    this.#fires = new Int32Array(slots);
    this.#state = new Uint8Array(slots);
  }

  set(slot: number, milliseconds: number): void {
    const due = (this.#timers.now + milliseconds) | 0;
    this.#due[slot] = due;
    const state = this.#state[slot] as number;
    if ((state & 2) !== 0 && (((this.#fires[slot] as number) - due) | 0) <= 0) {
      this.#state[slot] = 3;
      return;
    }
    this.#state[slot] = 3;
    this.#fires[slot] = due;
    this.#timers.setTimer(slot, milliseconds);
  }

  clear(slot: number): void {
    this.#state[slot] = (this.#state[slot] as number) & 2;
  }

  /** The slot's timer fired. Whether its deadline has come. */
  fired(slot: number): boolean {
    const state = this.#state[slot] as number;
    this.#state[slot] = 0;
    if ((state & 1) === 0) return false;
    const left = ((this.#due[slot] as number) - this.#timers.now) | 0;
    if (left <= 0) return true;
    this.#state[slot] = 3;
    this.#fires[slot] = this.#due[slot] as number;
    this.#timers.setTimer(slot, left);
    return false;
  }
}
