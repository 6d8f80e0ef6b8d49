/**
 * When the addresses of one virtual router are announced to their link. Pure: the clock is given.
 * Times are milliseconds of a clock that only goes forward.
 *
 * Invariants:
 * - Rounds that are late are one round.
 * - However often somebody else is heard to claim the addresses, two rounds because of it are
 *   `#gap` apart, which grows while that goes on. One who gives them up again is answered at once,
 *   since hosts that it told ask somebody who is not there; but not more often than `PROMPT_EVERY`,
 *   after some at first, and then as soon as that allows.
 */
import type { AnnouncementSettings } from './settings.js';

/** Between two rounds because of a conflict: at first, at most, and the peace that ends it. */
const SHORTEST_GAP = 100;
const LONGEST_GAP = 10_000;
const PEACE = 20_000;
/** Rounds because somebody gave the addresses up: so many at once, and one more in each such time. */
const PROMPT = 10;
const PROMPT_EVERY = 100;
/** Of one such round after any other. */
const PROMPT_GAP = 20;
/** One more after a conflict has begun, for who missed the first. */
const SECOND_LOOK = 1000;

export class Announcer {
  readonly #settings: AnnouncementSettings;
  /** When rounds are due, in order. */
  #due: number[] = [];
  #refreshAt = Infinity;
  #lastRound = -Infinity;
  #lastConflict = -Infinity;
  #gap = SHORTEST_GAP;
  /** When all prompt rounds would be there again. */
  #promptAgain = -Infinity;

  constructor(settings: AnnouncementSettings) {
    this.#settings = settings;
  }

  /** When the next round is due; Infinity: none is. */
  get deadline(): number {
    return Math.min(this.#due[0] ?? Infinity, this.#refreshAt);
  }

  /** The addresses were taken over, or are others now. */
  taken(now: number): void {
    this.#due = [now, ...this.#settings.repeats.map((delay) => now + delay)];
    this.#plan(now);
  }

  /** They are held, but hosts may have been told otherwise meanwhile. */
  contested(now: number): void {
    if (now - this.#lastConflict > PEACE) this.#gap = SHORTEST_GAP;
    this.#lastConflict = now;
    const begins = this.#gap === SHORTEST_GAP;
    const at = Math.max(now, this.#lastRound + this.#gap);
    if (!this.#due.some((due) => due <= at + SHORTEST_GAP)) {
      this.#gap = Math.min(LONGEST_GAP, this.#gap * 2);
      this.#due.push(at);
    }
    if (begins && !this.#due.some((due) => due > at + SHORTEST_GAP)) {
      this.#due.push(at + SECOND_LOOK);
    }
    this.#due.sort((a, b) => a - b);
    this.#plan(now);
  }

  /** Somebody who held them too does no more: hosts that it told are to hear of this unit. */
  vacated(now: number): void {
    const allowed = this.#promptAgain - PROMPT * PROMPT_EVERY;
    const at = Math.max(now, this.#lastRound + PROMPT_GAP, allowed);
    if (this.#due.some((due) => due >= now && due <= at)) return;
    this.#promptAgain = Math.max(this.#promptAgain, at) + PROMPT_EVERY;
    this.#due.push(at);
    this.#due.sort((a, b) => a - b);
    this.#plan(now);
  }

  /** They are held no more. */
  released(): void {
    this.#due = [];
    this.#refreshAt = Infinity;
  }

  /** Whether a round is due; it counts as made. */
  take(now: number): boolean {
    if (now < this.deadline) return false;
    this.#due = this.#due.filter((due) => due > now);
    this.#lastRound = now;
    this.#plan(now);
    return true;
  }

  #plan(now: number): void {
    this.#refreshAt = now + (this.#settings.refresh ?? Infinity);
  }
}
