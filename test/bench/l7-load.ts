/**
 * The load of the layer-7 benchmark: so many clients, each with one request at a time, on the
 * worker's ring. Every answer is checked: status 200, the announced length is the expected one,
 * that many bytes of x come and nothing behind them, and a client without a cookie is given one.
 *
 * Invariant: anything else is an error that ends the measurement, with what was seen.
 */
import { Owner, type BufferPool } from '../../appliance/l7/ring/buffer-pool.js';
import type { Connections } from '../../appliance/l7/ring/connections.js';
import type { ConnectionHandler } from '../../appliance/l7/ring/handler.js';
import type { ClientSide } from '../../appliance/l7/tls/sides.js';
import { KeptSessions } from '../../appliance/l7/tls/kept-sessions.js';
import { TlsTransport } from '../../appliance/l7/tls/transport.js';
import { TlsEngine } from '../../native/ffi/tls-engine.js';
import { TlsContext } from '../../native/ffi/tls-context.js';
import type { Case } from './l7-cases.js';
import { Histogram } from './l7-histogram.js';
import { type AnswerHead, readAnswer } from './l7-answer.js';

const nothingFirst = new Uint8Array(0);
export interface Load {
  /** A sockaddr. */
  readonly address: Uint8Array;
  readonly clients: number;
  /** One request a connection, which the proxy closes. */
  readonly connect: boolean;
  readonly bodyBytes: number;
  readonly tls: Case['tls'];
  /** The cookie that a proxy gives to clients; null: none is expected. */
  readonly cookie: string | null;
  /** Heads without the cookie and the empty line at the end; a client takes one list's in turn. */
  readonly requests: readonly (readonly string[])[];
}

/** Connections that are being made at a time. */
const CONNECTING = 128;
/** Different cookies that proxies may give out. */
export const MOST_COOKIES = 16;
const X = 0x78;
const ECONNABORTED = 103;

interface TlsClients {
  readonly transport: TlsTransport;
  readonly side: ClientSide;
  close(): void;
}

/**
 * All ask for the same host, and judge no certificate: what that costs is theirs, not the proxy's. Those
 * that are to resume do so from their second connection on, or the measurement would be of something else.
 */
function clientsOf(connections: Connections, clients: number, resumes: boolean): TlsClients {
  let full = 0;
  const transport = new TlsTransport(connections, new TlsEngine(), {
    made: (_side, resumed) => {
      if (!resumes || resumed) return;
      full += 1;
      if (full > 2 * clients) throw new Error('the proxy does not resume sessions');
    },
  });
  const context = TlsContext.client({
    policy: 'intermediate',
    verify: false,
    authorities: [],
    identity: null,
  });
  // Each client has one to go on with, even when all begin at once.
  const sessions = new KeptSessions(2 * clients);
  if (!resumes) sessions.close();
  const side: ClientSide = {
    context,
    pool: 'bench',
    name: 'h0.example',
    ends: transport,
    member: '',
    address: '',
    sessions,
  };
  return {
    transport,
    side,
    close() {
      sessions.close();
      context.close();
    },
  };
}

export class LoadHandler implements ConnectionHandler {
  readonly latencies = new Histogram();
  /** Answers since the last begin(). */
  answers = 0;
  /** Clients that have or had a connection. */
  connected = 0;

  readonly #connections: Connections;
  readonly #pool: BufferPool;
  readonly #load: Load;
  readonly #owner: number;
  /** By slot: its client; bytes of the body that are missing, -1 before the head has come. */
  readonly #client: Int32Array;
  readonly #left: Int32Array;
  readonly #begun: Float64Array;
  /** By client: its cookie's number, 0 for none; the next request of its list. */
  readonly #cookie: Uint8Array;
  readonly #turn: Int32Array;
  readonly #cookies = new Map<string, number>([['', 0]]);
  /** Buffers with whole requests, by list, cookie and request. */
  readonly #made: Int32Array[][];
  readonly #partial = new Map<number, Buffer>();
  readonly #head: AnswerHead = { end: 0, length: -1, cookie: null };
  readonly #tls: TlsClients | null;
  #pending = 0;
  #next = 0;

