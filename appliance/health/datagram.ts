/**
 * What the UDP-based probes share: one connected socket, from one address if told.
 *
 * Invariants:
 * - See verdict.ts; the socket is closed when the probe settles.
 * - The socket is connected: the kernel hands over datagrams of the endpoint alone, and tells an
 *   ICMP error of it (RFC 1122 §4.1.3.3) as an error of the socket.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Cancellation } from './cancellation.js';
import type { ConnectionSettings } from './connection.js';
import type { ProbeResult } from './state-machine.js';
import { failureOf, race, type Endpoint, type Finish, type SystemFailure } from './verdict.js';

/** Sends `payload` and gives each answer to `judge`; `late` is the verdict when none settled it. */
export function probeDatagram(
  endpoint: Endpoint,
  { timeout, source }: ConnectionSettings,
  cancelled: Cancellation,
  payload: Uint8Array,
  judge: (answer: Buffer, finish: Finish) => void,
  late?: (finish: Finish) => void,
): Promise<ProbeResult> {
  return race(
    timeout,
    cancelled,
    (finish) => {
      const socket = createSocket({ type: isIPv6(endpoint.address) ? 'udp6' : 'udp4' });
      let open = true;
      const failed = (error: SystemFailure): void => {
        const { outcome, reason } = failureOf(error, source);
        finish(outcome, reason === 'connection refused' ? 'port unreachable' : reason);
      };
      socket.on('error', failed);
      socket.on('message', (answer) => judge(answer, finish));
      const send = (): void => {
        if (!open) return;
        socket.connect(endpoint.port, endpoint.address, () => {
          if (!open) return;
          socket.send(payload, (error) => {
            if (error !== null) failed(error);
          });
        });
      };
      if (source === undefined) send();
      else bindTo(socket, source, send);
      return () => {
        open = false;
        socket.close();
      };
    },
    late,
  );
}

function bindTo(socket: Socket, source: string, then: () => void): void {
  socket.bind({ address: source, port: 0, exclusive: true }, then);
}
