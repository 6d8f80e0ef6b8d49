/**
 * TLS between the ring and the engines: connections of clients whose hello says which context serves
 * them, and connections to members. What arrives is decrypted where it lies; what is written is
 * encrypted where it lies, once the kernel has taken what was before.
 *
 * Invariants:
 * - The engines hear of a connection only what they would hear of a plain one: bytes, ends, errors.
 * - A connection that fails says so to its peer by an alert, and to the engine by EPROTO, once.
 * - In the engine's shared memory nothing is left when a method returns.
 */
import { errno } from '../../../native/ffi/io-uring-abi.js';
import { trySend } from '../../../native/ffi/libc.js';
import { addressOf } from '../../../native/ffi/memory.js';
import { onSession } from '../../../native/ffi/tls-context.js';
import type { TlsEngine } from '../../../native/ffi/tls-engine.js';
import { outcome } from '../../../native/ffi/tls-engine.js';
import { TlsError, type TlsFailure } from '../../../native/ffi/tls-error.js';
import { type BufferPool, Owner } from '../ring/buffer-pool.js';
import { Chains } from '../ring/chains.js';
import type { Connections } from '../ring/connections.js';
import type { SecureTransport } from '../ring/secure.js';
import { SlotQueue } from '../ring/slot-queue.js';
import { latin1 } from '../http1/fields.js';
import { noLines } from '../http1/peer.js';
import { State } from '../ring/slots.js';
import { ClientHello, helloProgress } from '../routing/client-hello.js';
import { alert, alertRecord } from '../stream/alerts.js';
import type { ClientSessions, ClientSide, ServerSide, TlsEnds, TlsObserver } from './sides.js';
import { EarlyData } from './early.js';
import { RecordEdges } from './records.js';

/** `early`: data came before the handshake is over, and answers may go out. */
const Phase = { none: 0, hello: 1, handshake: 2, early: 3, open: 4, over: 5 } as const;

/** Plain bytes that are encrypted at a time: their records lie in the core's cache until they go out. */
const SEAL_MOST = 65_536;
/** A record's plain bytes, RFC 8446 §5.1. */
const RECORD = 16_384;
/**
 * Bytes of OpenSSL's own that may wait for the wire: answers to changes of keys (RFC 8446 §4.6.3) and
 * refusals of renegotiation. Who asks for more and takes none would get all memory for them.
 */
const ANSWERS_MOST = 65_536;
/**
 * Buffers that a hello may come in, and while they are scarce. One is as long as a whole hello; more
 * take those in tiny records, which nobody sends who wants to be served.
 */
const HELLO_BUFFERS = 2;
const HELLO_SCARCE = 1;
/** Readers of hellos that are kept for the next ones; each may have grown to 16 KiB. */
const SPARE_HELLOS = 64;

export class TlsTransport implements SecureTransport, TlsEnds {
  readonly #connections: Connections;
  readonly #pool: BufferPool;
  readonly #engine: TlsEngine;
  readonly #base: number;
  readonly #phase: Uint8Array;
  /** 1: a connection to a member. */
  readonly #client: Uint8Array;
  readonly #ssl: Float64Array;
  readonly #edges: RecordEdges;
  readonly #early: EarlyData;
  /** Plain bytes in what is on its way. */
  readonly #sealed: Int32Array;
  /** The end of TLS was written. */
  readonly #ending: Uint8Array;
  /** 1: it ends with its handshake. */
  readonly #handshakeOnly: Uint8Array;
  readonly #servers: (ServerSide | undefined)[] = [];
  /** Names that clients ask for, until their handshake is over. */
  readonly #names: (string | undefined)[] = [];
  /** What members are to hear before the hello, until they are connected. */
  readonly #first: (Uint8Array | undefined)[] = [];
  readonly #clients: (ClientSide | undefined)[] = [];
  readonly #hellos: (ClientHello | undefined)[] = [];
  readonly #spareHellos: ClientHello[] = [];
  /** What of a hello is here before it is whole. */
  readonly #held: Chains;
  /** Those that could not be encrypted for want of a buffer. */
  readonly #unsealed: SlotQueue;
  readonly #overflow: number;
  readonly #observer: Partial<TlsObserver> | null;
  readonly #sessionOwners = new Map<number, ClientSessions>();

