/**
 * Outlier ejection: a member whose requests fail takes no new ones for a while.
 *
 * Each worker decides by what it sees itself: a request's way then writes to no memory that others
 * read, and workers that see different failures (one of them has bad connections) may differ.
 *
 * Invariants:
 * - At one time never more than the share `most` of the members that take requests is ejected.
 * - A member comes back by itself when its time is over: when it is looked at, or by `sweep`, which
 *   is to be called once a second.
 * - While it is ejected nothing is counted; when it comes back the count begins anew.
 */
import type { L7Ejection } from '../tables.js';
import { partOf } from './member-record.js';
import type { MemberState } from './members.js';

/** The hold grows up to so many times the first one. */
const LONGEST = 16;
/** Milliseconds; far below what words of time can tell apart. */
const MOST_HOLD = 2 ** 29;
/** A share of a number is not always what it is on paper: 0.1 of 30 is above 3. */
const ROUNDING = 1e-9;

export type EjectionReason = 'failures' | 'share';

/** Hears of it rarely: it may allocate. */
export interface EjectionListener {
  ejected(member: MemberState, hold: number, reason: EjectionReason): void;
  returned(member: MemberState): void;
}

export class Ejection {
  readonly #settings: L7Ejection;
  readonly #members: readonly MemberState[];
  readonly #listener: EjectionListener;
  readonly #width: number;

  constructor(settings: L7Ejection, members: readonly MemberState[], listener: EjectionListener) {
    this.#settings = settings;
    this.#members = members;
    this.#listener = listener;
    this.#width = partOf(settings.within);
  }

  /** A request to the member went well or failed. */
  note(member: MemberState, now: number, failed: boolean): void {
    const { record } = member;
    if (record.ejected) return;
    record.count(now, this.#width, failed);
    if (!failed) return;
    const { failures, share, minimum } = this.#settings;
    if (record.row >= failures) this.#eject(member, now, 'failures');
    else if (record.requests >= minimum && record.failures + ROUNDING >= share * record.requests) {
      this.#eject(member, now, 'share');
    }
  }

  #eject(member: MemberState, now: number, reason: EjectionReason): void {
    let takers = 0;
    let ejected = 0;
    for (const one of this.#members) {
      if (!one.takes || one.weight === 0) continue;
      takers += 1;
      if (one.record.ejected && !this.returns(one, now)) ejected += 1;
    }
    if (!member.takes || ejected + 1 > this.#settings.most * takers + ROUNDING) return;
    const { record } = member;
    const { hold } = this.#settings;
    if (record.times > 0) {
      const served = (now - record.returnedAt) | 0;
      record.times = Math.max(0, record.times - Math.floor(Math.max(0, served) / hold));
    }
    record.times = Math.min(record.times + 1, LONGEST);
    const lasts = Math.min(hold * record.times, MOST_HOLD);
    record.ejected = true;
    record.until = (now + lasts) | 0;
    this.#listener.ejected(member, lasts, reason);
  }

  /** Whether the time of an ejected member is over; then it is back. */
  returns(member: MemberState, now: number): boolean {
    const { record } = member;
    if (((now - record.until) | 0) < 0) return false;
    record.ejected = false;
    record.returnedAt = now;
    record.forget();
    this.#listener.returned(member);
    return true;
  }

  sweep(now: number): void {
    for (const member of this.#members) {
      if (member.record.ejected) this.returns(member, now);
    }
  }
}

/** Members of a pool that ejects no more come back. */
export function endEjection(member: MemberState): void {
  member.ejection = null;
  member.record.ejected = false;
  member.record.times = 0;
  member.record.forget();
}
