/**
 * The udp monitor: sends a datagram. Where the settings name a text, the member is alive when an
 * answer contains it; else unless the member says that nobody listens (port unreachable, RFC 792
 * and RFC 4443 §3.1). Any answer ends the wait; silence until the deadline is no bad sign then.
 *
 * Invariant: see datagram.ts.
 */
import { formatDuration } from '../config/units-of-measure.js';
import type { MonitorSettings } from '../config/schema.js';
import type { Cancellation } from './cancellation.js';
import { probeDatagram } from './datagram.js';
import type { ProbeResult } from './state-machine.js';
import type { Endpoint } from './verdict.js';

export type UdpSettings = Pick<
  Extract<MonitorSettings, { type: 'udp' }>,
  'timeout' | 'source' | 'send' | 'receive'
>;

/** One probe. Never rejects. */
export function probeUdp(
  endpoint: Endpoint,
  settings: UdpSettings,
  cancelled: Cancellation,
): Promise<ProbeResult> {
  const { timeout, send, receive } = settings;
  const wanted = receive === undefined ? null : Buffer.from(receive);
  const within = `within ${formatDuration(timeout)}`;
  let answered = false;
  return probeDatagram(
    endpoint,
    settings,
    cancelled,
    Buffer.from(send ?? ''),
    (answer, finish) => {
      answered = true;
      if (wanted === null) finish('pass', 'answered');
      else if (answer.includes(wanted)) finish('pass', 'expected answer');
      // A late answer to an earlier question would come to another port: this one is wrong.
      else finish('fail', 'the answer lacks the expected text');
    },
    (finish) => {
      if (wanted !== null) {
        finish('fail', answered ? `not the expected answer ${within}` : `no answer ${within}`);
        return;
      }
      // Waiting is no response time.
      finish('pass', `no error ${within}`, { latencyMs: undefined });
    },
  );
}
