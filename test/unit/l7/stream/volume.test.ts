/** Large streams with bounded memory: backpressure from end to end, and nothing allocated for bytes. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WINDOW } from '../../../../appliance/l7/stream/streams.js';
import { needs } from '../../../support/needs.js';
import { withStreams } from '../../../support/stream-stage.js';
import { endOf } from '../../../support/tcp-peers.js';

const test = suite('large streams');
const uring = needs.uring(test);

const MIB = 1 << 20;
const GIB = 1 << 30;

/** Sends so many bytes, no faster than they are taken, and ends. Byte i of the whole is a hash of i. */
async function pour(socket: Socket, bytes: number, block: Buffer): Promise<void> {
  for (let sent = 0; sent < bytes; sent += block.length) {
    if (!socket.write(block.subarray(0, Math.min(block.length, bytes - sent)))) {
      await once(socket, 'drain');
    }
  }
  socket.end();
}

/** Compares all that comes with the block, over and over. Returns how many bytes came. */
async function drink(socket: Socket, block: Buffer): Promise<number> {
  let at = 0;
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    const bytes = part as Buffer;
    for (let from = 0; from < bytes.length;) {
      const begin = at % block.length;
      const count = Math.min(bytes.length - from, block.length - begin);
      if (block.compare(bytes, from, from + count, begin, begin + count) !== 0) {
        throw new Error(`wrong bytes from ${at} on`);
      }
      from += count;
      at += count;
    }
  }
  return at;
}

/** No period that a buffer's size could hide. */
const block = Buffer.alloc(MIB - 7);
for (let i = 0; i < block.length; i += 1) block[i] = (Math.imul(i, 0x9e3779b1) >>> 24) & 255;

for (const way of ['up', 'down'] as const) {
  uring(`1 GiB ${way} holds no more buffers than the window`, async () => {
    const counts: Promise<number>[] = [];
    const member = (socket: Socket): void => {
      if (way === 'up') counts.push(drink(socket, block).finally(() => socket.end()));
      else counts.push(pour(socket, GIB, block).then(() => GIB));
    };
    await withStreams([member], {}, async ({ unit, client }) => {
      const socket = client();
      let got: number;
      if (way === 'up') {
        await Promise.all([pour(socket, GIB, block), endOf(socket)]);
        got = (await counts[0]) ?? 0;
      } else {
        got = await drink(socket, block);
        socket.end();
      }
      assert.is(got, GIB);
      await unit.over(1);
      const [ended] = unit.ended;
      assert.is(ended?.reason, 'complete');
      assert.is(way === 'up' ? ended?.fromClient : ended?.toClient, GIB);
      assert.ok(unit.mostInUse <= WINDOW, `${unit.mostInUse} buffers were in use`);
    });
  });
}

uring('slow readers hold no more than a window each, and others are served meanwhile', async () => {
  const member = (socket: Socket): void => {
    void pour(socket, 64 * MIB, block).catch(() => socket.destroy());
    socket.resume();
  };
  const ring = { receiving: 256 };
  await withStreams([member], { ring }, async ({ unit, client }) => {
    const { pool } = unit.driver;
    // So many that their windows leave some: a burst of more could take all before shares shrink.
    const count = 10;
    const sockets = Array.from({ length: count }, () => client());
    for (const socket of sockets) socket.pause();
    // Until nothing moves any more: all windows are full.
    let moved = -1;
    let still = 0;
    await unit.driver.settled(() => {
      still = unit.engine.open === count && unit.movedTo === moved ? still + 1 : 0;
      moved = unit.movedTo;
      return still > 200;
    });
    assert.ok(pool.withKernel > 0, 'buffers are left for others');
    const quick = client();
    assert.is(await drink(quick, block), 64 * MIB, 'one that reads gets all');
    quick.end();
    for (const socket of sockets) socket.resetAndDestroy();
    await unit.over(count + 1);
    assert.is(pool.withKernel, pool.receiving, 'all buffers are back');
  });
});

uring('one that reads a little now and then gets everything', async () => {
  const size = 8 * MIB;
  const member = (socket: Socket): void => {
    void pour(socket, size, block);
    socket.resume();
  };
  await withStreams([member], { ring: { size: 4096 } }, async ({ unit, client }) => {
    const socket = client();
    let got = 0;
    let ended = false;
    socket.once('end', () => {
      ended = true;
    });
    socket.pause();
    while (!ended) {
      const part = socket.read(50_000) as Buffer | null;
      const rest = part ?? (socket.read() as Buffer | null);
      got += rest?.length ?? 0;
      await new Promise(setImmediate);
    }
    socket.end();
    assert.is(got, size);
    await unit.over(1);
    assert.ok(unit.mostInUse <= WINDOW, `${unit.mostInUse} buffers were in use`);
  });
});

test.run();
