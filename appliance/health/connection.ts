/**
 * What the TCP-based probes share: one connection, from one address if told.
 *
 * Invariants:
 * - See verdict.ts; the socket is destroyed when the probe settles.
 * - The socket ends with a reset, so that probing leaves no TIME_WAIT (RFC 9293 §3.6.1) on either
 *   side.
 */
import { connect, type Socket } from 'node:net';
import type { Cancellation } from './cancellation.js';
import type { ProbeResult } from './state-machine.js';
import { failureOf, race, type Endpoint, type Finish } from './verdict.js';

export interface ConnectionSettings {
  /** Milliseconds. */
  readonly timeout: number;
  /** Address to probe from. */
  readonly source?: string | undefined;
}

/** Runs one probe. `begin` gets the connecting socket; `late` says what to report at the deadline. */
export function probeConnection(
  endpoint: Endpoint,
  { timeout, source }: ConnectionSettings,
  cancelled: Cancellation,
  begin: (socket: Socket, finish: Finish) => void,
  late?: () => string,
): Promise<ProbeResult> {
  return race(
    timeout,
    cancelled,
    (finish) => {
      const socket = connect({
        host: endpoint.address,
        port: endpoint.port,
        autoSelectFamily: false,
        ...(source === undefined ? {} : { localAddress: source }),
      });
      // Stays for the socket's whole life: an error after the verdict is of no interest.
      socket.on('error', (error) => {
        const { outcome, reason } = failureOf(error, source);
        finish(outcome, reason);
      });
      begin(socket, finish);
      return () => socket.resetAndDestroy();
    },
    late === undefined ? undefined : (finish) => finish('fail', late()),
  );
}
