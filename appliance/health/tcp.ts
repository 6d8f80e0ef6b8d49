/**
 * The tcp monitor: alive when a TCP connection can be made (RFC 9293 §3.5) and, where the settings
 * say so, when the answer contains a text.
 *
 * Invariant: see connection.ts and answer.ts.
 */
import { formatDuration } from '../config/units-of-measure.js';
import type { MonitorSettings } from '../config/schema.js';
import { AnswerSearch } from './answer.js';
import type { Cancellation } from './cancellation.js';
import { probeConnection } from './connection.js';
import type { ProbeResult } from './state-machine.js';
import { MOST_ANSWER_BYTES, type Endpoint } from './verdict.js';

export type TcpSettings = Pick<
  Extract<MonitorSettings, { type: 'tcp' }>,
  'timeout' | 'send' | 'receive' | 'source'
>;

/** One probe. Never rejects. */
export function probeTcp(
  endpoint: Endpoint,
  settings: TcpSettings,
  cancelled: Cancellation,
): Promise<ProbeResult> {
  const { timeout, send, receive } = settings;
  let connected = false;
  const late = (): string => {
    const within = `within ${formatDuration(timeout)}`;
    return connected ? `connected, but not the expected answer ${within}` : `no answer ${within}`;
  };
  return probeConnection(
    endpoint,
    settings,
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
      const search = new AnswerSearch(receive);
      socket.on('data', (chunk: Buffer) => {
        const found = search.add(chunk);
        if (found === 'found') finish('pass', 'expected answer');
        else if (found === 'too-long') {
          finish('fail', `the expected text is not in the first ${MOST_ANSWER_BYTES / 1024} KiB`);
        }
      });
      socket.on('end', () => finish('fail', 'connection closed without the expected answer'));
    },
    late,
  );
}
