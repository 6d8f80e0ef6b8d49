/**
 * Connections on a ring: what each one's state asks for is decided in one place (`#settle`), once a
 * turn for every slot that something happened to. All else only changes the state and touches it.
 *
 * Invariants:
 * - A slot has at most one receive and one send under way. Output leaves in the order of writing.
 * - Of a send that nobody waits for (`quiet`) the kernel is asked to say nothing. It was handed over
 *   with what was taken at once or not at all, so when the call is over, so is the send.
 * - Buffers that the kernel is sending are released after the send, however the connection ends.
 * - The descriptor is closed when no operation of it is under way, and the slot is free after that:
 *   no completion of a former life reaches the next one. The generation is checked all the same.
 * - Receiving stays within what the handler's `room` says (`ReceiveMode`). Of a connection that has
 *   more to read than was received, and room for it, the rest comes in a large buffer, taken for no
 *   longer than one call of the kernel; a few of them in a turn, in order.
 * - Between the wire and the handler of a connection that is `secure` stands the transport: what the
 *   handler writes waits in `output` until it is sealed into `wire`, which is what the kernel sends.
 */
import {
  errno,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IORING_CQE_F_SOCK_NONEMPTY,
} from '../../../native/ffi/io-uring-abi.js';
import { SystemError, tryClose } from '../../../native/ffi/libc.js';
import { clientTcp, endSending, resetOnClose } from '../../../native/ffi/tcp-socket.js';
import type { Acceptor } from './acceptor.js';
import type { ArgumentBlocks } from './arguments.js';
import { type BufferPool, LARGE, Owner } from './buffer-pool.js';
import type { Chains } from './chains.js';
import type { ConnectionHandler } from './handler.js';
import { Output } from './output.js';
import { QuietSends } from './quiet-sends.js';
import { type Completions, Kind, type Ring, Sending, tagOf } from './ring.js';
import type { SecureTransport } from './secure.js';
import { SlotQueue } from './slot-queue.js';
import { Slots, State, UNDER_WAY } from './slots.js';

/**
 * How receives are asked for.
 * - `capped` (kernel 6.17): one operation for many messages, which ends after the bytes of
 *   `FILLED` buffers or half the room. What arrives at once cannot exceed the room.
 * - `single`: one operation a buffer. Never exceeds the room, costs a little more for each message.
 * - `multishot`: one operation until it is stopped. A burst may exceed the room by all that the
 *   socket's receive buffer holds before the stop takes effect.
 */
export type ReceiveMode = 'capped' | 'single' | 'multishot';

/** Room from which on one operation receives many times, and the most buffers that it fills. */
const MANY = 4;
const FILLED = 4;
/** Least of a body that is received in one piece, in buffers. */
const BULK = 4;
/**
 * Buffers that a turn receives in large ones. What is copied there the next turn's sends read, and
 * the turn after that writes again, so all that is under way has to fit into a core's own cache.
 */
const BULK_TURN = 24;

export class Connections implements Completions {
  readonly slots: Slots;
  readonly pool: BufferPool;
  /** What waits to be sent, by slot. Read it; it is written by write() and its like. */
  readonly output: Output;
  /** The same encrypted, of those that are not plain, as it goes out. */
  readonly wire: Output;
  /** What makes it so; before the first connection that needs it. */
  transport: SecureTransport | null = null;
  /** Set before the first turn. */
  handler: ConnectionHandler | null = null;

  readonly #ring: Ring;
  readonly #acceptor: Acceptor;
  readonly #blocks: ArgumentBlocks;
  readonly #mode: ReceiveMode;
  readonly #touched: Int32Array;
  #touchedCount = 0;
  /** Slots that want to receive while the kernel has no buffer. */
  readonly #starved: SlotQueue;
  /** Slots of which much is to be received, and the large buffers that it goes to, or -1. */
  readonly #plentiful: SlotQueue;
  readonly #large: Int32Array;
  readonly #quiet: QuietSends;

