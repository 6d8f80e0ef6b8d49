/**
 * A process of the benchmark of streams, on a ring of its own: Weir's stream engine, or the member.
 * Says its port to its parent and ends with it.
 *
 *     started by l7-stream.ts with its role, and for Weir the member's port
 */
import { BufferPool, Owner } from '../../appliance/l7/ring/buffer-pool.js';
import type { ConnectionHandler } from '../../appliance/l7/ring/handler.js';
import { WorkerLoop } from '../../appliance/l7/ring/worker-loop.js';
import { listenTcp, localPort } from '../../native/ffi/tcp-socket.js';
import { QuietHandler } from '../support/ring-handlers.js';
import { loopback } from '../support/ring-driver.js';
import { plainService, streamHandler } from '../support/stream-service.js';

const SLOTS = 4096;
const BACKLOG = 2048;

/** Answers a count of bytes, 8 octets, with as many bytes and the end. */
class Member extends QuietHandler {
  readonly #left = new Float64Array(SLOTS);
  override onAccept(slot: number): void {
    this.#left[slot] = -1;
  }
  override onData(slot: number, buffer: number): void {
    const { pool } = this.connections;
    const at = buffer * pool.size;
    const view = Buffer.from(pool.bytes.buffer, pool.bytes.byteOffset + at, 8);
    this.#left[slot] = Number(view.readBigUInt64BE());
    pool.release(buffer, Owner.handler);
    this.#pour(slot);
  }
  override onSent(slot: number): void {
    this.#pour(slot);
  }
  override onEnd(slot: number): void {
    this.connections.close(slot);
  }
  #pour(slot: number): void {
    const { connections } = this;
    const { pool, output } = connections;
    let left = this.#left[slot] as number;
    if (left <= 0) return;
    while (left > 0 && (output.buffers[slot] as number) < 8) {
      const id = pool.take(Owner.output);
      if (id < 0) break;
      const length = Math.min(left, pool.size);
      pool.length[id] = length;
      left -= length;
      connections.write(slot, id, Owner.output);
    }
    this.#left[slot] = left;
    if (left === 0) connections.finish(slot);
  }
}

function handlerFor(role: string, loop: WorkerLoop, member: number): ConnectionHandler {
  if (role === 'member') return new Member(loop.connections);
  const { service } = plainService({ pools: { main: [member] } });
  return streamHandler(loop, () => service).handler;
}

const [role = '', memberPort = '0', size = '16384'] = process.argv.slice(2);
const loop = WorkerLoop.open({
  pool: new BufferPool({ size: Number(size), receiving: 2048, working: 1024 }),
  slots: SLOTS,
  timers: SLOTS + 1,
});
if (loop instanceof Error) throw loop;
const fd = listenTcp(loopback(0), BACKLOG);
loop.adopt(fd, BACKLOG);
loop.serve(handlerFor(role, loop, Number(memberPort)));
process.on('disconnect', () => process.exit(0));
process.send?.({ port: localPort(fd) });
await loop.run();
