/** A TCP relay on the worker's loop: bounded memory, half-closing, resets. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../../support/needs.js';
import { type DriverOptions, loopback, RingDriver } from '../../../support/ring-driver.js';
import { RelayHandler } from '../../../support/ring-handlers.js';

const test = suite('relay on io_uring');
const uring = needs.uring(test);

interface Relay {
  readonly driver: RingDriver;
  readonly handler: RelayHandler;
  /** A client and the connection of the member that it was joined to. */
  pair(): Promise<{ readonly client: Socket; readonly member: Socket }>;
}

async function withRelay(
  options: DriverOptions & { readonly window: number },
  work: (relay: Relay) => Promise<void>,
): Promise<void> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const sockets: Socket[] = [];
  const { window, ...rest } = options;
  const driver = new RingDriver(rest);
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = loopback((server.address() as AddressInfo).port);
    const handler = new RelayHandler(driver.loop.connections, window, address);
    const port = driver.listen();
    driver.serve(handler);
    await work({
      driver,
      handler,
      async pair() {
        const accepted = once(server, 'connection') as Promise<[Socket]>;
        const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
        const [member] = await accepted;
        sockets.push(client, member);
        return { client, member };
      },
    });
  } finally {
    try {
      driver.end();
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  }
}

const MIB = 1 << 20;

/** All that a socket gets, without closing it at the end. */
function whole(socket: Socket): AsyncIterable<Buffer> {
  return socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
}

for (const mode of ['best', 'single'] as const) {
  uring(
    `64 MiB to a slow reader never hold more buffers than the window (${mode} receives)`,
    async () => {
      const window = 16;
      const receives = mode === 'best' ? {} : { receiveMode: mode };
      await withRelay({ window, size: 16_384, ...receives }, async (relay) => {
        const { client, member } = await relay.pair();
        const { connections } = relay.driver.loop;
        const sent = createHash('sha256');
        const got = createHash('sha256');
        let bytes = 0;
        let full = 0;
        let sentAll = false;
        const block = Buffer.alloc(MIB);
        for (let index = 0; index < MIB; index += 1) block[index] = (index * 31) >> 3;

        const sending = (async () => {
          for (let index = 0; index < 64; index += 1) {
            block[0] = index;
            const part = Buffer.from(block);
            sent.update(part);
            if (!client.write(part)) await once(client, 'drain');
          }
          client.end();
          sentAll = true;
        })();
        // Reads 4 MiB, and then nothing until the relay cannot take more.
        const waiting = (): boolean => {
          for (let slot = 0; slot < connections.slots.count; slot += 1) {
            // Some slices are shorter than a buffer, so half the window may be all that it takes.
            if (connections.output.held(slot) >= window / 2) return true;
          }
          return false;
        };
        for await (const part of member) {
          got.update(part as Buffer);
          const before = bytes;
          bytes += (part as Buffer).length;
          if (Math.floor(before / (4 * MIB)) === Math.floor(bytes / (4 * MIB))) continue;
          await relay.driver.settled(() => sentAll || waiting());
          if (!sentAll) full += 1;
        }
        await sending;
        member.end();
        assert.is(bytes, 64 * MIB);
        assert.is(got.digest('hex'), sent.digest('hex'));
        assert.ok(relay.handler.bulks > 0, 'much of it came in large buffers');
        assert.ok(full >= 3, `the reader was slow ${full} times`);
        assert.ok(
          relay.handler.mostInUse <= window,
          `${relay.handler.mostInUse} buffers were in use, the window is ${window}`,
        );
        await relay.driver.settled(() => relay.handler.closed === 2);
      });
    },
  );
}

