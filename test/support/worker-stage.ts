/** A tier of worker processes with members behind it, for tests. Nothing outlives it. */
import { once } from 'node:events';
import { createServer, request, type Agent, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as assert from 'uvu/assert';
import { WorkerTier, type TierEvent } from '../../appliance/l7/supervisor/worker-tier.js';
import { defaultSizes } from '../../appliance/l7/worker/memory.js';
import { Poller } from '../../native/ffi/poller.js';

// What a worker inherits: the test may end without its end.
process.env['WEIR_L7_LINGER'] = '1';

export interface Stage {
  readonly tier: WorkerTier;
  readonly events: TierEvent[];
  readonly output: string[];
  /** Ports of members, each of which answers with its name. */
  readonly members: readonly number[];
  /** A port that nobody listens at. */
  readonly port: number;
  /** Resolves when `until` holds, which is asked each time something may have changed. */
  readonly settled: (until: () => boolean) => Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export async function withTier(work: (stage: Stage) => Promise<void>): Promise<void> {
  const servers: Server[] = [];
  const poller = new Poller();
  poller.ref();
  const events: TierEvent[] = [];
  const output: string[] = [];
  const tier = new WorkerTier({
    poller,
    onEvent: (event) => events.push(event),
    onOutput: (pid, line) => output.push(`${pid}: ${line}`),
    sizes: {
      ...defaultSizes,
      rows: 256,
      workers: 32,
      sticky: 1024,
      sessions: 256,
      clients: 256,
      log: 65_536,
    },
  });
  try {
    for (const name of ['a', 'b']) {
      const server = createServer((_asked, response) => response.end(name));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      servers.push(server);
    }
    await work({
      tier,
      events,
      output,
      members: servers.map((server) => (server.address() as AddressInfo).port),
      port: await freePort(),
      settled: (until) =>
        new Promise((resolve) => {
          const look = (): void => {
            if (until()) resolve();
            else setTimeout(look, 5);
          };
          look();
        }),
    });
  } finally {
    await tier.close();
    poller.close();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  }
  assert.equal(tier.workers, [], 'no worker is left');
}

export async function get(port: number, agent?: Agent, host = '127.0.0.1'): Promise<string> {
  const sent = request({ port, host, agent: agent ?? false });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const piece of response) text += String(piece);
  return `${response.statusCode ?? 0} ${text}`;
}