  constructor(
    ring: Ring,
    pool: BufferPool,
    acceptor: Acceptor,
    blocks: ArgumentBlocks,
    slots: number,
    mode: ReceiveMode,
  ) {
    this.slots = new Slots(slots);
    this.pool = pool;
    this.output = new Output(pool, ring, blocks, slots);
    this.wire = new Output(pool, ring, blocks, slots);
    this.#ring = ring;
    this.#acceptor = acceptor;
    this.#blocks = blocks;
    this.#mode = mode;
    // A slot may come again while the list is gone through.
    this.#touched = new Int32Array(4 * slots);
    this.#starved = new SlotQueue(slots);
    this.#plentiful = new SlotQueue(slots);
    this.#large = new Int32Array(slots).fill(-1);
    this.#quiet = new QuietSends(ring, slots);
  }

  /** Connections that are not yet closed. */
  get open(): number {
    return this.slots.count - this.slots.free;
  }

  /** Bytes that were written and have not gone out. */
  unsent(slot: number): number {
    const waiting = this.output.bytes[slot] as number;
    return this.#has(slot, State.secure) ? waiting + this.#transport.sealed(slot) : waiting;
  }

  /** What they hold of a window, in buffers. */
  heldOut(slot: number): number {
    const held = this.output.held(slot);
    return this.#has(slot, State.secure) ? held + this.wire.held(slot) : held;
  }

  /** From now on, what goes over the wire is the transport's. */
  secure(slot: number): void {
    this.#set(slot, State.secure);
  }

  /** Plain bytes of a secure connection. */
  arrived(slot: number, buffer: number): void {
    if (this.takes(slot)) this.#handler.onData(slot, buffer);
    else this.pool.release(buffer, Owner.handler);
  }

  /** The handshake of a client's secure connection is over: what arrives from now on is its own. */
  secured(slot: number): void {
    if (this.takes(slot)) this.#handler.onSecured?.(slot);
  }

  /** Whether the handler still hears of what arrives. */
  takes(slot: number): boolean {
    return !this.#has(slot, State.closing);
  }

  /** A secure connection to a member is made (0), or failed with an errno. */
  made(slot: number, code: number): void {
    if (code !== 0) {
      this.#set(slot, State.ended | State.sendFailed);
      this.output.clear(slot);
    }
    if (this.takes(slot)) this.#handler.onConnect(slot, code);
  }

  /** Of a secure connection nothing more arrives: its end (0), or an errno. */
  over(slot: number, code: number): void {
    this.#set(slot, State.ended);
    this.touch(slot);
    if (this.takes(slot)) this.#handler.onEnd(slot, code);
  }

  /**
   * Begins to connect to `address` from `source`, sockaddrs as bytes; onConnect tells how it ended.
   * What is written before goes out then. Returns the slot or a negative errno; ENOBUFS: no slot.
   */
  connect(address: Uint8Array, source: Uint8Array | null): number {
    if (this.slots.free === 0) return -errno.ENOBUFS;
    let fd: number;
    try {
      fd = clientTcp(address, source);
    } catch (error) {
      if (error instanceof SystemError) return -error.errno;
      throw error;
    }
    const slot = this.slots.take(fd, State.connecting);
    this.#acceptor.slotsChanged(this.slots.free);
    this.#blocks.setAddress(slot, address);
    const low = this.#blocks.low[slot] as number;
    const high = this.#blocks.high[slot] as number;
    const generation = this.slots.generation[slot] as number;
    this.#ring.connect(fd, low, high, address.length, tagOf(Kind.connect, slot), generation);
    return slot;
  }