  constructor(connections: Connections, load: Load) {
    const slots = connections.slots.count;
    this.#connections = connections;
    this.#pool = connections.pool;
    this.#load = load;
    this.#owner = this.#pool.owner('load');
    this.#client = new Int32Array(slots);
    this.#tls = load.tls === null ? null : clientsOf(connections, load.clients, load.tls.resumes);
    this.#left = new Int32Array(slots).fill(-1);
    this.#begun = new Float64Array(slots);
    this.#cookie = new Uint8Array(load.clients);
    this.#turn = new Int32Array(load.clients);
    this.#made = load.requests.map((list) =>
      Array.from({ length: MOST_COOKIES }, () => new Int32Array(list.length).fill(-1)),
    );
  }

  /** Working buffers that a load needs. */
  static buffers(load: Load): number {
    return load.clients + MOST_COOKIES * load.requests.reduce((sum, list) => sum + list.length, 0);
  }

  close(): void {
    this.#tls?.close();
  }

  /** Connects more clients, as long as not all are. */
  connectMore(): void {
    while (this.#pending < CONNECTING && this.#next < this.#load.clients) this.#open(this.#next++);
  }

  /** Counts from here. */
  begin(): void {
    this.answers = 0;
    this.latencies.reset();
  }

  onConnect(slot: number, errno: number): void {
    this.#pending -= 1;
    if (errno !== 0) throw new Error(`the proxy takes no connection: errno ${errno}`);
    this.connected += 1;
    if (!this.#load.connect) this.#begun[slot] = performance.now();
    this.#request(slot);
  }
  onData(slot: number, buffer: number): void {
    const { bytes, size } = this.#pool;
    let at = buffer * size + (this.#pool.start[buffer] as number);
    const end = at + (this.#pool.length[buffer] as number);
    let left = this.#left[slot] as number;
    if (left < 0) {
      const over = this.#begin(slot, bytes, at, end);
      if (over < 0) {
        this.#pool.release(buffer, Owner.handler);
        return;
      }
      at = end - over;
      left = this.#load.bodyBytes;
    }
    const count = end - at;
    if (count > left) throw new Error(`${count - left} bytes came behind the end of a body`);
    if (count > 0 && (bytes[at] !== X || bytes[end - 1] !== X)) {
      throw new Error('a body is not what the member sent');
    }
    left -= count;
    this.#pool.release(buffer, Owner.handler);
    if (left === 0) this.#complete(slot);
    else this.#left[slot] = left;
  }
  onEnd(slot: number, errno: number): void {
    const whole = this.#load.connect && this.#left[slot] === -2;
    // Some end the connection without ending TLS.
    const inOrder = errno === 0 || (this.#tls !== null && errno === ECONNABORTED);
    if (!inOrder || !whole) {
      const when = whole ? 'after an answer' : 'within an answer or before it';
      throw new Error(`the proxy ended a connection ${when}: errno ${errno}`);
    }
    const client = this.#client[slot] as number;
    this.#connections.close(slot);
    this.#open(client);
  }
  onSent(): void {
    // Requests are short.
  }
  onSendError(_slot: number, errno: number): void {
    throw new Error(`a request could not be sent: errno ${errno}`);
  }
  onFinished(): void {
    throw new Error('a client finishes nothing');
  }
  onClosed(slot: number): void {
    this.#partial.delete(slot);
  }
  quiet(_slot: number): boolean {
    return false;
  }
  bulk(_slot: number): number {
    return 0;
  }
  room(_slot: number): number {
    return 1 << 20;
  }
  onAccept(): void {
    throw new Error('a client accepts nobody');
  }
  onAcceptError(): void {
    throw new Error('a client accepts nobody');
  }
  onWake(): void {
    // Nobody wakes it.
  }
  onTimer(): void {
    // It has no timers.
  }

  #open(client: number): void {
    const slot = this.#connections.connect(this.#load.address, null);
    if (slot < 0) throw new Error(`no connection can be made: errno ${-slot}`);
    this.#tls?.transport.connect(slot, this.#tls.side, nothingFirst);
    this.#pending += 1;
    this.#client[slot] = client;
    this.#begun[slot] = performance.now();
  }

  #request(slot: number): void {
    const client = this.#client[slot] as number;
    const which = client % this.#made.length;
    const lists = this.#made[which] as Int32Array[];
    const cookie = this.#cookie[client] as number;
    const list = lists[cookie] as Int32Array;
    const turn = this.#turn[client] as number;
    this.#turn[client] = turn + 1 === list.length ? 0 : turn + 1;
    let made = list[turn] as number;
    if (made < 0) made = this.#make(list, which, cookie, turn);
    const pool = this.#pool;
    const id = pool.take(this.#owner);
    if (id < 0) throw new Error('the load has no buffer for a request');
    const length = pool.length[made] as number;
    pool.bytes.copyWithin(id * pool.size, made * pool.size, made * pool.size + length);
    pool.length[id] = length;
    this.#left[slot] = -1;
    this.#connections.write(slot, id, this.#owner);
  }

  /** Writes a request once; it is copied from there. */
  #make(list: Int32Array, which: number, cookie: number, turn: number): number {
    const pool = this.#pool;
    const value = [...this.#cookies.keys()][cookie] ?? '';
    const field = cookie === 0 ? '' : `Cookie: ${value}\r\n`;
    const text = Buffer.from(`${this.#load.requests[which]?.[turn] ?? ''}${field}\r\n`);
    const id = pool.take(this.#owner);
    if (id < 0) throw new Error('the load has no buffer for one more kind of request');
    if (text.length > pool.size) throw new Error(`a request of ${text.length} bytes is too long`);
    pool.bytes.set(text, id * pool.size);
    pool.length[id] = text.length;
    list[turn] = id;
    return id;
  }

  /** The head of an answer. Returns how many bytes are behind it, -1 when it is not whole. */
  #begin(slot: number, bytes: Uint8Array, at: number, end: number): number {
    const held = this.#partial.size === 0 ? undefined : this.#partial.get(slot);
    let source = bytes;
    let from = at;
    let to = end;
    if (held !== undefined) {
      source = Buffer.concat([held, bytes.subarray(at, end)]);
      from = 0;
      to = source.length;
    }
    const client = this.#client[slot] as number;
    const wanted = this.#cookie[client] === 0 ? this.#load.cookie : null;
    const head = this.#head;
    if (!readAnswer(head, source, from, to, wanted)) {
      this.#partial.set(slot, Buffer.from(source.subarray(from, to)));
      return -1;
    }
    if (held !== undefined) this.#partial.delete(slot);
    if (head.length !== this.#load.bodyBytes) {
      throw new Error(`a body of ${head.length} bytes where ${this.#load.bodyBytes} were due`);
    }
    if (wanted !== null) this.#keep(client, wanted, head.cookie);
    return to - head.end;
  }

  #keep(client: number, name: string, value: string | null): void {
    if (value === null) throw new Error(`the proxy gave no cookie ${name} to a client without one`);
    let number = this.#cookies.get(value);
    if (number === undefined) {
      number = this.#cookies.size;
      if (number === MOST_COOKIES)
        throw new Error('the proxy gives a different cookie to everyone');
      this.#cookies.set(value, number);
    }
    this.#cookie[client] = number;
  }

  #complete(slot: number): void {
    const now = performance.now();
    this.latencies.record((now - (this.#begun[slot] as number)) * 1000);
    this.answers += 1;
    if (this.#load.connect) {
      this.#left[slot] = -2;
      return;
    }
    this.#begun[slot] = now;
    this.#request(slot);
  }
}
