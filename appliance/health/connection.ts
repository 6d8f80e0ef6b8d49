/**
 * What the TCP-based probes share: one connection with a deadline, and failures in people's words.
 *
 * Invariants:
 * - A probe settles exactly once, by result, deadline or cancellation, and its socket is destroyed
 *   when it settles.
 * - The socket ends with a reset, so that probing leaves no TIME_WAIT (RFC 9293 §3.6.1) on either
 *   side.
 */
import { connect, type Socket } from 'node:net';
import { formatDuration } from '../config/units-of-measure.js';
import type { ProbeResult } from './state-machine.js';

/** Bytes of an answer that are looked at. */
export const MOST_ANSWER_BYTES = 64 * 1024;

export interface Endpoint {
  /** IP address, no name. */
  readonly address: string;
  readonly port: number;
}

/** Ends the probe; later calls do nothing. */
export type Finish = (outcome: ProbeResult['outcome'], reason: string) => void;

/**
 * Runs one probe. `begin` gets the connecting socket and calls `finish` when it knows; `late` says
 * what to report when the deadline (milliseconds) comes first. Never rejects. When `cancelled`
 * fires the probe is inconclusive.
 */
export function probeConnection(
  endpoint: Endpoint,
  timeoutMs: number,
  cancelled: AbortSignal,
  begin: (socket: Socket, finish: Finish) => void,
  late: () => string = () => `no answer within ${formatDuration(timeoutMs)}`,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const started = performance.now();
    const socket = connect({
      host: endpoint.address,
      port: endpoint.port,
      autoSelectFamily: false,
    });
    let finished = false;
    const finish: Finish = (outcome, reason) => {
      if (finished) return;
      finished = true;
      clearTimeout(deadline);
      cancelled.removeEventListener('abort', cancel);
      socket.resetAndDestroy();
      const answered = outcome === 'pass';
      const latencyMs = performance.now() - started;
      resolve(answered ? { outcome, reason, latencyMs } : { outcome, reason });
    };
    const cancel = (): void => finish('inconclusive', 'the probe was cancelled');
    const deadline = setTimeout(() => finish('fail', late()), timeoutMs);
    cancelled.addEventListener('abort', cancel, { once: true });
    // Stays for the socket's whole life: an error after the verdict is of no interest.
    socket.on('error', (error) => {
      const { outcome, reason } = failureOf(error);
      finish(outcome, reason);
    });
    if (cancelled.aborted) cancel();
    else begin(socket, finish);
  });
}

/** Failures of the unit itself: they say nothing about the member. */
const ownTrouble: Readonly<Record<string, string>> = {
  EMFILE: 'this unit has no file descriptor left',
  ENFILE: 'this unit has no file descriptor left',
  ENOBUFS: 'this unit has no network buffer left',
  ENOMEM: 'this unit has no memory left',
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

/** What a socket's error means for the member. */
export function failureOf(error: Error & { readonly code?: unknown }): ProbeResult {
  const code = typeof error.code === 'string' ? error.code : '';
  const own = ownTrouble[code];
  if (own !== undefined) return { outcome: 'inconclusive', reason: own };
  return { outcome: 'fail', reason: failures[code] ?? error.message };
}
