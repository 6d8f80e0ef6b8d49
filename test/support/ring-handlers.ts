/**
 * The smallest users of a worker's loop: a base that ignores everything, an echo, a relay.
 */
import { Owner } from '../../appliance/l7/ring/buffer-pool.js';
import type { Connections } from '../../appliance/l7/ring/connections.js';
import type { ConnectionHandler } from '../../appliance/l7/ring/handler.js';

/** Counts what it hears of, and gives every buffer back. */
export class QuietHandler implements ConnectionHandler {
  readonly connections: Connections;
  readonly heard: string[] = [];
  accepted = 0;
  closed = 0;

  constructor(connections: Connections) {
    this.connections = connections;
  }
  onAccept(_slot: number, _listener: number): void {
    this.accepted += 1;
  }
  onConnect(slot: number, errno: number): void {
    this.heard.push(`connect ${errno}`);
    if (errno !== 0) this.connections.close(slot);
  }
  onData(_slot: number, buffer: number): void {
    this.connections.pool.release(buffer, Owner.handler);
  }
  onEnd(slot: number, errno: number): void {
    this.heard.push(`end ${errno}`);
    this.connections.close(slot);
  }
  onSent(_slot: number, _bytes: number): void {}
  onSendError(slot: number, errno: number): void {
    this.heard.push(`send ${errno}`);
    this.connections.close(slot);
  }
  onFinished(_slot: number): void {}
  onClosed(_slot: number): void {
    this.closed += 1;
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
  onWake(): void {
    this.heard.push('wake');
  }
  onAcceptError(_listener: number, errno: number): void {
    this.heard.push(`accept ${errno}`);
  }
  onTimer(timer: number): void {
    this.heard.push(`timer ${timer}`);
  }
}

/** Sends back what it gets, and ends when the client has ended and has got everything. */
export class EchoHandler extends QuietHandler {
  readonly window: number;
  messages = 0;

  constructor(connections: Connections, window: number) {
    super(connections);
    this.window = window;
  }
  override onData(slot: number, buffer: number): void {
    this.messages += 1;
    this.connections.write(slot, buffer, Owner.handler);
  }
  override onEnd(slot: number, errno: number): void {
    if (errno === 0) this.connections.finish(slot);
    else super.onEnd(slot, errno);
  }
  override onFinished(slot: number): void {
    this.connections.close(slot);
  }
  override room(slot: number): number {
    const { pool, output } = this.connections;
    return pool.fairShare(this.window) - (output.buffers[slot] as number);
  }
}

/** Joins every client to a connection of its own to `address`, with half-closing and resets. */
export class RelayHandler extends QuietHandler {
  readonly window: number;
  readonly #address: Uint8Array;
  readonly #peer: Int32Array;
  /** Halves of a connection that are over, by slot: 1 the receiving one, 2 the sending one. */
  readonly #over: Uint8Array;
  /** Most receiving buffers that were not with the kernel. */
  mostInUse = 0;
  /** Whether it can wait for what it hears of sends. */
  quietly = false;
  /** Large buffers that bytes came in. */
  bulks = 0;

  constructor(connections: Connections, window: number, address: Uint8Array) {
    super(connections);
    this.window = window;
    this.#address = address;
    this.#peer = new Int32Array(connections.slots.count).fill(-1);
    this.#over = new Uint8Array(connections.slots.count);
  }
  override onAccept(slot: number, listener: number): void {
    super.onAccept(slot, listener);
    const peer = this.connections.connect(this.#address, null);
    if (peer < 0) {
      this.connections.reset(slot);
      return;
    }
    this.#peer[slot] = peer;
    this.#peer[peer] = slot;
    this.#over[slot] = 0;
    this.#over[peer] = 0;
  }
  override onConnect(slot: number, errno: number): void {
    this.heard.push(`connect ${errno}`);
    if (errno !== 0) this.#cut(slot);
  }
  override onData(slot: number, buffer: number): void {
    const { pool } = this.connections;
    this.mostInUse = Math.max(this.mostInUse, pool.receiving - pool.withKernel);
    if (pool.capacity(buffer) > pool.size) this.bulks += 1;
    const peer = this.#peer[slot] as number;
    this.connections.write(peer, buffer, Owner.handler);
  }
  override onSent(slot: number, _bytes: number): void {
    this.connections.touch(this.#peer[slot] as number);
  }
  override onEnd(slot: number, errno: number): void {
    this.heard.push(`end ${errno}`);
    if (errno !== 0) {
      this.#cut(slot);
      return;
    }
    this.connections.finish(this.#peer[slot] as number);
    this.#half(slot, 1);
  }
  override onFinished(slot: number): void {
    this.#half(slot, 2);
  }
  override onSendError(slot: number, errno: number): void {
    this.heard.push(`send ${errno}`);
    this.#cut(slot);
  }
  override onClosed(slot: number): void {
    super.onClosed(slot);
    this.#peer[slot] = -1;
  }
  override room(slot: number): number {
    const peer = this.#peer[slot] as number;
    const held = peer < 0 ? 0 : this.connections.output.held(peer);
    return this.connections.pool.fairShare(this.window) - held;
  }
  override bulk(slot: number): number {
    return this.room(slot);
  }
  override quiet(_slot: number): boolean {
    return this.quietly;
  }

  #half(slot: number, half: number): void {
    this.#over[slot] = (this.#over[slot] as number) | half;
    if (this.#over[slot] === 3) this.connections.close(slot);
  }

  /** Both ends learn that the connection was cut. */
  #cut(slot: number): void {
    const peer = this.#peer[slot] as number;
    this.connections.reset(slot);
    if (peer >= 0) this.connections.reset(peer);
  }
}
