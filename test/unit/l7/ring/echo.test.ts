/** An echo on the worker's loop, with node's own sockets as clients. */
import { createHash, randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../../support/needs.js';
import { EchoHandler } from '../../../support/ring-handlers.js';
import { RingDriver, type DriverOptions } from '../../../support/ring-driver.js';

const test = suite('echo on io_uring');
const uring = needs.uring(test);

/** An echo of its own for a test, which ends with it. */
async function withEcho(
  options: DriverOptions & { readonly window?: number; readonly backlog?: number },
  work: (port: number, driver: RingDriver, handler: EchoHandler) => Promise<void>,
): Promise<void> {
  const { window = 8, backlog = 512, ...rest } = options;
  const driver = new RingDriver(rest);
  try {
    const handler = new EchoHandler(driver.loop.connections, window);
    const port = driver.listen(backlog);
    driver.serve(handler);
    await work(port, driver, handler);
  } finally {
    driver.end();
  }
}

async function client(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

/** Reads exactly `length` bytes. */
async function read(socket: Socket, length: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let have = 0;
  while (have < length) {
    const part = socket.read(Math.min(length - have, socket.readableLength || 1)) as Buffer | null;
    if (part === null) {
      await once(socket, 'readable');
      continue;
    }
    parts.push(part);
    have += part.length;
  }
  return Buffer.concat(parts);
}

/** Ends a connection in order: both sides. */
async function farewell(socket: Socket): Promise<void> {
  socket.end();
  socket.resume();
  await once(socket, 'end');
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

uring('sends back what it gets, and closes after the client has', async () => {
  await withEcho({}, async (port, driver, handler) => {
    const socket = await client(port);
    socket.write('hello');
    assert.is((await read(socket, 5)).toString(), 'hello');
    await farewell(socket);
    await driver.settled(() => handler.closed === 1);
  });
});

/** Every way of receiving, with and without what kernels before 6.6 need. */
const ways: readonly Pick<DriverOptions, 'receiveMode' | 'submissionArray'>[] = [
  { submissionArray: 'kept', receiveMode: 'single' },
  { submissionArray: 'omitted', receiveMode: 'single' },
  { submissionArray: 'kept', receiveMode: 'multishot' },
  {},
];

for (const way of ways) {
  const name = `${way.receiveMode ?? 'best'} receives, submission array ${way.submissionArray ?? 'as it is best'}`;
  uring(`3 MiB come back as they went (${name})`, async () => {
    await withEcho(way, async (port) => {
      const socket = await client(port);
      const sent = randomBytes(3 << 20);
      socket.end(sent);
      const got: Buffer[] = [];
      for await (const part of socket) got.push(part as Buffer);
      assert.is(digest(Buffer.concat(got)), digest(sent));
    });
  });
}

uring('two thousand connections at once', async () => {
  await withEcho({ slots: 8192, receiving: 1024, backlog: 2000 }, async (port, driver, handler) => {
    const clients = await Promise.all(Array.from({ length: 2000 }, () => client(port)));
    await driver.settled(() => driver.loop.connections.open === 2000);
    for (let round = 0; round < 2; round += 1) {
      await Promise.all(
        clients.map(async (socket, index) => {
          const text = `${round} of ${index}`;
          socket.write(text);
          assert.is((await read(socket, text.length)).toString(), text);
        }),
      );
    }
    await Promise.all(clients.map(farewell));
    await driver.settled(() => handler.closed === 2000);
  });
});

uring('a client that sends one byte at a time and does not read holds few buffers', async () => {
  await withEcho({ window: 4 }, async (port, driver, handler) => {
    const socket = await client(port);
    for (let index = 0; index < 300; index += 1) {
      const before = handler.messages;
      socket.write(Buffer.of(index & 255));
      await driver.settled(() => handler.messages > before);
    }
    const back = await read(socket, 300);
    assert.equal(
      [...back],
      Array.from({ length: 300 }, (_, index) => index & 255),
    );
    assert.ok(driver.pool.withKernel >= 256 - 4, `${driver.pool.withKernel} of 256 are free`);
    await farewell(socket);
  });
});

uring('forty connections get on with three buffers', async () => {
  await withEcho({ receiving: 3, working: 0, size: 1024 }, async (port) => {
    const clients = await Promise.all(Array.from({ length: 40 }, () => client(port)));
    await Promise.all(
      clients.map(async (socket, index) => {
        const sent = Buffer.alloc(20_000, index);
        socket.end(sent);
        const got: Buffer[] = [];
        for await (const part of socket) got.push(part as Buffer);
        assert.ok(Buffer.concat(got).equals(sent), `client ${index} got what it sent`);
      }),
    );
  });
});

uring('completion and submission queues that are far too short cost time, not data', async () => {
  await withEcho({ entries: 2, completions: 4 }, async (port) => {
    const clients = await Promise.all(Array.from({ length: 100 }, () => client(port)));
    await Promise.all(
      clients.map(async (socket, index) => {
        const sent = Buffer.alloc(5000, index);
        socket.end(sent);
        const got: Buffer[] = [];
        for await (const part of socket) got.push(part as Buffer);
        assert.ok(Buffer.concat(got).equals(sent), `client ${index} got what it sent`);
      }),
    );
  });
});

uring('clients that reset leave nothing behind', async () => {
  await withEcho({}, async (port, driver, handler) => {
    const clients = await Promise.all(Array.from({ length: 50 }, () => client(port)));
    for (const socket of clients) socket.write(Buffer.alloc(10_000));
    await driver.settled(() => handler.messages >= 50);
    for (const socket of clients) socket.resetAndDestroy();
    await driver.settled(() => handler.closed === 50);
    assert.is(driver.loop.connections.open, 0);
  });
});

uring('the ring ends while everything is under way', async () => {
  const sockets: Socket[] = [];
  await withEcho({ window: 2 }, async (port, driver, handler) => {
    for (let index = 0; index < 20; index += 1) sockets.push(await client(port));
    // Nobody reads: sends wait for room, receives are stopped.
    for (const socket of sockets) socket.on('error', () => undefined).write(Buffer.alloc(8 << 20));
    await driver.settled(() => handler.messages >= 200);
  });
  for (const socket of sockets) socket.destroy();
});

test.run();
