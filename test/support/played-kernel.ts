/**
 * A kernel behind the ring that a test plays: it says what it is told to, for what the real one
 * does too rarely.
 */
import { SQE_WORDS } from '../../native/ffi/io-uring-abi.js';
import type { RingKernel } from '../../appliance/l7/ring/ring.js';

const SQ_HEAD = 0;
const SQ_TAIL = 1;
const CQ_HEAD = 2;
const CQ_TAIL = 3;
const CQES = 8;

/** A kernel that takes up to `takes` entries of each call and completes them at once. */
export class PlayedKernel implements RingKernel {
  /** Opcodes of the operations taken, in order. */
  readonly opcodes: number[] = [];
  readonly ring = new Int32Array(256);
  readonly sqes: Int32Array;
  readonly sq;
  readonly cq = { head: CQ_HEAD, tail: CQ_TAIL, mask: 31, entries: 32 };
  readonly cqOverflow = 5;
  readonly cqes = CQES;
  /** What each call returns instead of working, as long as there is something. */
  readonly answers: number[] = [];
  readonly calls: { readonly submit: number; readonly complete: number; readonly wait: number }[] =
    [];
  takes = 1000;

  constructor(entries: number) {
    this.sqes = new Int32Array(entries * SQE_WORDS);
    this.sq = { head: SQ_HEAD, tail: SQ_TAIL, mask: entries - 1, entries };
  }
  enter(submit: number, complete: number, wait: number): number {
    this.calls.push({ submit, complete, wait });
    const answer = this.answers.shift();
    if (answer !== undefined) return answer;
    let taken = 0;
    for (; taken < Math.min(submit, this.takes); taken += 1) {
      const head = this.ring[SQ_HEAD]!;
      const from = (head & this.sq.mask) * SQE_WORDS;
      const to = CQES + (this.ring[CQ_TAIL]! & this.cq.mask) * 4;
      this.opcodes.push(this.sqes[from]! & 0xff);
      this.ring[to] = this.sqes[from + 8]!;
      this.ring[to + 1] = this.sqes[from + 9]!;
      this.ring[to + 2] = 0;
      this.ring[CQ_TAIL] = this.ring[CQ_TAIL]! + 1;
      this.ring[SQ_HEAD] = head + 1;
    }
    return taken;
  }
  submit(count: number): number {
    return this.enter(count, 0, 0);
  }
}