  constructor(
    connections: Connections,
    engine: TlsEngine,
    observer: Partial<TlsObserver> | null = null,
  ) {
    const slots = connections.slots.count;
    const { pool } = connections;
    this.#connections = connections;
    this.#pool = pool;
    this.#observer = observer;
    this.#engine = engine;
    this.#base = Number(addressOf(pool.bytes));
    this.#phase = new Uint8Array(slots);
    this.#client = new Uint8Array(slots);
    this.#ssl = new Float64Array(slots);
    this.#edges = new RecordEdges(slots);
    this.#early = new EarlyData(engine, pool, this.#base, slots);
    this.#sealed = new Int32Array(slots);
    this.#ending = new Uint8Array(slots);
    this.#handshakeOnly = new Uint8Array(slots);
    this.#held = new Chains(pool, slots, pool.owner('tls hello'));
    this.#unsealed = new SlotQueue(slots);
    this.#overflow = pool.owner('tls record');
    connections.transport = this;
    onSession((ssl, session) => this.#sessionOwners.get(ssl)?.keep(session) ?? false);
  }

  accept(slot: number, side: ServerSide): void {
    this.#begin(slot, Phase.hello, 0);
    this.#servers[slot] = side;
  }

  connect(slot: number, side: ClientSide, first: Uint8Array): void {
    this.#begin(slot, Phase.handshake, 1);
    this.#clients[slot] = side;
    if (first.length > 0) this.#first[slot] = first.slice();
  }

  #begin(slot: number, phase: number, client: number): void {
    this.#phase[slot] = phase;
    this.#client[slot] = client;
    this.#sealed[slot] = 0;
    this.#ending[slot] = 0;
    this.#handshakeOnly[slot] = 0;
    this.#edges.begin(slot);
    this.#early.begin(slot, false);
    this.#connections.secure(slot);
  }

