/** The loop itself: running, waking, timers, sharing a port, and what it allocates. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { close, eventfd, signalEventfd } from '../../../../native/ffi/libc.js';
import { listenTcp, localPort } from '../../../../native/ffi/tcp-socket.js';
import { BufferPool, Owner } from '../../../../appliance/l7/ring/buffer-pool.js';
import { WorkerLoop, type WorkerLoopOptions } from '../../../../appliance/l7/ring/worker-loop.js';
import { sockaddr } from '../../../../native/ffi/socket-address.js';
import { needs } from '../../../support/needs.js';
import { loopback } from '../../../support/ring-driver.js';
import { QuietHandler } from '../../../support/ring-handlers.js';

const test = suite('worker loop');
const uring = needs.uring(test);

async function withLoop(
  options: Partial<WorkerLoopOptions>,
  work: (loop: WorkerLoop) => Promise<void> | void,
): Promise<void> {
  const pool = new BufferPool({ size: 1024, receiving: 256, working: 64 });
  const loop = WorkerLoop.open({ pool, slots: 256, timers: 4, ...options });
  if (loop instanceof Error) throw loop;
  let ended = false;
  try {
    await work(loop);
    ended = true;
  } finally {
    // What a failed test left open may hang on a handler that failed; the process ends soon.
    if (ended || loop.connections.open === 0) loop.close();
  }
}

/** Listens on a free port and returns it. */
function listen(loop: WorkerLoop, backlog = 64): number {
  const fd = listenTcp(loopback(0), backlog);
  loop.adopt(fd, backlog);
  return localPort(fd);
}

uring('its eventfd wakes it, as often as it is signalled', async () => {
  const wakeFd = eventfd();
  try {
    await withLoop({ wakeFd }, async (loop) => {
      const handler = new (class extends QuietHandler {
        wakes = 0;
        override onWake(): void {
          this.wakes += 1;
          if (this.wakes === 3) loop.stop();
          else signalEventfd(wakeFd);
        }
      })(loop.connections);
      loop.serve(handler);
      signalEventfd(wakeFd);
      await loop.run();
      assert.is(handler.wakes, 3);
    });
  } finally {
    close(wakeFd);
  }
});

uring('timers fire in the turn, never before their time', async () => {
  await withLoop({}, async (loop) => {
    let fired = 0;
    const handler = new (class extends QuietHandler {
      override onTimer(timer: number): void {
        assert.is(timer, 2);
        fired = performance.now();
        loop.stop();
      }
    })(loop.connections);
    loop.serve(handler);
    // Time passes before the first turn, and must not count.
    await new Promise((resolve) => setTimeout(resolve, 10));
    const begun = performance.now();
    loop.setTimer(1, 20);
    loop.cancelTimer(1);
    loop.setTimer(2, 30);
    await loop.run();
    assert.ok(fired - begun >= 29, `after ${fired - begun} ms of 30`);
  });
});

uring('node has its turn while the loop runs: a promise, a timer, a signal', async () => {
  await withLoop({}, async (loop) => {
    loop.serve(new QuietHandler(loop.connections));
    const signal = new Promise<void>((resolve) => process.once('SIGUSR2', () => resolve()));
    setTimeout(() => process.kill(process.pid, 'SIGUSR2'), 1);
    const running = loop.run();
    await signal;
    loop.stop();
    await running;
  });
});

uring('two loops share a port', async () => {
  await withLoop({}, async (one) => {
    await withLoop({}, async (two) => {
      const port = listen(one);
      two.listen(loopback(port), 64);
      const handlers = [one, two].map((loop) => {
        const handler = new QuietHandler(loop.connections);
        loop.serve(handler);
        loop.turn(0);
        return handler;
      });
      const accepted = (): number => handlers.reduce((sum, it) => sum + it.accepted, 0);
      const clients: Socket[] = [];
      for (let index = 0; index < 64; index += 1) {
        const client = connect({ port, host: '127.0.0.1' });
        clients.push(client);
        await once(client, 'connect');
      }
      while (accepted() < 64) {
        one.turn(1);
        two.turn(1);
      }
      for (const handler of handlers) {
        assert.ok(handler.accepted > 0, `each gets some of 64: ${handler.accepted}`);
      }
      for (const client of clients) client.destroy();
    });
  });
});

