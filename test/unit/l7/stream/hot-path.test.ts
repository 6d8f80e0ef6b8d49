/** Bytes of a stream allocate nothing: measured between three loops on rings in one thread. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BufferPool, Owner } from '../../../../appliance/l7/ring/buffer-pool.js';
import type { ConnectionHandler } from '../../../../appliance/l7/ring/handler.js';
import { WorkerLoop } from '../../../../appliance/l7/ring/worker-loop.js';
import { listenTcp, localPort } from '../../../../native/ffi/tcp-socket.js';
import { needs } from '../../../support/needs.js';
import { loopback } from '../../../support/ring-driver.js';
import { EchoHandler, QuietHandler } from '../../../support/ring-handlers.js';
import { plainService, streamHandler } from '../../../support/stream-service.js';

const test = suite('hot path of streams');
const uring = needs.uring(test);

const SLOTS = 512;

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
}

uring('a hundred thousand messages through the engine allocate nothing each', () => {
  const loops: WorkerLoop[] = [];
  const open = (): WorkerLoop => {
    const pool = new BufferPool({ size: 4096, receiving: 512, working: 256 });
    const loop = WorkerLoop.open({ pool, slots: SLOTS, timers: SLOTS + 1 });
    if (loop instanceof Error) throw loop;
    loops.push(loop);
    return loop;
  };
  const listen = (loop: WorkerLoop, handler: ConnectionHandler): number => {
    const fd = listenTcp(loopback(0), 128);
    loop.adopt(fd, 128);
    loop.serve(handler);
    return localPort(fd);
  };
  try {
    const memberLoop = open();
    const member = listen(memberLoop, new EchoHandler(memberLoop.connections, 8));
    const engineLoop = open();
    const { service } = plainService({ pools: { main: [member] } });
    const { handler, engine } = streamHandler(engineLoop, () => service);
    const port = listen(engineLoop, handler);
    const clientLoop = open();
    const clients = new PingPong(clientLoop.connections);
    clientLoop.serve(clients);
    for (let index = 0; index < 64; index += 1) {
      assert.ok(clientLoop.connections.connect(loopback(port), null) >= 0);
    }
    const upTo = (messages: number): void => {
      while (clients.messages < messages) {
        clientLoop.turn(0);
        engineLoop.turn(0);
        memberLoop.turn(0);
      }
    };
    upTo(50_000); // compiled by now
    assert.is(engine.open, 64);
    let allocated = 0;
    let used = process.memoryUsage().heapUsed;
    for (let target = 50_000; target <= 150_000; target += 5000) {
      upTo(target);
      const now = process.memoryUsage().heapUsed;
      // A collection between two looks hides what was allocated between them, and no more.
      if (now > used) allocated += now - used;
      used = now;
    }
    // There and back, with a turn of three loops for some of them: a heap number for each would be 32.
    const each = allocated / 100_000;
    assert.ok(each < 24, `${each.toFixed(1)} bytes a message and its answer`);
  } finally {
    for (const loop of loops.reverse()) loop.close();
  }
});

test.run();
