/**
 * Instead of TLS where there is none, because OpenSSL is not as it is expected: clients get the alert
 * internal_error, members no connection. Services and pools without TLS do not come here.
 *
 * Invariant: no byte of an engine goes out on such a connection.
 */
import { errno } from '../../../native/ffi/io-uring-abi.js';
import { trySend } from '../../../native/ffi/libc.js';
import { noLines } from '../http1/peer.js';
import { Owner } from '../ring/buffer-pool.js';
import type { Connections } from '../ring/connections.js';
import type { SecureTransport } from '../ring/secure.js';
import { alert, alertRecord } from '../stream/alerts.js';
import type { ClientSide, ServerSide, TlsEnds, TlsObserver } from './sides.js';

export class RefusedTls implements SecureTransport, TlsEnds {
  /** Those that have not failed yet. */
  readonly #servers = new Map<number, ServerSide>();
  readonly #clients = new Map<number, ClientSide>();

  constructor(
    private readonly connections: Connections,
    private readonly why: string,
    private readonly observer: TlsObserver | null = null,
  ) {
    connections.transport = this;
  }

  accept(slot: number, side: ServerSide): void {
    this.#servers.set(slot, side);
    this.connections.secure(slot);
  }

  connect(slot: number, side: ClientSide): void {
    this.#clients.set(slot, side);
    this.connections.secure(slot);
  }

  serverName(_slot: number): string {
    return '';
  }

  certificateLines(_slot: number): Uint8Array {
    return noLines;
  }

  connected(slot: number): void {
    const side = this.#clients.get(slot);
    this.#clients.delete(slot);
    if (side !== undefined) this.observer?.notMade(side, 'other', this.why);
    this.connections.made(slot, errno.EPROTO);
  }

  received(slot: number, buffer: number): void {
    const { connections } = this;
    connections.pool.release(buffer, Owner.handler);
    const side = this.#servers.get(slot);
    if (!this.#servers.delete(slot) || side === undefined) return;
    this.observer?.refused(side, 'other', this.why);
    trySend(connections.slots.fd[slot] as number, alertRecord(alert.internalError));
    connections.over(slot, errno.EPROTO);
  }

  ended(slot: number, code: number): void {
    if (this.#servers.delete(slot)) this.connections.over(slot, code === 0 ? errno.EPROTO : code);
  }

  seal(slot: number, _last: boolean): boolean {
    const { output } = this.connections;
    // What was written before is dropped when it has failed.
    if (this.#servers.has(slot)) return output.bytes[slot] === 0;
    output.clear(slot);
    return true;
  }

  sent(_slot: number, _bytes: number): number {
    return 0;
  }

  sealed(_slot: number): number {
    return 0;
  }

  settle(): void {
    // Nothing waits for memory.
  }

  closed(slot: number): void {
    this.#servers.delete(slot);
    this.#clients.delete(slot);
  }
}
