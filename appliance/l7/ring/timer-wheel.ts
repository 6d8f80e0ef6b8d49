/**
 * Timers in typed arrays: three wheels of 256 places for 1 ms, 256 ms and 65.5 s. Setting and
 * cancelling take a few stores whatever the number of timers, and nothing is allocated.
 *
 * Timers are numbers from 0 to `capacity` − 1 that the user gives a meaning.
 *
 * Invariants:
 * - A timer fires once, at the first `advance` to its tick or a later one, never before.
 * - Ticks are milliseconds of a monotonic clock, as 32-bit words that may wrap around: only their
 *   differences count, so a delay is below 2^31 ms (24 days).
 * - A timer in the first wheel has less than 256 ms to go; one in an outer wheel moves inwards when
 *   the tick reaches the beginning of its place.
 */

const PLACES = 256;
const WHEELS = 3;
const LONGEST = 2 ** (8 * WHEELS) - 1;
const WORDS = PLACES / 32;

export interface TimerHandler {
  onTimer(timer: number): void;
}

export class TimerWheel {
  readonly capacity: number;
  /** The tick that was reached: everything before it has fired. */
  now: number;
  /**
   * The clock that delays count from, at `now` or ahead of it: a loop that slept sets it before it
   * looks at what happened meanwhile, and fires what is due afterwards.
   */
  time: number;

  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #deadline: Int32Array;
  /** The place of each timer among all wheels', or -1. */
  readonly #place: Int16Array;
  readonly #heads = new Int32Array(PLACES * WHEELS).fill(-1);
  /** A bit for each place that has a timer. */
  readonly #used = new Int32Array(WORDS * WHEELS);

  constructor(capacity: number, now: number) {
    this.capacity = capacity;
    this.now = now | 0;
    this.time = this.now;
    this.#next = new Int32Array(capacity).fill(-1);
    this.#previous = new Int32Array(capacity).fill(-1);
    this.#deadline = new Int32Array(capacity);
    this.#place = new Int16Array(capacity).fill(-1);
  }

  /** Fires `delay` milliseconds (at least one) after `time`; an earlier setting is void. */
  set(timer: number, delay: number): void {
    if (this.#place[timer] !== -1) this.#unlink(timer);
    this.#deadline[timer] = (this.time + (delay < 1 ? 1 : delay)) | 0;
    this.#link(timer);
  }

  cancel(timer: number): void {
    if (this.#place[timer] !== -1) this.#unlink(timer);
  }

  isSet(timer: number): boolean {
    return this.#place[timer] !== -1;
  }

  /** Milliseconds until something is to do here (a timer, or one that moves inwards); -1: nothing. */
  nextDelay(): number {
    let least = -1;
    for (let wheel = 0; wheel < WHEELS; wheel += 1) {
      const shift = wheel << 3;
      const distance = this.#distance(wheel, (this.now >>> shift) & (PLACES - 1));
      if (distance === 0) continue;
      const begin = (((this.now >>> shift) + distance) << shift) | 0;
      const delay = (begin - this.now) | 0;
      if (least < 0 || delay < least) least = delay;
    }
    return least;
  }

  /** Goes on to the tick `now` and fires what is due, in the order of ticks. Returns how many. */
  advance(now: number, handler: TimerHandler): number {
    let fired = 0;
    this.time = now | 0;
    for (;;) {
      const delay = this.nextDelay();
      const left = (now - this.now) | 0;
      if (delay < 0 || delay > left) {
        if (left > 0) this.now = now | 0;
        return fired;
      }
      this.now = (this.now + delay) | 0;
      if ((this.now & 0xffff) === 0) this.#inwards(2, (this.now >>> 16) & (PLACES - 1));
      if ((this.now & 0xff) === 0) this.#inwards(1, (this.now >>> 8) & (PLACES - 1));
      const place = this.now & (PLACES - 1);
      for (
        let timer = this.#heads[place] as number;
        timer >= 0;
        timer = this.#heads[place] as number
      ) {
        this.#unlink(timer);
        fired += 1;
        handler.onTimer(timer);
      }
    }
  }

  /** Sorts the timers of an outer wheel's place anew. */
  #inwards(wheel: number, index: number): void {
    const place = wheel * PLACES + index;
    let timer = this.#heads[place] as number;
    this.#heads[place] = -1;
    this.#mark(place, false);
    while (timer >= 0) {
      const next = this.#next[timer] as number;
      this.#link(timer);
      timer = next;
    }
  }

  #link(timer: number): void {
    const deadline = this.#deadline[timer] as number;
    const left = (deadline - this.now) | 0;
    let place: number;
    if (left < PLACES) place = deadline & (PLACES - 1);
    else if (left < PLACES * PLACES) place = PLACES + ((deadline >>> 8) & (PLACES - 1));
    else {
      // Longer than all wheels turn: as far out as there is, and sorted anew from there.
      const tick = left > LONGEST ? this.now + LONGEST : deadline;
      place = 2 * PLACES + ((tick >>> 16) & (PLACES - 1));
    }
    const head = this.#heads[place] as number;
    this.#next[timer] = head;
    this.#previous[timer] = -1;
    if (head >= 0) this.#previous[head] = timer;
    else this.#mark(place, true);
    this.#heads[place] = timer;
    this.#place[timer] = place;
  }

  #unlink(timer: number): void {
    const place = this.#place[timer] as number;
    const next = this.#next[timer] as number;
    const previous = this.#previous[timer] as number;
    if (next >= 0) this.#previous[next] = previous;
    if (previous >= 0) this.#next[previous] = next;
    else {
      this.#heads[place] = next;
      if (next < 0) this.#mark(place, false);
    }
    this.#place[timer] = -1;
  }

  #mark(place: number, used: boolean): void {
    const word = place >> 5;
    const bit = 1 << (place & 31);
    const bits = this.#used[word] as number;
    this.#used[word] = used ? bits | bit : bits & ~bit;
  }

  /** Steps from place `from` of a wheel to the next used one, 1 to 256; 0 when none is used. */
  #distance(wheel: number, from: number): number {
    const base = wheel * WORDS;
    const begin = (from + 1) & (PLACES - 1);
    let word = begin >> 5;
    let bits = (this.#used[base + word] as number) & (-1 << (begin & 31));
    // The first word comes a second time, for the places before `begin`.
    for (let step = 0; step <= WORDS; step += 1) {
      if (bits !== 0) {
        const index = (word << 5) + 31 - Math.clz32(bits & -bits);
        return ((index - from - 1) & (PLACES - 1)) + 1;
      }
      word = (word + 1) & (WORDS - 1);
      bits = this.#used[base + word] as number;
    }
    return 0;
  }
}
