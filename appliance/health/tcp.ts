/**
 * The tcp monitor: alive when a TCP connection can be made (RFC 9293 §3.5) and, where the settings
 * say so, when the answer contains a text.
 *
 * Invariant: see connection.ts; at most MOST_ANSWER_BYTES of an answer are kept.
 */
import { formatDuration } from '../config/units-of-measure.js';
import type { MonitorSettings } from '../config/schema.js';
import { MOST_ANSWER_BYTES, probeConnection, type Endpoint } from './connection.js';
import type { ProbeResult } from './state-machine.js';

export type TcpSettings = Pick<
  Extract<MonitorSettings, { type: 'tcp' }>,
  'timeout' | 'send' | 'receive'
>;

/** One probe. Never rejects. */
export function probeTcp(
  endpoint: Endpoint,
  { timeout, send, receive }: TcpSettings,
  cancelled: AbortSignal,
): Promise<ProbeResult> {
  let connected = false;
  const late = (): string => {
    const within = `within ${formatDuration(timeout)}`;
    return connected ? `connected, but not the expected answer ${within}` : `no answer ${within}`;
  };
  return probeConnection(
    endpoint,
    timeout,
    cancelled,
    (socket, finish) => {
      socket.on('connect', () => {
        connected = true;
        if (send !== undefined) socket.write(send);
        if (receive === undefined) {
          // What is to be sent goes out before the reset, or not at all.
          if (send === undefined) finish('pass', 'connected');
          else socket.write('', () => finish('pass', 'connected'));
        }
      });
      if (receive === undefined) return;
      const wanted = Buffer.from(receive);
      let answer = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        answer = Buffer.concat([answer, chunk]);
        if (answer.includes(wanted)) finish('pass', 'expected answer');
        else if (answer.length > MOST_ANSWER_BYTES) {
          finish('fail', `the expected text is not in the first ${MOST_ANSWER_BYTES / 1024} KiB`);
        }
      });
      socket.on('end', () => finish('fail', 'connection closed without the expected answer'));
    },
    late,
  );
}