uring('IPv6 listens for itself alone', async () => {
  await withLoop({}, (loop) => {
    const any6 = Uint8Array.from(sockaddr(6, new Uint8Array(16), 0));
    const six = listenTcp(any6, 8);
    const port = localPort(six);
    loop.adopt(six, 8);
    // Were IPv4 in it as well, this address would be in use.
    const four = listenTcp(Uint8Array.from(sockaddr(4, new Uint8Array(4), port)), 8);
    loop.adopt(four, 8);
  });
});

uring('a loop that was closed left no listener and no descriptor', async () => {
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  let port = 0;
  await withLoop({}, (loop) => {
    loop.serve(new QuietHandler(loop.connections));
    port = listen(loop);
    loop.turn(0);
  });
  assert.is(descriptors(), before);
  const client = connect({ port, host: '127.0.0.1' });
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.is(error.code, 'ECONNREFUSED');
});

/** Plays ping-pong with itself: half of the slots are clients of the other half. */
class PingPong extends QuietHandler {
  messages = 0;
  override onConnect(slot: number, errno: number): void {
    assert.is(errno, 0);
    this.connections.writeBytes(slot, Buffer.alloc(100), 0, 100);
  }
  override onData(slot: number, buffer: number): void {
    this.messages += 1;
    this.connections.write(slot, buffer, Owner.handler);
  }
  override room(slot: number): number {
    return 8 - (this.connections.output.buffers[slot] as number);
  }
}

/**
 * Compressions in node's threads, one after the other. Each would wait for a turn that node gets by
 * itself, a second of an idle loop and a tenth of a busy one, if the end of a thread's work woke no
 * loop: `most` milliseconds are far less than that and far more than it takes.
 */
async function compressions(loop: WorkerLoop, count: number, most: number): Promise<void> {
  loop.setTimer(0, most);
  const running = loop.run();
  for (let done = 0; done < count; done += 1) await promisify(deflate)(Buffer.alloc(1000));
  loop.cancelTimer(0);
  loop.stop();
  await running;
}

class Impatient extends PingPong {
  override onTimer(): void {
    throw new Error(`too late, after ${this.messages} messages`);
  }
}

uring('the end of work in a thread of node wakes an idle loop', async () => {
  await withLoop({}, async (loop) => {
    loop.serve(new Impatient(loop.connections));
    await compressions(loop, 30, 20_000);
  });
});

uring('and is heard of at once under load', async () => {
  await withLoop({}, async (loop) => {
    const handler = new Impatient(loop.connections);
    const port = listen(loop);
    loop.serve(handler);
    for (let index = 0; index < 32; index += 1) {
      assert.ok(loop.connections.connect(loopback(port), null) >= 0);
    }
    await compressions(loop, 200, 15_000);
    assert.ok(handler.messages > 1000, `${handler.messages} messages meanwhile`);
  });
});

uring('two loops of one machine have one clock', async () => {
  await withLoop({}, (loop) => {
    loop.serve(new QuietHandler(loop.connections));
    loop.turn(0);
    const machine = Number(process.hrtime.bigint() / 1_000_000n) | 0;
    const behind = (machine - loop.now) | 0;
    assert.ok(behind >= 0 && behind < 60_000, `${behind} ms behind the machine's clock`);
  });
});

uring('a hundred thousand messages allocate nothing each', async () => {
  await withLoop({}, (loop) => {
    const handler = new PingPong(loop.connections);
    const port = listen(loop);
    loop.serve(handler);
    for (let index = 0; index < 64; index += 1) {
      assert.ok(loop.connections.connect(loopback(port), null) >= 0);
    }
    const upTo = (messages: number): void => {
      while (handler.messages < messages) loop.turn(1000);
    };
    upTo(50_000); // compiled by now
    let allocated = 0;
    let used = process.memoryUsage().heapUsed;
    for (let target = 50_000; target <= 150_000; target += 5000) {
      upTo(target);
      const now = process.memoryUsage().heapUsed;
      // A collection between two looks hides what was allocated between them, and no more.
      if (now > used) allocated += now - used;
      used = now;
    }
    // A heap number has 16 bytes, an object more, and a message is two completions.
    const each = allocated / 100_000;
    assert.ok(each < 12, `${each.toFixed(1)} bytes a message`);
  });
});

test.run();
