/** The agent monitor against a real agent, and what its words do to a member. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { probeAgent } from '../../../appliance/health/agent.js';
import { Cancellation } from '../../../appliance/health/cancellation.js';
import {
  afterProbe,
  initialStatus,
  type HealthStatus,
  type ProbeResult,
} from '../../../appliance/health/state-machine.js';

/** An agent that does with each connection what it is told. */
async function withAgent(
  serve: (socket: Socket) => void,
  work: (ask: (send?: string) => Promise<ProbeResult>) => Promise<void>,
): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await work((send) =>
      probeAgent(
        { address: '127.0.0.1', port },
        { timeout: 500, ...(send === undefined ? {} : { send }) },
        new Cancellation(),
      ),
    );
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

const said = ({ outcome, reason }: ProbeResult): string => `${outcome}: ${reason}`;

const lines: readonly (readonly [
  what: string,
  serve: (socket: Socket) => void,
  verdict: string,
])[] = [
  ['a line and a close', (s) => s.end('up 75%\n'), 'pass: agent says up 75%'],
  ['a line without an end', (s) => s.end('ready'), 'pass: agent says up'],
  ['a line on a connection that stays', (s) => s.write('up\r\n'), 'pass: agent says up'],
  [
    'a line in two pieces',
    (s) => {
      s.write('up 2');
      setTimeout(() => s.write('5%\n'), 20);
    },
    'pass: agent says up 25%',
  ],
  ['nothing', (s) => s.end(), 'fail: the agent closed the connection without a word'],
  ['silence', () => undefined, 'fail: connected, but no line of the agent within 500ms'],
  [
    'something else',
    (s) => s.end('SSH-2.0-OpenSSH\n'),
    'fail: the agent said "SSH-2.0-OpenSSH", which is no word of an agent',
  ],
  [
    'no end of a line',
    (s) => s.write('x'.repeat(10_000)),
    "fail: the agent's line has no end within 4 KiB",
  ],
];

for (const [what, serve, verdict] of lines) {
  test(`agent: ${what}`, () =>
    withAgent(serve, async (ask) => assert.is(said(await ask()), verdict)));
}

test('agent: what it is to be told', () =>
  withAgent(
    (socket) => socket.once('data', (data) => socket.end(`up # you said ${data.toString()}`)),
    async (ask) => assert.is(said(await ask('web\n')), 'pass: agent says up: you said web'),
  ));

/** Plays lines of an agent; `!` is one that could not be reached. */
function play(...history: readonly string[]): HealthStatus[] {
  let status = initialStatus(0);
  return history.map((line, index) => {
    const result: ProbeResult =
      line === '!'
        ? { outcome: 'fail', reason: 'connection refused' }
        : { outcome: 'pass', reason: '', agent: wordsOf(line) };
    status = afterProbe(status, result, { rise: 2, fall: 3 }, { wall: index, monotonic: index });
    return status;
  });
}

function wordsOf(line: string): NonNullable<ProbeResult['agent']> {
  switch (line) {
    case 'down':
      return { operating: 'down', description: 'no disk' };
    case 'up':
      return { operating: 'up' };
    case 'maint':
    case 'drain':
    case 'ready':
      return { administrative: line };
    default:
      return { weightPercent: Number.parseInt(line) };
  }
}

const histories: readonly (readonly [history: readonly string[], states: string])[] = [
  [['up', 'down'], 'up down'],
  [['up', 'maint'], 'up down'],
  [['down', 'up', 'up'], 'down down up'],
  [['down', '50', 'up', 'up'], 'down down down up'],
  [['up', '!', '!', '!', 'up', 'up'], 'up up up down down up'],
  [['up', 'drain', '50', 'ready'], 'up up up up'],
];

for (const [history, states] of histories) {
  test(`agent: after ${history.join(', ')} the member was ${states}`, () => {
    const seen = play(...history).map(({ state }) => state);
    assert.is(seen.join(' '), states);
  });
}

test('agent: reasons, weight and drain are there for whoever balances', () => {
  const last = play('up', '50', 'drain').at(-1);
  assert.is(last?.reason, 'agent says drain');
  assert.is(last?.agent?.state, 'drain');
  assert.is(last?.agent?.weightPercent, 50);
  assert.is(play('down').at(-1)?.reason, 'agent says down: no disk');
  const lost = play('50', '!').at(-1);
  assert.is(lost?.agent?.weightPercent, 50, 'what an agent said holds while it cannot be reached');
  assert.match(lost?.reason ?? '', /^connection refused \(1 of 3/);
});

test.run();
