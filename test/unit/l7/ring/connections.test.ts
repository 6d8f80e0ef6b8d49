/** The life of single connections: pausing, ending, slots that come again. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errno, IORING_CQE_F_BUFFER } from '../../../../native/ffi/io-uring-abi.js';
import { close } from '../../../../native/ffi/libc.js';
import { listenTcp, localPort, peerOf } from '../../../../native/ffi/tcp-socket.js';
import { Owner } from '../../../../appliance/l7/ring/buffer-pool.js';
import type { Connections } from '../../../../appliance/l7/ring/connections.js';
import { Kind } from '../../../../appliance/l7/ring/ring.js';
import { State } from '../../../../appliance/l7/ring/slots.js';
import { needs } from '../../../support/needs.js';
import { type DriverOptions, loopback, RingDriver } from '../../../support/ring-driver.js';
import { QuietHandler } from '../../../support/ring-handlers.js';

const test = suite('connections on io_uring');
const uring = needs.uring(test);

/** Notes what arrives; slots in `shut` receive nothing. */
class Gate extends QuietHandler {
  readonly shut = new Set<number>();
  got = '';
  sent = 0;
  slots: number[] = [];
  override onSent(_slot: number, bytes: number): void {
    this.sent += bytes;
  }
  override onAccept(slot: number, listener: number): void {
    super.onAccept(slot, listener);
    this.slots.push(slot);
  }
  override onData(slot: number, buffer: number): void {
    const { pool } = this.connections;
    const begin = buffer * pool.size + (pool.start[buffer] as number);
    const bytes = pool.bytes.subarray(begin, begin + (pool.length[buffer] as number));
    this.got += Buffer.from(bytes).toString('latin1');
    super.onData(slot, buffer);
  }
  override onFinished(_slot: number): void {
    this.heard.push('finished');
  }
  override room(slot: number): number {
    return this.shut.has(slot) ? 0 : 8;
  }
}

async function withGate(
  options: DriverOptions,
  work: (driver: RingDriver, gate: Gate, client: () => Promise<Socket>) => Promise<void>,
): Promise<void> {
  const driver = new RingDriver(options);
  const sockets: Socket[] = [];
  try {
    const gate = new Gate(driver.loop.connections);
    const port = driver.listen();
    driver.serve(gate);
    await work(driver, gate, async () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
      // Closing a connection with unread bytes resets it; tests look at what they are about.
      socket.on('error', () => undefined);
      sockets.push(socket);
      await once(socket, 'connect');
      return socket;
    });
  } finally {
    try {
      driver.end();
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  }
}

for (const receiveMode of [undefined, 'single', 'multishot'] as const) {
  const way = receiveMode === undefined ? {} : { receiveMode };
  uring(`a receive that waits is stopped and begun again (${receiveMode ?? 'best'})`, async () => {
    await withGate(way, async (driver, gate, client) => {
      const { connections } = driver.loop;
      const socket = await client();
      socket.write('one');
      await driver.settled(() => gate.got === 'one');
      const slot = gate.slots[0]!;
      gate.shut.add(slot);
      connections.touch(slot);
      await driver.settled(() => (connections.slots.state[slot]! & State.receiving) === 0);
      socket.write('two');
      const other = await client();
      other.write('and');
      await driver.settled(() => gate.got.length > 3);
      assert.is(gate.got, 'oneand', 'nothing is received without room');
      gate.shut.clear();
      connections.touch(slot);
      await driver.settled(() => gate.got === 'oneandtwo');
    });
  });
}

uring('clients beyond the slots wait until others go', async () => {
  await withGate({ slots: 4, reserve: 1 }, async (driver, gate, client) => {
    const sockets = await Promise.all(Array.from({ length: 9 }, () => client()));
    for (const socket of sockets) socket.write('x');
    await driver.settled(() => gate.got.length >= 3);
    for (let done = 1; done <= 9; done += 1) {
      assert.ok(driver.loop.connections.open <= 4, `${driver.loop.connections.open} slots of 4`);
      driver.loop.connections.close(gate.slots[done - 1]!);
      await driver.settled(() => gate.closed === done && gate.accepted >= Math.min(9, done + 3));
    }
    assert.is(gate.got, 'xxxxxxxxx');
  });
});

