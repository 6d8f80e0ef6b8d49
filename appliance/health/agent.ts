/**
 * The agent monitor: connects to an agent on the member, says what it was told to say, and reads
 * one line (agent-line.ts). An agent that cannot be reached counts as a failed probe: nothing else
 * watches the member.
 *
 * Invariant: see connection.ts; at most MOST_LINE_BYTES of a line are kept.
 */
import type { MonitorSettings } from '../config/schema.js';
import { formatDuration } from '../config/units-of-measure.js';
import { afterAgentLine, parseAgentLine } from './agent-line.js';
import type { Cancellation } from './cancellation.js';
import { probeConnection } from './connection.js';
import type { ProbeResult } from './state-machine.js';
import type { Endpoint, Finish } from './verdict.js';

const MOST_LINE_BYTES = 4096;

export type AgentSettings = Pick<
  Extract<MonitorSettings, { type: 'agent' }>,
  'timeout' | 'source' | 'send'
>;

/** One probe. Never rejects. */
export function probeAgent(
  endpoint: Endpoint,
  settings: AgentSettings,
  cancelled: Cancellation,
): Promise<ProbeResult> {
  const { send, timeout } = settings;
  let connected = false;
  return probeConnection(
    endpoint,
    settings,
    cancelled,
    (socket, finish) => {
      socket.on('connect', () => {
        connected = true;
        if (send !== undefined) socket.write(send);
      });
      let received = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        if (/[\r\n]/.test(received.toString('latin1'))) conclude(received, finish);
        else if (received.length > MOST_LINE_BYTES) {
          finish('fail', `the agent's line has no end within ${MOST_LINE_BYTES / 1024} KiB`);
        }
      });
      // Many agents end their line by closing the connection.
      socket.on('end', () => {
        if (received.length === 0) finish('fail', 'the agent closed the connection without a word');
        else conclude(received, finish);
      });
    },
    () => {
      const within = `within ${formatDuration(timeout)}`;
      return connected ? `connected, but no line of the agent ${within}` : `no answer ${within}`;
    },
  );
}

function conclude(received: Buffer, finish: Finish): void {
  const parsed = parseAgentLine(received.toString('utf8'));
  if ('error' in parsed) finish('fail', parsed.error);
  // What the line means together with earlier ones is for the state machine to say.
  else finish('pass', afterAgentLine(undefined, parsed.words).reason, { agent: parsed.words });
}
