/**
 * What is observed of members for least-response-time and least-bandwidth, in shared memory.
 *
 * - Response time: an estimate that rises at once with a slow answer and decays with a half-life,
 *   with samples and without (the peak-sensitive moving average of Finagle and linkerd). So a member
 *   that is slow is left alone quickly, and tried again later.
 * - Bandwidth: bytes of the running epoch and, as far as the window still covers it, of the one
 *   before, as if they had come evenly.
 *
 * Invariant: an update that two workers make at the same time may lose one sample, never a count of
 * bytes; whoever dies half-way leaves a wrong estimate for one epoch or half-life.
 */
import type { BalanceMemory } from './memory.js';

export const HALF_LIFE = 5000;
/** An estimate of a failed request is the double of what it was, at least this, at most that. */
const FAILED_LEAST = 100_000;
const LATENCY_MOST = 60_000_000;
/** Epochs are 4,096 ms, so that they follow from a word by shifting. */
export const EPOCH_BITS = 12;
const EPOCH = 1 << EPOCH_BITS;
/** Bytes are counted in units, so that a word holds 64 GiB of an epoch; the rest is carried on. */
export const BYTE_UNIT = 16;

/** 2^(−dt ÷ half-life) at steps of 1/64 half-life, 16 half-lives. */
const STEPS = 64;
const decay = Float64Array.from({ length: 16 * STEPS + 1 }, (_, i) =>
  i < 16 * STEPS ? 2 ** (-i / STEPS) : 0,
);
const STEPS_PER_MS = STEPS / HALF_LIFE;
/** Of samples within one millisecond each counts as if it came so much later. */
const SAME_MS = 2 ** (-1 / 16 / HALF_LIFE);

/** What is left of an estimate after `elapsed` milliseconds. Rather a little too much than too little. */
export function decayed(elapsed: number): number {
  const step = (elapsed * STEPS_PER_MS) | 0;
  return step <= 0 ? 1 : (decay[step < 16 * STEPS ? step : 16 * STEPS] as number);
}

/** @param at the shared clock @param micros to the head of the answer, whole */
export function noteResponse(memory: BalanceMemory, row: number, at: number, micros: number): void {
  const { latency, latencyAt } = memory;
  const before = latency[row] as number;
  if (micros >= before) latency[row] = micros < 1 ? 1 : micros;
  else {
    const elapsed = (at - (latencyAt[row] as number)) | 0;
    const kept = elapsed > 0 ? 2 ** (-elapsed / HALF_LIFE) : SAME_MS;
    latency[row] = before * kept + micros * (1 - kept);
  }
  latencyAt[row] = at;
}

/** A member that refuses quickly must not look fast. */
export function noteFailure(memory: BalanceMemory, row: number, at: number): void {
  const doubled = (memory.latency[row] as number) * 2;
  memory.latency[row] =
    doubled < FAILED_LEAST ? FAILED_LEAST : doubled > LATENCY_MOST ? LATENCY_MOST : doubled;
  memory.latencyAt[row] = at;
}

/** Positive when epoch `a` is later than `b`: they have 20 bits and wrap. */
export function epochsApart(a: number, b: number): number {
  return ((a - b) << EPOCH_BITS) >> EPOCH_BITS;
}

export function noteUnits(memory: BalanceMemory, row: number, at: number, units: number): void {
  const { transferred, thisMark, lastMark, epochs } = memory;
  const epoch = at >> EPOCH_BITS;
  const stored = epochs[row] as number;
  const apart = epochsApart(epoch, stored);
  if (apart > 0 && Atomics.compareExchange(epochs, row, stored, epoch) === stored) {
    const total = transferred[row] as number;
    lastMark[row] = apart === 1 ? (thisMark[row] as number) : total;
    thisMark[row] = total;
  }
  Atomics.add(transferred, row, units | 0);
}

/** Part of the running epoch that is still to come: as much of the one before is in the window. */
export function leftOfEpoch(at: number): number {
  return (EPOCH - (at & (EPOCH - 1))) / EPOCH;
}

/**
 * Units in the window that ends now, of a row's words.
 *
 * @param apart epochs since the one of `mark`
 * @param left as by `leftOfEpoch`
 */
export function unitsInWindow(
  apart: number,
  total: number,
  mark: number,
  last: number,
  left: number,
): number {
  if (apart > 1) return 0;
  const units = (total - mark) >>> 0;
  return apart === 1 ? units * left : units + ((mark - last) >>> 0) * left;
}
