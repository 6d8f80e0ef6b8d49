/**
 * Early data of clients (RFC 8446 §2.3): plain bytes that come with the hello, before the handshake is
 * over. Anybody who saw them can send them again (§8), so what they may be used for is the engine's to
 * decide: `Connections.secured` tells when that is past.
 *
 * Invariant: what was read is in `buffers` in order until it is taken; no slot reads beyond the end of
 * early data, after which the handshake goes on as any other.
 */
import { outcome, type TlsEngine } from '../../../native/ffi/tls-engine.js';
import { type BufferPool, Owner } from '../ring/buffer-pool.js';

export class EarlyData {
  /** Of the last read(), each of Owner.handler. */
  readonly buffers: number[] = [];
  /** By slot, 1: early data may still come. */
  readonly #reads: Uint8Array;

  /** @param base address of the pool's bytes */
  constructor(
    private readonly engine: TlsEngine,
    private readonly pool: BufferPool,
    private readonly base: number,
    slots: number,
  ) {
    this.#reads = new Uint8Array(slots);
  }

  /** A handshake begins, by a context that allows early data, or by another one. */
  begin(slot: number, allowed: boolean): void {
    this.#reads[slot] = allowed ? 1 : 0;
  }

  /** Whether the handshake is to go on by read(). */
  reads(slot: number): boolean {
    return this.#reads[slot] === 1;
  }

  /**
   * Goes on with the handshake as long as early data may come, into `buffers`. `more`: so does it;
   * `finished`: no more of it comes; `failed`. Without a buffer for it, null.
   */
  read(slot: number, ssl: number): number | null {
    const { engine, pool, base } = this;
    for (;;) {
      let buffer = pool.takeReceiving();
      if (buffer < 0) buffer = pool.take(Owner.handler);
      if (buffer < 0) return null;
      const count = engine.readEarly(ssl, base + buffer * pool.size, pool.size);
      if (count > 0) {
        pool.start[buffer] = 0;
        pool.length[buffer] = count;
        this.buffers.push(buffer);
        continue;
      }
      pool.release(buffer, Owner.handler);
      if (count !== outcome.more) this.#reads[slot] = 0;
      return count;
    }
  }

  /** What was read is of no use any more. */
  drop(): void {
    for (const buffer of this.buffers) this.pool.release(buffer, Owner.handler);
    this.buffers.length = 0;
  }
}