  connected(slot: number): void {
    const side = this.#clients[slot];
    if (side === undefined) throw new Error(`slot ${slot} is connected and nobody's`);
    try {
      const ssl = this.#engine.connection(side.context, 'client');
      this.#ssl[slot] = ssl;
      const { sessions } = side;
      this.#sessionOwners.set(ssl, sessions);
      this.#engine.expect(ssl, side.name, side.address);
      sessions.resume(ssl);
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      this.#fail(slot, 'other', error.message);
      return;
    }
    if (!this.#sayFirst(slot)) return;
    this.#engine.feed(0, 0, 0);
    this.#shake(slot);
  }

  /** What goes out before the hello. Whether there was memory for it. */
  #sayFirst(slot: number): boolean {
    const first = this.#first[slot];
    if (first === undefined) return true;
    this.#first[slot] = undefined;
    const pool = this.#pool;
    const buffer = pool.take(this.#overflow);
    if (buffer < 0) {
      this.#fail(slot, 'other', 'no memory');
      return false;
    }
    pool.bytes.set(first, buffer * pool.size);
    pool.length[buffer] = first.length;
    this.#connections.wire.append(slot, buffer, this.#overflow);
    return true;
  }

  received(slot: number, buffer: number): void {
    switch (this.#phase[slot]) {
      case Phase.hello:
        this.#hello(slot, buffer);
        return;
      case Phase.handshake:
      case Phase.early:
        this.#handshake(slot, buffer);
        return;
      case Phase.open:
        this.#open(slot, buffer);
        return;
      default:
        this.#pool.release(buffer, Owner.handler);
    }
  }

  ended(slot: number, code: number): void {
    const phase = this.#phase[slot];
    if (phase === Phase.over) return;
    if (phase === Phase.open) {
      this.#phase[slot] = Phase.over;
      // An end that TLS does not know of may be anybody's.
      this.#connections.over(slot, code === 0 ? errno.ECONNABORTED : code);
      return;
    }
    const why = code === 0 ? 'the peer ended in the handshake' : 'the connection broke';
    this.#fail(slot, 'gone', why);
  }

  seal(slot: number, last: boolean): boolean {
    const { output, wire } = this.#connections;
    const waiting = output.bytes[slot] as number;
    if (this.#phase[slot] === Phase.hello || this.#phase[slot] === Phase.handshake) {
      return waiting === 0;
    }
    const ssl = this.#ssl[slot] as number;
    if (waiting > 0) {
      if (ssl === 0 || this.#ending[slot] === 1) {
        output.clear(slot);
      } else if ((wire.bytes[slot] as number) >= RECORD || !this.#encrypt(slot, ssl)) return false;
      if ((output.bytes[slot] as number) > 0) return false;
    }
    // The end of TLS, too, has to wait for that of the handshake.
    if (last && this.#phase[slot] === Phase.early) return false;
    if (last && this.#ending[slot] === 0 && ssl !== 0) {
      if (this.#pool.free === 0) {
        this.#unsealed.add(slot);
        return false;
      }
      this.#ending[slot] = 1;
      this.#engine.shutdown(ssl);
      this.#flush(slot);
    }
    return true;
  }

  sent(slot: number, bytes: number): number {
    const plain = this.#sealed[slot] as number;
    const gone = this.#connections.wire.bytes[slot] === 0 || bytes > plain ? plain : bytes;
    this.#sealed[slot] = plain - gone;
    return gone;
  }

  sealed(slot: number): number {
    return this.#sealed[slot] as number;
  }

  settle(): void {
    if (this.#unsealed.empty) return;
    for (let left = this.#pool.free; left > 0 && !this.#unsealed.empty; left -= 1) {
      this.#connections.touch(this.#unsealed.shift());
    }
  }

  closed(slot: number): void {
    const ssl = this.#ssl[slot] as number;
    const phase = this.#phase[slot];
    // The engine did not wait any longer.
    const shaking = phase === Phase.handshake || phase === Phase.early;
    if (phase === Phase.hello || (shaking && ssl !== 0)) {
      this.#tellFailed(slot, 'gone', 'it was closed in the handshake');
    }
    if (ssl !== 0) {
      this.#sessionOwners.delete(ssl);
      this.#engine.free(ssl);
    }
    this.#ssl[slot] = 0;
    this.#phase[slot] = Phase.none;
    this.#held.clear(slot);
    this.#unsealed.remove(slot);
    this.#giveHello(slot);
    this.#names[slot] = undefined;
    this.#first[slot] = undefined;
    this.#servers[slot] = undefined;
    this.#clients[slot] = undefined;
  }

  /** What members are told of the certificate of a client that has sent a request; null: it does not fit. */
  certificateLines(slot: number): Uint8Array | null {
    const ssl = this.#ssl[slot] as number;
    const side = this.#servers[slot];
    return ssl === 0 || side === undefined ? noLines : side.certificateLines(ssl);
  }

  serverName(slot: number): string {
    return this.#names[slot] ?? '';
  }

  /** Connections that OpenSSL has memory for. */
  get open(): number {
    return this.#ssl.reduce((sum, ssl) => sum + (ssl === 0 ? 0 : 1), 0);
  }

  /** After the loop was closed. */
  close(): void {
    this.#engine.close();
  }

  /** Collects the client's hello, and finds who serves it. */
  #hello(slot: number, buffer: number): void {
    const pool = this.#pool;
    let hello = this.#hellos[slot];
    if (hello === undefined) {
      hello = this.#spareHellos.pop() ?? new ClientHello();
      hello.reset();
      this.#hellos[slot] = hello;
    }
    const from = buffer * pool.size + (pool.start[buffer] as number);
    const step = hello.feed(pool.bytes, from, from + (pool.length[buffer] as number));
    if (step === helloProgress.more) {
      this.#held.append(slot, buffer, Owner.handler);
      if (this.#held.held(slot) > (pool.scarce ? HELLO_SCARCE : HELLO_BUFFERS))
        this.#refuse(slot, alert.decodeError, 'other', 'hello too large');
      return;
    }
    if (step === helloProgress.refused) {
      pool.release(buffer, Owner.handler);
      const { fault } = hello;
      this.#refuse(slot, fault?.alert ?? alert.decodeError, 'other', fault?.code ?? 'bad hello');
      return;
    }
    const chosen = this.#servers[slot]?.choose(hello);
    const name = latin1(hello.bytes, hello.nameStart, hello.nameEnd);
    if (chosen === undefined || typeof chosen === 'number') {
      pool.release(buffer, Owner.handler);
      const kind = chosen === alert.unrecognizedName ? 'name' : 'other';
      this.#refuse(slot, chosen ?? alert.internalError, kind, 'no certificate for this name');
      return;
    }
    this.#giveHello(slot);
    try {
      this.#ssl[slot] = this.#engine.connection(chosen, 'server');
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      pool.release(buffer, Owner.handler);
      this.#refuse(slot, alert.internalError, 'other', error.message);
      return;
    }
    this.#phase[slot] = Phase.handshake;
    this.#names[slot] = name;
    this.#early.begin(slot, chosen.earlyData);
    this.#handshakeOnly[slot] = chosen.handshakeOnly ? 1 : 0;
    while ((this.#held.head[slot] as number) >= 0 && this.#shaking(slot)) {
      this.#handshake(slot, this.#held.shift(slot, Owner.handler));
    }
    // What came with the end of the hello goes the same way.
    this.received(slot, buffer);
  }

  #handshake(slot: number, buffer: number): void {
    const pool = this.#pool;
    const start = pool.start[buffer] as number;
    const length = pool.length[buffer] as number;
    const low = ((pool.low[buffer] as number) + start) | 0;
    this.#engine.feed(low, pool.high[buffer] as number, length);
    // Before anything else uses the engine.
    const open = this.#shake(slot);
    if (open > 0) {
      pool.start[buffer] = start + length - open;
      pool.length[buffer] = open;
      this.#open(slot, buffer);
    } else pool.release(buffer, Owner.handler);
  }

  /** Goes on with the handshake. Returns how many bytes are left when it is over. */
  #shake(slot: number): number {
    const ssl = this.#ssl[slot] as number;
    const engine = this.#engine;
    if (this.#early.reads(slot) && !this.#readEarly(slot, ssl)) return 0;
    const step = engine.handshake(ssl);
    if (step === outcome.failed || step === outcome.ended) {
      this.#early.drop();
      if (step === outcome.failed) this.#fail(slot, engine.failure, engine.reason);
      else this.#fail(slot, 'gone', 'the peer ended in the handshake');
      return 0;
    }
    const left = engine.left;
    this.#flush(slot);
    if (step === outcome.more) {
      this.#giveEarly(slot);
      return 0;
    }
    const early = this.#phase[slot] === Phase.early || this.#early.buffers.length > 0;
    this.#phase[slot] = Phase.open;
    this.#tellMade(slot, ssl, early);
    if (this.#handshakeOnly[slot] === 1) {
      engine.shutdown(ssl);
      this.#fail(slot, 'other', 'it was for the handshake alone');
      return 0;
    }
    this.#connections.touch(slot);
    if (this.#client[slot] === 1) this.#connections.made(slot, 0);
    else {
      this.#connections.secured(slot);
      this.#names[slot] = undefined;
      this.#giveEarly(slot);
    }
    return this.#phase[slot] === Phase.open ? left : 0;
  }

  /** Whether no more early data comes, so that the handshake goes on without it. */
  #readEarly(slot: number, ssl: number): boolean {
    const engine = this.#engine;
    const step = this.#early.read(slot, ssl);
    if (step === outcome.finished) return true;
    if (step === outcome.more) {
      this.#flush(slot);
      this.#giveEarly(slot);
    } else {
      this.#early.drop();
      if (step === null) this.#fail(slot, 'other', 'no memory');
      else if (step === outcome.failed) this.#fail(slot, engine.failure, engine.reason);
      else this.#fail(slot, 'gone', 'the peer ended in the handshake');
    }
    return false;
  }

  /** The engine gets the early data that was read; what uses OpenSSL comes before. */
  #giveEarly(slot: number): void {
    const { buffers } = this.#early;
    if (buffers.length === 0) return;
    if (this.#phase[slot] === Phase.over) {
      this.#early.drop();
      return;
    }
    if (this.#phase[slot] === Phase.handshake) this.#phase[slot] = Phase.early;
    // What that leads to may read others'.
    for (const buffer of buffers.splice(0)) this.#connections.arrived(slot, buffer);
  }

  #shaking(slot: number): boolean {
    const phase = this.#phase[slot];
    return phase === Phase.handshake || phase === Phase.early;
  }

  /** Decrypts a buffer where it lies, and gives the engines what comes out. */
  #open(slot: number, buffer: number): void {
    const pool = this.#pool;
    const edges = this.#edges;
    const { bytes, size } = pool;
    let start = pool.start[buffer] as number;
    let length = pool.length[buffer] as number;
    const origin = buffer * size;
    if (!edges.atEdge(slot)) {
      // The rest of a record may give more than it takes, so it comes out in a buffer of its own.
      const first = edges.firstPart(slot, bytes, origin + start, origin + start + length);
      edges.pass(slot, bytes, origin + start, origin + start + first);
      let other = -1;
      if (edges.atEdge(slot)) {
        other = pool.takeReceiving();
        if (other < 0) other = pool.take(Owner.handler);
        if (other < 0) {
          pool.release(buffer, Owner.handler);
          this.#fail(slot, 'other', 'no memory');
          return;
        }
      }
      // What is not whole yet gives nothing, so it may lie anywhere.
      const target = other < 0 ? buffer : other;
      this.#feed(buffer, start, first);
      const count = this.#decrypt(slot, this.#base + target * size, size);
      start += first;
      length -= first;
      if (count <= 0 && other >= 0) pool.release(other, Owner.handler);
      if (count < 0) {
        pool.release(buffer, Owner.handler);
        this.#over(slot, count);
        return;
      }
      if (count > 0) {
        pool.length[other] = count;
        this.#connections.arrived(slot, other);
      }
      if (length === 0 || this.#phase[slot] !== Phase.open || !this.#connections.takes(slot)) {
        pool.release(buffer, Owner.handler);
        return;
      }
    }
    edges.pass(slot, bytes, origin + start, origin + start + length);
    this.#feed(buffer, start, length);
    const room = pool.capacity(buffer) - start;
    const from = this.#base + origin + start;
    let got = 0;
    let step = 1;
    while (this.#engine.left > 0 && step > 0) {
      step = this.#decrypt(slot, from + got, room - got);
      if (step > 0) got += step;
    }
    pool.start[buffer] = start;
    pool.length[buffer] = got;
    if (got > 0) this.#connections.arrived(slot, buffer);
    else pool.release(buffer, Owner.handler);
    if (step < 0 && this.#connections.takes(slot)) this.#over(slot, step);
  }

  #feed(buffer: number, start: number, length: number): void {
    const { low, high } = this.#pool;
    this.#engine.feed(((low[buffer] as number) + start) | 0, high[buffer] as number, length);
  }

  /** What comes out of what was fed: a number of bytes, 0 for none, or how it is over. */
  #decrypt(slot: number, address: number, length: number): number {
    const engine = this.#engine;
    const count = engine.read(this.#ssl[slot] as number, address, length);
    // An answer to a change of keys, or an alert. It touches nothing of what is fed.
    if (!engine.hasOutput) return count;
    this.#flush(slot);
    const unsent = this.#connections.wire.bytes[slot] as number;
    if (unsent - (this.#sealed[slot] as number) <= ANSWERS_MOST) return count;
    this.#fail(slot, 'other', 'the peer asks for answers and takes none');
    return outcome.failed;
  }

  /** TLS has ended, in order or not. */
  #over(slot: number, step: number): void {
    if (step === outcome.ended) {
      this.#phase[slot] = Phase.over;
      this.#connections.over(slot, 0);
    } else this.#fail(slot, this.#engine.failure, this.#engine.reason);
  }

  /** Encrypts what waits, in place, up to a limit. Whether there was memory for it. */
  #encrypt(slot: number, ssl: number): boolean {
    const { output, wire } = this.#connections;
    const pool = this.#pool;
    const engine = this.#engine;
    const early = this.#phase[slot] === Phase.early;
    let budget = SEAL_MOST;
    while (budget > 0 && (output.bytes[slot] as number) > 0) {
      // One for what does not fit into where it was.
      if (pool.free === 0) {
        this.#unsealed.add(slot);
        return false;
      }
      const length = pool.length[output.head[slot] as number] as number;
      const buffer = output.shift(slot, this.#overflow);
      const base = this.#base + buffer * pool.size;
      const start = pool.start[buffer] as number;
      let done = 0;
      let taken = 0;
      while (done < length) {
        const step = length - done < RECORD ? length - done : RECORD;
        const from = base + start + done;
        const wrote = early ? engine.writeEarly(ssl, from, step) : engine.write(ssl, from, step);
        if (wrote !== step) {
          pool.release(buffer, this.#overflow);
          engine.discard();
          this.#fail(slot, engine.failure, engine.reason);
          return true;
        }
        done += step;
        // Behind what was read there may be more to read, until all was.
        const room = done < length ? start + done - taken : pool.capacity(buffer) - taken;
        taken += engine.take(base + taken, room);
      }
      pool.start[buffer] = 0;
      pool.length[buffer] = taken;
      wire.append(slot, buffer, this.#overflow);
      this.#sealed[slot] = (this.#sealed[slot] as number) + length;
      budget -= length;
      if (engine.hasOutput) this.#flush(slot);
    }
    return true;
  }

  /** Moves what OpenSSL wrote to the wire. */
  #flush(slot: number): void {
    const engine = this.#engine;
    const pool = this.#pool;
    while (engine.hasOutput) {
      const buffer = pool.take(this.#overflow);
      if (buffer < 0) {
        engine.discard();
        this.#fail(slot, 'other', 'no memory');
        return;
      }
      const count = engine.take(this.#base + buffer * pool.size, pool.size);
      pool.length[buffer] = count;
      this.#connections.wire.append(slot, buffer, this.#overflow);
    }
    this.#connections.touch(slot);
  }

  /** Before there are keys, an alert goes out in the clear. */
  #refuse(slot: number, description: number, failure: TlsFailure, why: string): void {
    this.#say(slot, alertRecord(description));
    this.#fail(slot, failure, why);
  }

  /** It is broken: what OpenSSL says of it goes out as far as that is possible at once. */
  #fail(slot: number, failure: TlsFailure, why: string): void {
    const engine = this.#engine;
    if (this.#phase[slot] === Phase.over) {
      engine.discard();
      return;
    }
    const made = this.#phase[slot] === Phase.open;
    const member = this.#client[slot] === 1;
    if (!made) this.#tellFailed(slot, failure, why);
    this.#phase[slot] = Phase.over;
    this.#giveHello(slot);
    this.#held.clear(slot);
    if (engine.hasOutput) {
      const count = engine.take(scratchAddress, scratch.length);
      this.#say(slot, scratch.subarray(0, count));
      engine.discard();
    }
    if (member && !made) this.#connections.made(slot, errno.EPROTO);
    else this.#connections.over(slot, errno.EPROTO);
  }

  #tellMade(slot: number, ssl: number, early: boolean): void {
    const observer = this.#observer;
    if (observer === null) return;
    const resumed = this.#engine.resumed(ssl);
    const version = this.#engine.version(ssl);
    const client = this.#clients[slot];
    const server = this.#servers[slot];
    if (client !== undefined) observer.made?.(client, resumed, version);
    else if (server !== undefined) observer.accepted?.(server, resumed, version, early);
  }

  #tellFailed(slot: number, failure: TlsFailure, why: string): void {
    const observer = this.#observer;
    const client = this.#clients[slot];
    const server = this.#servers[slot];
    if (client !== undefined) {
      const ssl = this.#ssl[slot] as number;
      const problem = failure === 'certificate' ? this.#engine.certificateProblem(ssl) : null;
      observer?.notMade?.(client, failure, problem ?? why);
    } else if (server !== undefined && this.#begun(slot)) {
      observer?.refused?.(server, failure, why);
    }
  }

  /** Whether the client has said anything. */
  #begun(slot: number): boolean {
    return this.#shaking(slot) || this.#hellos[slot] !== undefined;
  }

  /**
   * In the gap before the connection is closed, behind what waits for the wire; where something is on
   * its way, or does not go out at once, there is none.
   */
  #say(slot: number, bytes: Uint8Array): void {
    const { wire, slots } = this.#connections;
    const pool = this.#pool;
    if (((slots.state[slot] as number) & State.sending) !== 0) return;
    const fd = slots.fd[slot] as number;
    let whole = true;
    for (let id = wire.head[slot] as number; id >= 0 && whole; id = pool.next[id] as number) {
      const start = id * pool.size + (pool.start[id] as number);
      const length = pool.length[id] as number;
      whole = trySend(fd, pool.bytes.subarray(start, start + length)) === length;
    }
    if (whole) trySend(fd, bytes);
    wire.clear(slot);
    this.#sealed[slot] = 0;
  }

  #giveHello(slot: number): void {
    const hello = this.#hellos[slot];
    if (hello === undefined) return;
    this.#hellos[slot] = undefined;
    if (this.#spareHellos.length < SPARE_HELLOS) this.#spareHellos.push(hello);
  }
}

/** An alert, and what the handshake had still to say before it. */
const scratch = Buffer.alloc(16_384);
const scratchAddress = Number(addressOf(scratch));
