/**
 * Whether a client is too slow: with the body that it sends, and with the answer that it takes. Each
 * byte in time is not enough, all of them have to come at the slowest rate that the service allows
 * (limits/slow-body.ts).
 *
 * Invariant: the client is never blamed for a member that does not take its bytes.
 */
import { slowBodyLeft } from '../limits/slow-body.js';
import type { L7Timeouts } from '../tables.js';

/** Milliseconds that the bytes of a body can buy at most. */
const LONGEST = 2 ** 30;

export class Pace {
  /** When the request's body began; later where it had to wait for the member. */
  #began = 0;
  /** Whether the client is behind with an answer, since when, and what it has taken meanwhile. */
  #behind = false;
  #since = 0;
  #taken = 0;

  /** Of a new connection. */
  reset(): void {
    this.#behind = false;
  }

  /** The body of a request begins. */
  begin(now: number): void {
    this.#began = now;
  }

  /** The member holds up the body, of which `bytes` came so far: its time does not count. */
  waitsForMember(now: number, bytes: number, { slowestBody }: L7Timeouts): void {
    const bought = slowestBody > 0 ? Math.min((bytes / slowestBody) * 1000, LONGEST) : 0;
    this.#began = (now - bought) | 0;
  }

  /** Milliseconds that the client has for more of its body. */
  requestLeft(now: number, bytes: number, { idle, slowestBody }: L7Timeouts): number {
    const left = slowBodyLeft(bytes, this.#began, now, slowestBody, idle);
    return left < idle ? left : idle;
  }

  /** Bytes of an answer went out; `pending` are still to be taken. */
  took(bytes: number, pending: number): void {
    if (pending === 0) this.#behind = false;
    else this.#taken += bytes;
  }

  /** Milliseconds that it has to take more of what there is. */
  answerLeft(now: number, { idle, slowestBody }: L7Timeouts): number {
    if (!this.#behind) {
      this.#behind = true;
      this.#since = now;
      this.#taken = 0;
    }
    const left = slowBodyLeft(this.#taken, this.#since, now, slowestBody, idle);
    return left < idle ? left : idle;
  }
}
