/**
 * The member of the layer-7 benchmark: a server on the worker's ring that is much cheaper than any
 * proxy. `…/small`, `…/64k` and `…/10m` are bodies of x, `…/echo` is the request's head.
 *
 *     started by l7-stage.ts with its number, one for the same member of every pool, since proxies
 *     keep many connections; says its ports, and ends with its parent
 *
 * Invariant: the bytes of a working buffer from `BODY` on are always x; what is written before them
 * (a head, an echo) ends there. So a body is sent without being copied.
 */
import { Owner, BufferPool } from '../../appliance/l7/ring/buffer-pool.js';
import type { Connections } from '../../appliance/l7/ring/connections.js';
import type { ConnectionHandler } from '../../appliance/l7/ring/handler.js';
import { SlotQueue } from '../../appliance/l7/ring/slot-queue.js';
import { WorkerLoop } from '../../appliance/l7/ring/worker-loop.js';
import { listenTcp, localPort } from '../../native/ffi/tcp-socket.js';
import { sockaddr } from '../../native/ffi/socket-address.js';
import { bodies, ECHO, memberLabel, POOLS } from './l7-scene.js';

const BODY = 4096;
const SIZE = 32_768;
/** Buffers of a body that wait to be sent. */
const WINDOW = 12;
const SLOTS = 16_384;
const BACKLOG = 1024;
const X = 0x78;
/** Which member of each pool this process is. */
const which = Number(process.argv[2]);
const [SPACE, SLASH] = [32, 47];

function head(listener: number, length: number): Uint8Array {
  const label = memberLabel(listener, which);
  return Buffer.from(
    `HTTP/1.1 200 OK\r\nServer: member\r\nContent-Type: text/plain\r\nX-Member: ${label}\r\n` +
      `Cache-Control: no-cache\r\nContent-Length: ${length}\r\n\r\n`,
  );
}

class MemberHandler implements ConnectionHandler {
  readonly #connections: Connections;
  readonly #owner: number;
  readonly #listener: Int32Array;
  /** Bytes of a body that no buffer was taken for. */
  readonly #left: Int32Array;
  /** Slots whose connection ends with the answer. */
  readonly #last: Uint8Array;
  /** Slots that want a working buffer when there is none, and the heads that they begin with. */
  readonly #waiting: SlotQueue;
  readonly #begin: (Uint8Array | null)[];
  /** The beginning of a head that comes in pieces. */
  readonly #partial = new Map<number, Buffer>();
  readonly #heads: readonly (readonly Uint8Array[])[];
  readonly #sizes: readonly number[] = Object.values(bodies);
  /** By the first letter of a path's last segment. */
  readonly #kinds = new Int8Array(256).fill(-1);

