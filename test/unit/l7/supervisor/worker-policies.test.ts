/** Limits that several worker processes keep together, and answers that they code in threads. */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Agent, fetch } from 'undici';
import { WorkerTier } from '../../../../appliance/l7/supervisor/worker-tier.js';
import { defaultSizes } from '../../../../appliance/l7/worker/memory.js';
import type { L7Service } from '../../../../appliance/l7/tables.js';
import { Poller } from '../../../../native/ffi/poller.js';
import { usualRules } from '../../../support/http1-coded.js';
import { poolWith, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';

const test = suite('policies of layer-7 workers');
const uring = needs.uring(test);

process.env['WEIR_L7_LINGER'] = '1';

async function withService(
  member: RequestListener,
  policies: Partial<L7Service>,
  work: (url: string) => Promise<void>,
): Promise<void> {
  const server = createServer(member);
  const free = createServer();
  const poller = new Poller();
  poller.ref();
  const output: string[] = [];
  const tier = new WorkerTier({
    poller,
    onEvent: ({ message }) => output.push(message),
    onOutput: (_pid, line) => output.push(line),
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
    for (const one of [server, free]) {
      one.listen(0, '127.0.0.1');
      await once(one, 'listening');
    }
    const { port } = free.address() as AddressInfo;
    free.close();
    await once(free, 'close');
    const pool = poolWith([(server.address() as AddressInfo).port]);
    await tier.execute(tablesOf([{ ...serviceAt(port), ...policies }], [pool]));
    assert.is(tier.workers.length, 2, output.join('\n'));
    await work(`http://127.0.0.1:${port}`);
  } finally {
    await tier.close();
    poller.close();
    server.closeAllConnections();
    server.close();
  }
  assert.equal(output, []);
}

uring('a rate holds for all workers together', async () => {
  const limit = { name: 'all', perSecond: 1 / 3600, burst: 10, when: null } as const;
  const limits = [{ ...limit, per: { kind: 'client-address' } }] as const;
  await withService(
    (_asked, response) => response.end('x'),
    { limits },
    async (url) => {
      // Each on a connection of its own, so that the kernel spreads them over the workers.
      const statuses = await Promise.all(
        Array.from({ length: 40 }, async () => {
          const dispatcher = new Agent({ pipelining: 0 });
          const answer = await fetch(url, { dispatcher });
          await answer.arrayBuffer();
          await dispatcher.close();
          return answer.status;
        }),
      );
      assert.is(statuses.filter((status) => status === 200).length, 10);
      assert.is(statuses.filter((status) => status === 429).length, 30);
    },
  );
});

uring('connections at one time hold for all workers together', async () => {
  await withService(
    (_asked, response) => response.end('x'),
    { connections: 5 },
    async (url) => {
      const held: Agent[] = [];
      const ask = async (): Promise<number> => {
        const dispatcher = new Agent({ keepAliveTimeout: 60_000 });
        held.push(dispatcher);
        const answer = await fetch(url, { dispatcher });
        await answer.arrayBuffer();
        return answer.status;
      };
      try {
        const statuses: number[] = [];
        for (let i = 0; i < 12; i += 1) statuses.push(await ask());
        assert.equal(statuses, [...Array<number>(5).fill(200), ...Array<number>(7).fill(503)]);
      } finally {
        await Promise.all(held.map((dispatcher) => dispatcher.destroy()));
      }
    },
  );
});

uring('large answers are coded in threads, one after the other, in an idle worker', async () => {
  const page = Buffer.from('<p>a line of text that shrinks</p>\n'.repeat(6000));
  const member: RequestListener = (_asked, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end(page);
  };
  await withService(member, { compression: usualRules }, async (url) => {
    for (const coding of ['gzip', 'br']) {
      for (let i = 0; i < 15; i += 1) {
        const answer = await fetch(url, { headers: { 'accept-encoding': coding } });
        assert.is(answer.headers.get('content-encoding'), coding);
        assert.ok(Buffer.from(await answer.arrayBuffer()).equals(page));
      }
    }
  });
});

test.run();