uring('a client that finishes sending still gets the answer', async () => {
  await withRelay({ window: 4 }, async (relay) => {
    const { client, member } = await relay.pair();
    client.end('question');
    let asked = '';
    for await (const part of whole(member)) asked += String(part);
    assert.is(asked, 'question', 'the member reads to the end');
    member.end('answer');
    let answer = '';
    for await (const part of client) answer += String(part);
    assert.is(answer, 'answer');
    await relay.driver.settled(() => relay.handler.closed === 2);
    assert.equal(relay.handler.heard, ['connect 0', 'end 0', 'end 0']);
  });
});

uring('a reset goes through to the other side, in both directions', async () => {
  await withRelay({ window: 4 }, async (relay) => {
    for (const victim of ['client', 'member'] as const) {
      const pair = await relay.pair();
      pair.client.write('x');
      pair.member.resume();
      await once(pair.member, 'data');
      const other = victim === 'client' ? pair.member : pair.client;
      other.resume();
      const cut = once(other, 'error') as Promise<[NodeJS.ErrnoException]>;
      pair[victim].resetAndDestroy();
      const [error] = await cut;
      assert.is(error.code, 'ECONNRESET', `after a reset of the ${victim}`);
    }
    await relay.driver.settled(() => relay.handler.closed === 4);
  });
});

uring('a member that is not there resets its client', async () => {
  const driver = new RingDriver();
  try {
    // Nobody listens at port 1 of loopback; if somebody does, this test says so.
    const handler = new RelayHandler(driver.loop.connections, 4, loopback(1));
    const port = driver.listen();
    driver.serve(handler);
    const client = connect({ port, host: '127.0.0.1' });
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    assert.is(error.code, 'ECONNRESET');
    await driver.settled(() => handler.closed === 2);
    assert.equal(handler.heard[0], 'connect 111', 'connection refused');
  } finally {
    driver.end();
  }
});

uring('slow readers leave buffers to those that come after them', async () => {
  await withRelay({ window: 64, size: 4096, receiving: 64, large: 0 }, async (relay) => {
    // Each of them would hold all 64.
    for (let index = 0; index < 6; index += 1) {
      const { client } = await relay.pair();
      client.on('error', () => undefined).write(Buffer.alloc(24 * MIB));
    }
    const { pool } = relay.driver;
    await relay.driver.settled(() => pool.withKernel < 32);
    const { client, member } = await relay.pair();
    const answered = once(client, 'data') as Promise<[Buffer]>;
    member.resume();
    client.write('ping');
    await once(member, 'data');
    member.write('pong');
    assert.is(String((await answered)[0]), 'pong');
  });
});

/** Numbers that look like chance and are the same in every run. */
function* chance(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    yield (state >>> 8) / 2 ** 24;
  }
}

uring('whatever peers do, every buffer and every slot comes home', async () => {
  const random = chance(7);
  const next = (): number => random.next().value;
  await withRelay({ window: 4, size: 1024, receiving: 24, slots: 64 }, async (relay) => {
    for (let round = 0; round < 6; round += 1) {
      relay.handler.quietly = round % 2 === 1;
      const ends: Socket[] = [];
      while (ends.length < 40) {
        const { client, member } = await relay.pair();
        ends.push(client, member);
      }
      for (const socket of ends) socket.on('error', () => undefined);
      for (let step = 0; step < 200; step += 1) {
        const socket = ends[Math.floor(next() * ends.length)]!;
        const what = next();
        if (what < 0.6 && socket.writable) socket.write(Buffer.alloc(1 + next() * 9000));
        else if (what < 0.8) socket.resume();
        else if (what < 0.86) socket.pause();
        else if (what < 0.93) socket.end();
        else if (what < 0.96) socket.destroy();
        else if (what < 0.97) socket.resetAndDestroy();
        else await new Promise(setImmediate);
      }
      for (const socket of ends) {
        if (next() < 0.5) socket.destroy();
        else socket.resume().end();
      }
      await relay.driver.settled(() => relay.driver.loop.connections.open === 0);
      assert.equal(relay.driver.pool.census(), { kernel: 24, free: 72 }, `after round ${round}`);
    }
  });
});

test.run();