uring(
  'a slot that comes again is of the next generation, and old completions are not its own',
  async () => {
    await withGate({ slots: 1 }, async (driver, gate, client) => {
      const { connections, pool } = driver.loop;
      await client();
      await driver.settled(() => gate.accepted === 1);
      const generation = connections.slots.generation[0]!;
      assert.ok(connections.slots.is(0, generation));
      connections.close(0);
      await client();
      await driver.settled(() => gate.accepted === 2);
      assert.not(connections.slots.is(0, generation), 'the former one');
      assert.ok(connections.slots.is(0, generation + 1));
      const before = pool.withKernel;
      const flags = IORING_CQE_F_BUFFER | (5 << 16);
      connections.completed(Kind.receive, 0, generation, 10, flags);
      connections.completed(Kind.receive, 0, generation, 0, 0);
      connections.completed(Kind.send, 0, generation, -errno.ECONNRESET, 0);
      connections.completed(Kind.close, 0, generation, 0, 0);
      assert.is(pool.withKernel, before, 'the buffer went back to the kernel');
      assert.is(gate.got, '');
      assert.is(connections.open, 1);
      assert.equal(gate.heard, []);
    });
  },
);

uring('closing takes back what a client does not read', async () => {
  await withGate({ size: 65_536, working: 320 }, async (driver, gate, client) => {
    const { connections } = driver.loop;
    const socket = await client();
    socket.pause();
    await driver.settled(() => gate.accepted === 1);
    const slot = gate.slots[0]!;
    // More than the buffers of both sockets hold, so that a send stays under way.
    const block = Buffer.alloc(320 * 65_536, 1);
    assert.is(connections.writeBytes(slot, block, 0, block.length), block.length);
    await driver.settled(() => gate.sent > 1 << 19 && 'sending' in driver.pool.census());
    connections.close(slot);
    await driver.settled(() => gate.closed === 1);
    assert.equal(driver.pool.census(), { kernel: 256, free: 328 });
  });
});

/** Sends numbered blocks one by one, the next when the last one is gone, and waits for nothing. */
class Blocks extends QuietHandler {
  begun = 0;
  heardSent = 0;
  constructor(
    connections: Connections,
    private readonly count: number,
  ) {
    super(connections);
  }
  override onAccept(slot: number, listener: number): void {
    super.onAccept(slot, listener);
    this.#next(slot);
  }
  override onSent(slot: number, bytes: number): void {
    this.heardSent += bytes;
    if ((this.connections.output.bytes[slot] as number) === 0) this.#next(slot);
  }
  override quiet(_slot: number): boolean {
    return true;
  }
  #next(slot: number): void {
    if (this.begun === this.count) {
      this.connections.finish(slot);
      return;
    }
    const { pool } = this.connections;
    const block = Buffer.alloc(pool.size, this.begun & 255);
    this.begun += 1;
    this.connections.writeBytes(slot, block, 0, block.length);
  }
}

uring('a quiet send that the socket does not take at once loses nothing', async () => {
  const [size, count] = [16_384, 1024];
  const driver = new RingDriver({ size });
  let socket: Socket | null = null;
  try {
    const blocks = new Blocks(driver.loop.connections, count);
    const port = driver.listen();
    driver.serve(blocks);
    socket = connect({ port, host: '127.0.0.1' });
    socket.pause();
    const blocked = (): boolean => {
      const state = driver.loop.connections.slots.state[0] as number;
      return (state & State.sending) !== 0 && (state & State.quiet) === 0;
    };
    // It does not read, so some block finds no room, and waits for the socket.
    await driver.settled(() => blocks.begun > 8 && blocked());
    assert.ok(blocks.begun < count, 'the sockets took all of it');
    let got = 0;
    for await (const piece of socket as AsyncIterable<Buffer>) {
      for (let at = 0; at < piece.length; at += 1, got += 1) {
        if (piece[at] !== (Math.floor(got / size) & 255)) assert.unreachable(`octet ${got}`);
      }
    }
    assert.is(got, size * count);
    assert.is(blocks.heardSent, size * count);
  } finally {
    socket?.destroy();
    driver.end();
  }
});