  /** Sends the slice of a buffer of `from`, after all that was written before. */
  write(slot: number, buffer: number, from: number): void {
    if (this.#takesOutput(slot)) this.output.append(slot, buffer, from);
    else this.pool.release(buffer, from);
  }

  /** Sends a whole chain. */
  writeChain(slot: number, chains: Chains, chain: number): void {
    if (this.#takesOutput(slot)) chains.moveTo(chain, this.output, slot);
    else chains.clear(chain);
  }

  /** Sends a copy. Returns how many bytes found room in working buffers. */
  writeBytes(slot: number, source: Uint8Array, start: number, length: number): number {
    return this.#takesOutput(slot) ? this.output.copyIn(slot, source, start, length) : length;
  }

  /**
   * Ends the sending side after everything is sent; onFinished tells when. If sending failed,
   * onSendError told so, and nothing more comes.
   */
  finish(slot: number): void {
    this.#set(slot, State.finishing);
    this.touch(slot);
  }

  /** Whether everything was sent, and the end after it. */
  finished(slot: number): boolean {
    return this.#has(slot, State.finished);
  }

  /** Closes a connection as soon as everything is sent; onClosed tells when. Nothing more is written. */
  closeWhenSent(slot: number): void {
    this.#set(slot, State.leaving);
    this.touch(slot);
  }

  /** Closes a connection and drops what was not sent; onClosed tells when. */
  close(slot: number): void {
    const state = this.slots.state[slot] as number;
    if ((state & State.open) === 0 || (state & State.closing) !== 0) return;
    this.#set(slot, State.closing);
    this.#starved.remove(slot);
    this.#plentiful.remove(slot);
    this.touch(slot);
  }

  /** Closes a connection with a reset, so that the peer knows that it was cut. */
  reset(slot: number): void {
    const state = this.slots.state[slot] as number;
    if ((state & State.open) === 0 || (state & State.closing) !== 0) return;
    resetOnClose(this.slots.fd[slot] as number);
    this.close(slot);
  }

  closeAll(): void {
    for (let slot = 0; slot < this.slots.count; slot += 1) this.close(slot);
  }

  /** Something that `room` of this slot depends on has changed. */
  touch(slot: number): void {
    const state = this.slots.state[slot] as number;
    if (state === 0 || (state & (State.touched | State.closingDescriptor)) !== 0) return;
    this.slots.state[slot] = state | State.touched;
    this.#touched[this.#touchedCount++] = slot;
  }

  /** Before the loop enters the kernel: asks for what the touched slots need. */
  settle(): void {
    this.#quiet.settle();
    this.#feedStarved();
    this.transport?.settle();
    this.#acceptor.settle(this.slots.free);
    for (let index = 0; index < this.#touchedCount; index += 1) {
      const slot = this.#touched[index] as number;
      this.#clear(slot, State.touched);
      this.#settle(slot);
    }
    this.#touchedCount = 0;
    this.#receiveLarge();
    this.pool.refill();
  }

  /** Whether something was sent, and its handler has not heard of it. */
  get silent(): boolean {
    return !this.#quiet.empty;
  }

  /** After the loop was in the kernel: what was sent and is not told of. Before the completions. */
  sentQuietly(): void {
    const quiet = this.#quiet;
    const count = quiet.end();
    for (let index = 0; index < count; index += 1) {
      const slot = quiet.slots[index] as number;
      if (quiet.told(slot) || !this.#has(slot, State.quiet)) continue;
      this.#clear(slot, State.quiet);
      this.#sent(slot, quiet.bytes[index] as number);
    }
  }

  completed(kind: number, slot: number, generation: number, result: number, flags: number): void {
    if (kind === Kind.accept) {
      this.#accepted(slot, generation, result, flags);
      return;
    }
    if (kind === Kind.none) return;
    if (!this.slots.is(slot, generation)) {
      this.#discard(flags);
      return;
    }
    switch (kind) {
      case Kind.receive:
        this.#received(slot, result, flags);
        return;
      case Kind.send:
        this.#sent(slot, result);
        return;
      case Kind.connect:
        this.#connected(slot, result);
        return;
      case Kind.close:
        this.#closed(slot, result);
        return;
      default:
        throw new Error(`a completion of kind ${kind}, which nobody asked for`);
    }
  }

  get #transport(): SecureTransport {
    if (this.transport === null) throw new Error('a connection is secure before there is TLS');
    return this.transport;
  }

  get #handler(): ConnectionHandler {
    if (this.handler === null) throw new Error('the loop turned before it had a handler');
    return this.handler;
  }

  #set(slot: number, bits: number): void {
    this.slots.state[slot] = (this.slots.state[slot] as number) | bits;
  }

