/** Streams when things run out, when everything happens at once, and what they cost in memory. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sockaddr } from '../../../../native/ffi/socket-address.js';
import { listenTcp, localPort } from '../../../../native/ffi/tcp-socket.js';
import { helloOf, recordsOf } from '../../../support/client-hello.js';
import { needs } from '../../../support/needs.js';
import { generator } from '../../../support/random.js';
import { withStreams } from '../../../support/stream-stage.js';
import { echo, endOf, readAll } from '../../../support/tcp-peers.js';

const test = suite('robust streams');
const uring = needs.uring(test);

uring(
  'where no slot is left for a member the client is reset, and later ones are served',
  async () => {
    const ring = { slots: 3 };
    await withStreams([echo], { ring }, async ({ unit, client }) => {
      const first = client();
      first.write('1');
      await once(first, 'data');
      assert.is(await endOf(client()), 'ECONNRESET');
      await unit.over(1);
      assert.is(unit.ended[0]?.reason, 'no-memory');
      first.end();
      await endOf(first);
      await unit.over(2);
      const later = client();
      later.end('2');
      assert.is(String(await readAll(later)), '2');
      await unit.over(3);
    });
  },
);

uring('without a working buffer an alert or a PROXY header is a reset', async () => {
  const ring = { working: 0 };
  const service = { protocol: 'tls' } as const;
  const options = { ring, service, pool: { proxyProtocol: 'v2' } as const };
  await withStreams([echo], options, async ({ unit, client }) => {
    const wrong = client();
    wrong.write('no TLS');
    assert.is(await endOf(wrong), 'ECONNRESET');
    const right = client();
    right.write(recordsOf(helloOf()));
    assert.is(await endOf(right), 'ECONNRESET');
    await unit.over(2);
    assert.equal(
      unit.ended.map(({ reason }) => reason),
      ['bad-hello', 'no-memory'],
    );
  });
});

uring('clients of IPv6 are known as such', async () => {
  await withStreams([echo], {}, async ({ unit }) => {
    const loopback6 = Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? 1 : 0));
    const fd = listenTcp(Uint8Array.from(sockaddr(6, loopback6, 0)), 16);
    unit.driver.loop.adopt(fd, 16);
    const socket = connect({ port: localPort(fd), host: '::1', allowHalfOpen: true });
    await once(socket, 'connect');
    const { localPort: port = 0 } = socket;
    socket.end('six');
    assert.is(String(await readAll(socket)), 'six');
    await unit.over(1);
    socket.destroy();
    assert.is(unit.ended[0]?.client, `::1 ${port}`);
  });
});

/** One that was ended or is not connected is only closed: node's loop would spin over its reset. */
function reset(socket: Socket): void {
  if (socket.writableEnded || socket.connecting) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}

for (const seed of [1, 2, 3]) {
  uring(
    `whatever both sides do, in whatever order, nothing is left over (seed ${seed})`,
    async () => {
      const below = generator(seed);
      const block = Buffer.alloc(200_000, 'x');
      /** One thing that either side may do. */
      const act = (socket: Socket): void => {
        if (socket.destroyed) return;
        switch (below(12)) {
          case 0:
            reset(socket);
            return;
          case 1:
            socket.destroy();
            return;
          case 2:
            socket.end();
            return;
          case 3:
            socket.pause();
            return;
          case 4:
          case 5:
          case 6:
            socket.resume();
            return;
          default:
            if (socket.writable) socket.write(block.subarray(0, 1 + below(below(2) * 199_999 + 1)));
        }
      };
      const members: Socket[] = [];
      const serving = (socket: Socket): void => {
        members.push(socket);
        if (below(4) > 0) socket.resume();
      };
      const options = {
        ring: { slots: 128, receiving: 64, working: 32, size: 4096 },
        most: 15,
        pool: { queue: 20 },
        timeouts: { tunnel: 40 + below(200), queue: 10 + below(50), connect: 200 },
      };
      await withStreams([serving, serving], options, async ({ unit, client }) => {
        const clients: Socket[] = [];
        for (let step = 0; step < 3000; step += 1) {
          if (step % 10 === 0) {
            const socket = client();
            if (below(4) > 0) socket.resume();
            clients.push(socket);
          }
          for (const list of [clients, members]) {
            const socket = list[list.length - 1 - below(Math.min(list.length, 60))];
            if (socket !== undefined) act(socket);
          }
          if (step % 7 === 0) await new Promise(setImmediate);
        }
        for (const socket of [...clients, ...members]) reset(socket);
        await unit.driver.settled(() => unit.engine.open === 0);
        const { pool } = unit.driver;
        await unit.driver.settled(() => pool.withKernel === pool.receiving);
        assert.ok(unit.ended.length > 100, `${unit.ended.length} connections ended`);
        const reasons = new Set(unit.ended.map(({ reason }) => reason));
        for (const reason of ['client-reset', 'member-reset', 'complete'] as const) {
          assert.ok(reasons.has(reason), `none ended with ${reason}: ${[...reasons].join(' ')}`);
        }
      });
    },
  );
}

test.run();
