/**
 * The speaker's side of its lease (lease.ts): renewed with every turn, and when that came so late
 * that the guard nearly ended the speaker, it is said, with what held the turn up.
 */
import { monotonicNow } from '../../../../native/ffi/timer.js';
import type { GuardProcess } from './guard-process.js';
import type { TurnClock } from './lateness.js';
import type { FromSpeaker } from './messages.js';

/** The longest that putting on or taking off addresses may take without a turn in between. */
const PLACING_MS = 1000;
/** Less than this part of the lease left when it is renewed is said, this often at most. */
const NARROW = 0.3;
const NARROW_MS = 10_000;

export class Leasing {
  readonly #guard: GuardProcess;
  readonly #clock: TurnClock;
  readonly #tell: (message: FromSpeaker) => void;
  /** What was left; null: enough. */
  #narrow: number | null = null;
  #toldAt = -Infinity;

  constructor(guard: GuardProcess, clock: TurnClock, tell: (message: FromSpeaker) => void) {
    this.#guard = guard;
    this.#clock = clock;
    this.#tell = tell;
  }

  /**
   * `until`: before that nobody else takes over; Infinity: nothing is held. `moving`: addresses are
   * being put on or taken off, or wait for the other unit.
   */
  renew(until: number, moving: boolean): void {
    const now = monotonicNow();
    if (!moving && until !== Infinity) this.#note(this.#guard.until - now, until - now);
    const least = moving ? now + PLACING_MS : 0;
    // Not before clients are served: the guard may need the same CPU.
    this.#guard.renew(Math.max(until === Infinity && moving ? 0 : until, least), !moving);
  }

  /** At the end of a turn, when nobody waits for anything of it. */
  tellNarrow(): void {
    const left = this.#narrow;
    if (left === null) return;
    this.#narrow = null;
    const now = monotonicNow();
    if (now < this.#toldAt + NARROW_MS) return;
    this.#toldAt = now;
    this.#tell({ kind: 'late', left, ...this.#clock.last });
  }

  #note(left: number, length: number): void {
    if (left === Infinity) return;
    this.#clock.renewed(left);
    if (left < length * NARROW) this.#narrow = left;
  }
}
