/** The tcp monitor that only connects, by system calls of its own: verdicts, sources, nothing left. */
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Cancellation } from '../../../appliance/health/cancellation.js';
import type { ProbeResult } from '../../../appliance/health/state-machine.js';
import { probeConnect } from '../../../appliance/health/tcp-connect.js';
import { Poller } from '../../../native/ffi/poller.js';

const said = ({ outcome, reason }: ProbeResult): string => `${outcome}: ${reason}`;

type Ask = (
  address: string,
  port: number,
  more?: { timeout?: number; source?: string; cancelled?: Cancellation },
) => Promise<ProbeResult>;

async function withPoller(work: (ask: Ask) => Promise<void>): Promise<void> {
  const poller = new Poller();
  try {
    await work((address, port, { timeout = 5000, source, cancelled } = {}) =>
      probeConnect(poller, { address, port }, { timeout, source }, cancelled ?? new Cancellation()),
    );
  } finally {
    poller.close();
  }
}

async function withServer(
  host: string,
  work: (port: number, from: string[]) => Promise<void>,
): Promise<void> {
  const from: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    from.push(socket.remoteAddress ?? '');
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  try {
    await work((server.address() as AddressInfo).port, from);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function closedPort(): Promise<number> {
  let found = 0;
  await withServer('127.0.0.1', async (port) => {
    found = port;
  });
  return found;
}

test('connect: both families, and a closed port', () =>
  withPoller(async (ask) => {
    for (const host of ['127.0.0.1', '::1']) {
      await withServer(host, async (port) => {
        const result = await ask(host, port);
        assert.is(said(result), 'pass: connected');
        assert.type(result.latencyMs, 'number');
      });
    }
    assert.is(said(await ask('127.0.0.1', await closedPort())), 'fail: connection refused');
    assert.is(said(await ask('::1', await closedPort())), 'fail: connection refused');
  }));

test('connect: the source address is what the member sees; a foreign one is a reason', () =>
  withPoller((ask) =>
    withServer('127.0.0.1', async (port, from) => {
      // The reset may overtake the server's accept, which then has no address to tell.
      for (let round = 0; round < 100 && !from.includes('127.0.0.78'); round += 1) {
        assert.is(said(await ask('127.0.0.1', port, { source: '127.0.0.78' })), 'pass: connected');
      }
      assert.is(
        said(await ask('127.0.0.1', port, { source: '192.0.2.7' })),
        'inconclusive: cannot probe from 192.0.2.7: this unit has no such address',
      );
      assert.is(
        said(await ask('127.0.0.1', port, { source: '::1' })),
        'inconclusive: cannot probe from ::1: it is of another address family than the member',
      );
    }),
  ));

/** Sockets of a port in TIME_WAIT (state 06) on this host, from /proc/net/tcp. */
function timeWaits(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, local, remote, state]) =>
        state === '06' && [local, remote].some((end) => end?.endsWith(`:${hex}`) === true),
    ).length;
}

test('connect: hundreds at once leave no descriptor and no TIME_WAIT', () =>
  withPoller((ask) =>
    withServer('127.0.0.1', async (port) => {
      const refused = await closedPort();
      const before = readdirSync('/proc/self/fd').length;
      const results = await Promise.all(
        Array.from({ length: 400 }, (_, index) => {
          const cancelled = new Cancellation();
          const result = ask('127.0.0.1', index % 4 === 0 ? refused : port, { cancelled });
          if (index % 4 === 1) cancelled.cancel();
          return result;
        }),
      );
      const outcomes = results.map(({ outcome }) => outcome);
      assert.is(outcomes.filter((one) => one === 'fail').length, 100, 'refused');
      assert.is(outcomes.filter((one) => one === 'inconclusive').length, 100, 'cancelled');
      assert.is(outcomes.filter((one) => one === 'pass').length, 200, 'connected');
      assert.is(timeWaits(port), 0);
      // Those of the server's side go as it reads the resets.
      const deadline = Date.now() + 5000;
      while (readdirSync('/proc/self/fd').length > before) {
        assert.ok(Date.now() < deadline, `${before} descriptors expected again`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }),
  ));

test('connect: a daemon that is held up does not take that for the silence of a member', () =>
  withPoller((ask) =>
    withServer('127.0.0.1', async (port) => {
      const probe = ask('127.0.0.1', port, { timeout: 100 });
      const until = performance.now() + 400;
      while (performance.now() < until);
      assert.is(said(await probe), 'pass: connected');
    }),
  ));

test.run();