  constructor(connections: Connections) {
    const slots = connections.slots.count;
    this.#connections = connections;
    this.#owner = connections.pool.owner('member');
    this.#listener = new Int32Array(slots);
    this.#left = new Int32Array(slots);
    this.#last = new Uint8Array(slots);
    this.#waiting = new SlotQueue(slots);
    this.#begin = new Array<Uint8Array | null>(slots).fill(null);
    Object.keys(bodies).forEach((name, kind) => (this.#kinds[name.charCodeAt(0)] = kind));
    this.#heads = Array.from({ length: POOLS }, (_, listener) =>
      this.#sizes.map((size) => head(listener, size)),
    );
    connections.pool.bytes.fill(X, connections.pool.receiving * SIZE);
  }

  onAccept(slot: number, listener: number): void {
    this.#listener[slot] = listener;
    this.#left[slot] = 0;
  }
  onData(slot: number, buffer: number): void {
    const { pool } = this.#connections;
    const from = buffer * SIZE + (pool.start[buffer] as number);
    const end = from + (pool.length[buffer] as number);
    const held = this.#partial.size === 0 ? undefined : this.#partial.get(slot);
    if (held === undefined && endsHead(pool.bytes, from, end)) {
      this.#answer(slot, pool.bytes, from, end);
    } else {
      const whole = Buffer.concat([held ?? Buffer.alloc(0), pool.bytes.subarray(from, end)]);
      if (endsHead(whole, 0, whole.length)) {
        this.#partial.delete(slot);
        this.#answer(slot, whole, 0, whole.length);
      } else this.#partial.set(slot, whole);
    }
    pool.release(buffer, Owner.handler);
  }
  onSent(slot: number, _bytes: number): void {
    const { output } = this.#connections;
    if ((this.#left[slot] as number) > 0) this.#pump(slot);
    else if (this.#last[slot] === 1 && output.bytes[slot] === 0) this.#connections.close(slot);
    for (;;) {
      if (this.#connections.pool.free === 0) return;
      const next = this.#waiting.shift();
      if (next < 0) return;
      this.#pump(next);
    }
  }
  onEnd(slot: number, _errno: number): void {
    this.#connections.close(slot);
  }
  onSendError(slot: number, _errno: number): void {
    this.#connections.close(slot);
  }
  onClosed(slot: number): void {
    this.#partial.delete(slot);
    this.#waiting.remove(slot);
    this.#begin[slot] = null;
    this.#left[slot] = 0;
    this.#last[slot] = 0;
  }
  quiet(_slot: number): boolean {
    return false;
  }
  bulk(_slot: number): number {
    return 0;
  }
  room(_slot: number): number {
    return 4;
  }
  onConnect(): void {
    throw new Error('a member connects to nobody');
  }
  onFinished(): void {
    throw new Error('a member finishes nothing');
  }
  onAcceptError(_listener: number, errno: number): void {
    throw new Error(`the member cannot accept: errno ${errno}`);
  }
  onWake(): void {
    // Nobody wakes it.
  }
  onTimer(): void {
    // It has no timers.
  }

  #answer(slot: number, bytes: Uint8Array, from: number, end: number): void {
    let at = from;
    while (at < end && bytes[at] !== SPACE) at += 1;
    let segment = at + 2;
    for (at += 1; at < end && bytes[at] !== SPACE; at += 1)
      if (bytes[at] === SLASH) segment = at + 1;
    const letter = bytes[segment] as number;
    const listener = this.#listener[slot] as number;
    if (letter === ECHO.charCodeAt(0)) {
      this.#echo(slot, listener, bytes.subarray(from, end));
      return;
    }
    const kind = this.#kinds[letter] as number;
    if (kind < 0)
      throw new Error(
        `the member has no ${Buffer.from(bytes.subarray(from, end)).toString('latin1')}`,
      );
    this.#begin[slot] = (this.#heads[listener] as readonly Uint8Array[])[kind] as Uint8Array;
    this.#left[slot] = this.#sizes[kind] as number;
    this.#last[slot] = endsWith(bytes, end, closing) ? 1 : 0;
    this.#pump(slot);
  }

  #echo(slot: number, listener: number, got: Uint8Array): void {
    const answer = Buffer.concat([head(listener, got.length), got]);
    if (answer.length > BODY) throw new Error(`a head of ${got.length} bytes is too long to echo`);
    const { pool } = this.#connections;
    const id = pool.take(this.#owner);
    if (id < 0) throw new Error('the member has no buffer for an echo');
    pool.bytes.set(answer, id * SIZE);
    pool.length[id] = answer.length;
    this.#connections.write(slot, id, this.#owner);
  }

  #pump(slot: number): void {
    const { pool, output } = this.#connections;
    let left = this.#left[slot] as number;
    while (left > 0 && (output.buffers[slot] as number) < WINDOW) {
      const id = pool.take(this.#owner);
      if (id < 0) {
        // Whoever has output of its own is asked again when that is sent.
        if ((output.buffers[slot] as number) === 0) this.#waiting.add(slot);
        break;
      }
      const part = left < SIZE - BODY ? left : SIZE - BODY;
      const begin = this.#begin[slot] as Uint8Array | null;
      let start = BODY;
      if (begin !== null) {
        start -= begin.length;
        pool.bytes.set(begin, id * SIZE + start);
        this.#begin[slot] = null;
      }
      pool.start[id] = start;
      pool.length[id] = BODY - start + part;
      this.#connections.write(slot, id, this.#owner);
      left -= part;
    }
    this.#left[slot] = left;
  }
}

/** Requests come one by one and without bodies, so a head ends where the bytes end. */
const ending = Buffer.from('\r\n\r\n');
/** What asks for the end of a connection comes last, as the load writes it. */
const closing = Buffer.from('Connection: close\r\n\r\n');

function endsWith(bytes: Uint8Array, end: number, what: Uint8Array): boolean {
  for (let i = 1; i <= what.length; i += 1) {
    if (bytes[end - i] !== what[what.length - i]) return false;
  }
  return true;
}

function endsHead(bytes: Uint8Array, from: number, end: number): boolean {
  return end - from >= ending.length && endsWith(bytes, end, ending);
}

const pool = new BufferPool({ size: SIZE, receiving: 2048, working: 1024 });
const loop = WorkerLoop.open({ pool, slots: SLOTS, timers: 0 });
if (loop instanceof Error) throw loop;
const ports = Array.from({ length: POOLS }, () => {
  const fd = listenTcp(sockaddr(4, Uint8Array.of(127, 0, 0, 1), 0), BACKLOG);
  const port = localPort(fd);
  loop.adopt(fd, BACKLOG);
  return port;
});
loop.serve(new MemberHandler(loop.connections));
process.once('disconnect', () => loop.stop());
process.send?.({ ports });
await loop.run();
loop.close();
