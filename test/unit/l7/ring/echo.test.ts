/** An echo on the worker's loop, with node's own sockets as clients. */
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
  options: DriverOptions & { readonly window?: number },
  work: (port: number, driver: RingDriver, handler: EchoHandler) => Promise<void>,
): Promise<void> {
  const { window = 8, ...rest } = options;
  const driver = new RingDriver(rest);
  try {
    const handler = new EchoHandler(driver.loop.connections, window);
    const port = driver.listen();
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

uring('sends back what it gets, and closes after the client has', async () => {
  await withEcho({}, async (port, driver, handler) => {
    const socket = await client(port);
    socket.write('hello');
    assert.is((await read(socket, 5)).toString(), 'hello');
    socket.end();
    socket.resume();
    await once(socket, 'end');
    await driver.settled(() => handler.closed === 1);
  });
});

test.run();