  #clear(slot: number, bits: number): void {
    this.slots.state[slot] = (this.slots.state[slot] as number) & ~bits;
  }

  #has(slot: number, bits: number): boolean {
    return ((this.slots.state[slot] as number) & bits) !== 0;
  }

  #takesOutput(slot: number): boolean {
    const state = this.slots.state[slot] as number;
    const over = State.finishing | State.closing | State.sendFailed;
    if ((state & (State.open | over)) === State.open) {
      this.touch(slot);
      return true;
    }
    // What is for a connection that is broken or goes away is dropped; the others are mistakes.
    if ((state & State.open) === 0 || (state & (over & ~State.finishing)) === 0) {
      throw new Error(`slot ${slot} was written to after ${state === 0 ? 'its life' : 'finish()'}`);
    }
    return false;
  }

  #settle(slot: number): void {
    const state = this.slots.state[slot] as number;
    if ((state & State.closing) !== 0) {
      this.#settleClosing(slot, state);
      return;
    }
    if ((state & State.connecting) !== 0) return;
    if ((state & (State.sending | State.sendFailed)) === 0) {
      const secure = (state & State.secure) !== 0;
      const last = (state & (State.leaving | State.finishing)) !== 0;
      const all = !secure || this.#transport.seal(slot, last);
      const output = secure ? this.wire : this.output;
      if ((output.bytes[slot] as number) > 0) {
        this.#send(slot, state, output, all);
      } else if (!all) {
        // The rest waits for the handshake, or for memory.
      } else if ((state & (State.finishing | State.finished)) === State.finishing) {
        // A call of its own: the ring would give it to a thread, which costs several times as much.
        this.#shut(slot, endSending(this.slots.fd[slot] as number));
        return;
      } else if ((state & State.leaving) !== 0) {
        this.close(slot);
        this.#settleClosing(slot, this.slots.state[slot] as number);
        return;
      }
    }
    if ((state & State.ended) === 0) this.#settleReceiving(slot, state);
  }

  /** `all`: nothing is left that is not in `output`. */
  #send(slot: number, state: number, output: Output, all: boolean): void {
    const fd = this.slots.fd[slot] as number;
    const generation = this.slots.generation[slot] as number;
    this.#set(slot, State.sending);
    let manner: number = Sending.plainly;
    if ((state & (State.leaving | State.finishing)) !== 0) {
      if (all) manner = Sending.last;
    } else if (all && this.#maySendQuietly(slot, state, output)) {
      this.#set(slot, State.quiet);
      this.#quiet.add(slot, output.bytes[slot] as number);
      manner = Sending.quietly;
    }
    this.#clear(slot, State.blocked);
    output.begin(slot, fd, generation, manner);
  }

  #maySendQuietly(slot: number, state: number, output: Output): boolean {
    if (!this.#quiet.open || (state & State.blocked) !== 0) return false;
    return output.isOne(slot) && this.#handler.quiet(slot);
  }

  #settleReceiving(slot: number, state: number): void {
    const room = this.#handler.room(slot);
    const tag = tagOf(Kind.receive, slot);
    const generation = this.slots.generation[slot] as number;
    if ((state & State.receiving) !== 0) {
      if (room > 0 || (state & State.stopping) !== 0) return;
      this.#set(slot, State.stopping);
      this.#ring.cancel(tag, generation);
      return;
    }
    if ((state & State.more) !== 0 && this.#bulk(slot) >= BULK) {
      this.#starved.remove(slot);
      this.#plentiful.add(slot);
      return;
    }
    this.#plentiful.remove(slot);
    if (room <= 0) {
      this.#starved.remove(slot);
      return;
    }
    if (this.pool.withKernel === 0) {
      this.#starved.add(slot);
      return;
    }
    this.#starved.remove(slot);
    this.#set(slot, State.receiving);
    const fd = this.slots.fd[slot] as number;
    if (this.#mode === 'multishot') this.#ring.receiveMany(fd, 0, tag, generation);
    else if (this.#mode === 'capped' && room >= MANY) {
      const buffers = Math.min(FILLED, room >> 1);
      this.#ring.receiveMany(fd, buffers * this.pool.size, tag, generation);
    } else this.#ring.receive(fd, tag, generation);
  }

  /**
   * One receives as much as is there, if there still is room. These complete inside the call that
   * hands them to the kernel, so those that are left do not wait for anything to happen.
   */
  #receiveLarge(): void {
    let left = BULK_TURN;
    while (left > 0 && !this.#plentiful.empty) {
      const slot = this.#plentiful.shift();
      const buffers = this.#bulk(slot);
      if (buffers < BULK) {
        this.#clear(slot, State.more);
        this.#settleReceiving(slot, this.slots.state[slot] as number);
        continue;
      }
      left -= buffers;
      const id = this.pool.takeLarge();
      this.#large[slot] = id;
      this.#set(slot, State.receiving);
      this.#ring.receiveNow(
        this.slots.fd[slot] as number,
        this.pool.low[id] as number,
        this.pool.high[id] as number,
        buffers * this.pool.size,
        tagOf(Kind.receive, slot),
        this.slots.generation[slot] as number,
      );
    }
  }

  /** How many buffers of a body may come in a large one now. */
  #bulk(slot: number): number {
    if (this.pool.freeLarge === 0) return 0;
    const wanted = this.#handler.bulk(slot);
    return wanted < LARGE ? wanted : LARGE;
  }

  #settleClosing(slot: number, state: number): void {
    const fd = this.slots.fd[slot] as number;
    const generation = this.slots.generation[slot] as number;
    if ((state & UNDER_WAY) !== 0 && (state & State.cancelled) === 0) {
      this.#set(slot, State.cancelled);
      // By their tags: a cancellation by descriptor looks at every operation of the ring.
      if ((state & State.receiving) !== 0) this.#ring.cancel(tagOf(Kind.receive, slot), generation);
      if ((state & State.sending) !== 0) this.#ring.cancel(tagOf(Kind.send, slot), generation);
      if ((state & State.connecting) !== 0)
        this.#ring.cancel(tagOf(Kind.connect, slot), generation);
    }
    // A receive that was told to end needs no descriptor; the slot waits for it all the same.
    if ((state & UNDER_WAY & ~State.receiving) !== 0) return;
    if ((state & State.closingDescriptor) !== 0) return;
    this.output.clear(slot);
    if ((state & State.secure) !== 0) this.wire.clear(slot);
    this.#set(slot, State.closingDescriptor);
    // With nothing under way no operation names the descriptor, so none can meet the next one that
    // gets its number; and it costs no further turn.
    if ((state & UNDER_WAY) === 0) this.#closed(slot, tryClose(fd));
    else this.#ring.close(fd, tagOf(Kind.close, slot), generation);
  }

  #accepted(listener: number, generation: number, result: number, flags: number): void {
    const fd = this.#acceptor.completed(listener, generation, result, flags);
    if (fd < 0) {
      const { trouble } = this.#acceptor;
      if (trouble !== 0) this.#handler.onAcceptError(listener, trouble);
      return;
    }
    const slot = this.slots.take(fd, 0);
    this.#acceptor.slotsChanged(this.slots.free);
    if (slot < 0) {
      // More came at once than there were slots, before the accept could be stopped.
      this.#acceptor.refuse(fd);
      return;
    }
    this.touch(slot);
    this.#handler.onAccept(slot, listener);
  }

  #connected(slot: number, result: number): void {
    this.#clear(slot, State.connecting);
    this.touch(slot);
    if (this.#has(slot, State.closing)) return;
    if (result < 0) {
      this.#set(slot, State.ended | State.sendFailed);
      this.output.clear(slot);
    } else if (this.#has(slot, State.secure)) {
      // The handler hears of it when TLS is there as well.
      this.#transport.connected(slot);
      return;
    }
    this.#handler.onConnect(slot, 0 - result);
  }

  #received(slot: number, result: number, flags: number): void {
    const buffer = this.#filled(slot, result, flags);
    if ((flags & IORING_CQE_F_SOCK_NONEMPTY) !== 0) this.#set(slot, State.more);
    else this.#clear(slot, State.more);
    if ((flags & IORING_CQE_F_MORE) === 0) {
      this.#clear(slot, State.receiving | State.stopping);
      if (this.#has(slot, State.descriptorClosed)) {
        if (buffer >= 0) this.pool.release(buffer, Owner.handler);
        this.#free(slot);
        return;
      }
    }
    this.touch(slot);
    if (result > 0 && !this.#has(slot, State.closing | State.ended)) {
      if (this.#has(slot, State.secure)) this.#transport.received(slot, buffer);
      else this.#handler.onData(slot, buffer);
      return;
    }
    if (buffer >= 0) this.pool.release(buffer, Owner.handler);
    if (result > 0 || this.#has(slot, State.closing | State.ended)) return;
    switch (-result) {
      case errno.ENOBUFS:
        this.pool.ranDry();
        this.#starved.add(slot);
        return;
      case errno.ECANCELED:
      case errno.EINTR:
      case errno.EAGAIN:
        return; // asked for anew when there is room
      default:
        this.#set(slot, State.ended);
        if (this.#has(slot, State.secure)) this.#transport.ended(slot, 0 - result);
        else this.#handler.onEnd(slot, 0 - result);
    }
  }

  /** The buffer that a receive used, with what is in it; -1: none. It is the handler's. */
  #filled(slot: number, result: number, flags: number): number {
    const length = result > 0 ? result : 0;
    const large = this.#large[slot] as number;
    if (large >= 0) {
      this.#large[slot] = -1;
      this.pool.received(large, length);
      return large;
    }
    if ((flags & IORING_CQE_F_BUFFER) === 0) return -1;
    this.pool.received(flags >>> 16, length);
    return flags >>> 16;
  }

  #sent(slot: number, result: number): void {
    // A quiet send that has a completion waits for the socket from now on.
    if (this.#has(slot, State.quiet)) this.#set(slot, State.blocked);
    this.#clear(slot, State.sending | State.quiet);
    const secure = this.#has(slot, State.secure);
    const output = secure ? this.wire : this.output;
    output.end(slot);
    this.touch(slot);
    if (this.#has(slot, State.closing)) return;
    if (result >= 0) {
      output.consume(slot, result);
      const plain = secure ? this.#transport.sent(slot, result) : result;
      if (plain > 0) this.#handler.onSent(slot, plain);
      return;
    }
    if (result === -errno.EINTR || result === -errno.EAGAIN) return; // asked for anew
    this.#set(slot, State.sendFailed);
    this.output.clear(slot);
    if (secure) this.wire.clear(slot);
    this.#handler.onSendError(slot, -result);
  }

  #shut(slot: number, result: number): void {
    this.#set(slot, State.finished);
    this.touch(slot);
    if (this.#has(slot, State.closing)) return;
    if (result >= 0) this.#handler.onFinished(slot);
    else {
      this.#set(slot, State.sendFailed);
      this.#handler.onSendError(slot, -result);
    }
  }

  #closed(slot: number, result: number): void {
    if (result === -errno.EBADF)
      throw new Error(`the descriptor of slot ${slot} was closed before`);
    if (this.#has(slot, State.receiving)) this.#set(slot, State.descriptorClosed);
    else this.#free(slot);
  }

  /** The kernel is done with it. */
  #free(slot: number): void {
    if (this.#has(slot, State.secure)) this.#transport.closed(slot);
    this.slots.give(slot);
    this.#acceptor.slotsChanged(this.slots.free);
    this.#acceptor.retry();
    this.#handler.onClosed(slot);
  }

  /** Gives back the buffer of a completion that nobody wants. */
  #discard(flags: number): void {
    if ((flags & IORING_CQE_F_BUFFER) === 0) return;
    this.pool.received(flags >>> 16, 0);
    this.pool.release(flags >>> 16, Owner.handler);
  }

  /** As many may receive again as there are buffers, those first that wait longest. */
  #feedStarved(): void {
    for (let left = this.pool.withKernel; left > 0 && !this.#starved.empty; left -= 1) {
      this.touch(this.#starved.shift());
    }
  }
}