uring('what became of a quiet send is heard although nothing else happens', async () => {
  const driver = new RingDriver();
  let socket: Socket | null = null;
  try {
    const blocks = new Blocks(driver.loop.connections, 1);
    const port = driver.listen();
    driver.serve(blocks);
    socket = connect({ port, host: '127.0.0.1' }).resume();
    await driver.settled(() => blocks.accepted === 1);
    // The end of what was sent follows only when that is known to be gone.
    await once(socket, 'end');
    assert.is(blocks.heardSent, 4096);
  } finally {
    socket?.destroy();
    driver.end();
  }
});

uring('after finish() the client reads everything and the end', async () => {
  await withGate({}, async (driver, gate, client) => {
    const { connections } = driver.loop;
    const socket = await client();
    await driver.settled(() => gate.accepted === 1);
    const slot = gate.slots[0]!;
    const text = Buffer.from('all of it');
    assert.is(connections.writeBytes(slot, text, 0, text.length), text.length);
    connections.finish(slot);
    assert.throws(() => connections.writeBytes(slot, text, 0, 1), /after finish\(\)/);
    let got = '';
    for await (const part of socket.iterator({ destroyOnReturn: false })) got += String(part);
    assert.is(got, 'all of it');
    await driver.settled(() => gate.heard.length > 0);
    assert.equal(gate.heard, ['finished']);
    socket.end();
    await driver.settled(() => gate.closed === 1);
  });
});

uring('what is written to a connection that closes is dropped', async () => {
  await withGate({}, async (driver, gate, client) => {
    const { connections, pool } = driver.loop;
    await client();
    await driver.settled(() => gate.accepted === 1);
    const slot = gate.slots[0]!;
    connections.close(slot);
    const buffer = pool.take(Owner.handler);
    connections.write(slot, buffer, Owner.handler);
    await driver.settled(() => gate.closed === 1);
    assert.throws(() => connections.writeBytes(slot, Buffer.of(1), 0, 1), /after its life/);
  });
});

uring('connects from an address of its choice, and sends what was written before', async () => {
  const server = createServer();
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await withGate({}, async (driver, gate) => {
      const { connections } = driver.loop;
      const source = loopback(0);
      source[7] = 9; // 127.0.0.9
      const accepted = once(server, 'connection') as Promise<[Socket]>;
      const slot = connections.connect(loopback(port), source);
      connections.writeBytes(slot, Buffer.from('early'), 0, 5);
      const [member] = await accepted;
      assert.is(member.remoteAddress, '127.0.0.9');
      const [data] = (await once(member, 'data')) as [Buffer];
      assert.is(String(data), 'early');
      const name = Buffer.alloc(28);
      assert.is(peerOf(connections.slots.fd[slot]!, name), 16);
      assert.is(name.readUInt16BE(2), port);
      member.end('late');
      await driver.settled(() => gate.closed === 1);
      assert.is(gate.got, 'late');
      assert.equal(gate.heard, ['connect 0', 'end 0']);
      member.destroy();
    });
  } finally {
    server.close();
  }
});

uring('connections that nobody answers are given up', async () => {
  // A backlog of one that nobody accepts from: what comes after gets no answer.
  const fd = listenTcp(loopback(0), 0);
  try {
    await withGate({}, async (driver, gate) => {
      const { connections } = driver.loop;
      const address = loopback(localPort(fd));
      for (let index = 0; index < 6; index += 1) assert.ok(connections.connect(address, null) >= 0);
      await driver.settled(() => gate.heard.length > 0);
      assert.ok(gate.heard.length < 6, 'some hang');
      connections.closeAll();
      await driver.settled(() => gate.closed === 6);
    });
  } finally {
    close(fd);
  }
});

uring('a listener that is taken away refuses, and its connections stay', async () => {
  await withGate({}, async (driver, gate, client) => {
    const socket = await client();
    await driver.settled(() => gate.accepted === 1);
    driver.loop.unlisten(0);
    const refused = async (): Promise<string> => {
      for (;;) {
        try {
          (await client()).destroy();
        } catch (error) {
          // One that came just before is reset.
          const { code } = error as NodeJS.ErrnoException;
          if (code !== 'ECONNRESET') return code ?? '';
        }
      }
    };
    assert.is(await refused(), 'ECONNREFUSED');
    socket.write('still here');
    await driver.settled(() => gate.got === 'still here');
  });
});

test.run();
