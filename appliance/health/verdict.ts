/**
 * How a probe ends: the deadline, the cancellation and the first verdict race, and failures are
 * told in people's words.
 *
 * Invariants:
 * - A probe settles exactly once, and what it holds is released at that moment.
 * - A daemon that was held up itself (by a large change, say) does not take that for a member's
 *   silence: answers that wait to be read are read first.
 */
import { formatDuration } from '../config/units-of-measure.js';
import type { Cancellation } from './cancellation.js';
import type { ProbeResult } from './state-machine.js';

/** Bytes of an answer that are looked at. */
export const MOST_ANSWER_BYTES = 64 * 1024;

export interface Endpoint {
  /** IP address, no name. */
  readonly address: string;
  readonly port: number;
}

/** Ends the probe; later calls do nothing. */
export type Finish = (
  outcome: ProbeResult['outcome'],
  reason: string,
  more?: Omit<ProbeResult, 'outcome' | 'reason'>,
) => void;

/** A timer of an event loop that runs freely is not later than this. */
const STALL_MS = 50;

/**
 * Runs one probe. `begin` starts it and returns what releases its resources; it must not call
 * `finish` before it returns. `late` gives the verdict when the deadline (milliseconds) comes
 * first. Never rejects. Unless the verdict says otherwise, its latency is that from here to it.
 */
export function race(
  timeoutMs: number,
  cancelled: Cancellation,
  begin: (finish: Finish) => () => void,
  late: (finish: Finish) => void = (finish) =>
    finish('fail', `no answer within ${formatDuration(timeoutMs)}`),
): Promise<ProbeResult> {
  if (cancelled.cancelled) return Promise.resolve(CANCELLED);
  return new Promise((resolve) => {
    const started = performance.now();
    let finished = false;
    const finish: Finish = (outcome, reason, more) => {
      if (finished) return;
      finished = true;
      clearTimeout(deadline);
      cancelled.onCancel(null);
      release();
      resolve(
        outcome === 'pass'
          ? { outcome, reason, latencyMs: performance.now() - started, ...more }
          : { outcome, reason, ...more },
      );
    };
    const release = begin(finish);
    const expire = (): void => {
      const overrun = performance.now() - started - timeoutMs;
      if (overrun <= STALL_MS) {
        late(finish);
        return;
      }
      // Once only, and never for longer than the timeout: a dead member is still found dead.
      deadline = setTimeout(() => late(finish), Math.max(STALL_MS, Math.min(overrun, timeoutMs)));
    };
    let deadline = setTimeout(expire, timeoutMs);
    cancelled.onCancel(() => finish(CANCELLED.outcome, CANCELLED.reason));
  });
}

const CANCELLED: ProbeResult = { outcome: 'inconclusive', reason: 'the probe was cancelled' };

/** Failures of the unit itself: they say nothing about the member. */
const ownTrouble: Readonly<Record<string, string>> = {
  EMFILE: 'this unit has no file descriptor left',
  ENFILE: 'this unit has no file descriptor left',
  ENOBUFS: 'this unit has no network buffer left',
  ENOMEM: 'this unit has no memory left',
  EAGAIN: 'this unit has no free local port',
  EADDRINUSE: 'this unit has no free local port',
  EADDRNOTAVAIL: 'this unit has no free local port',
  EACCES: 'this unit forbids the connection',
  EPERM: 'this unit forbids the connection',
};

const failures: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection closed',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  EHOSTDOWN: 'host down',
  ENETDOWN: 'network down',
  ETIMEDOUT: 'connection timed out',
};

export interface SystemFailure extends Error {
  readonly code?: unknown;
  readonly syscall?: unknown;
}

/** What a socket's error means for the member. `source`: the address that was to be probed from. */
export function failureOf(error: SystemFailure, source?: string): ProbeResult {
  const code = typeof error.code === 'string' ? error.code : '';
  if (source !== undefined && error.syscall === 'bind') {
    return { outcome: 'inconclusive', reason: cannotBind(source, code) };
  }
  const own = ownTrouble[code];
  if (own !== undefined) return { outcome: 'inconclusive', reason: own };
  return { outcome: 'fail', reason: failures[code] ?? error.message };
}

function cannotBind(source: string, code: string): string {
  switch (code) {
    case 'EADDRNOTAVAIL':
      return `cannot probe from ${source}: this unit has no such address`;
    case 'EINVAL':
    case 'EAFNOSUPPORT':
      return `cannot probe from ${source}: it is of another address family than the member`;
    default:
      return `cannot probe from ${source}: ${ownTrouble[code] ?? code}`;
  }
}
