/**
 * What a worker process asks of what serves the traffic.
 *
 * Invariant: connections and requests that were begun go on by the snapshot that they began with.
 */
import type { TlsEngine } from '../../../native/ffi/tls-engine.js';
import type { ConnectionHandler } from '../ring/handler.js';
import type { WorkerLoop } from '../ring/worker-loop.js';
import type { TlsSecrets } from '../tls/secrets.js';
import type { Snapshot } from '../snapshot.js';
import type { OwnMemory, SharedMemory } from './memory.js';

export interface Engine extends ConnectionHandler {
  /** Certificates and keys from now on; wiped by the caller. */
  setSecrets(secrets: TlsSecrets): void;
  /** What begins from now on goes by this snapshot. */
  apply(snapshot: Snapshot): void;
  /** Connections of this listener of the loop are a service's, until the number is another's. */
  listen(service: string, listener: number): void;
  /** Finishes what is under way; told once, when nothing is left. No more connections come. */
  drain(onDrained: () => void): void;
  /** Clients that are connected. */
  readonly clients: number;
  /** After the loop was closed. */
  close(): void;
}

export interface EngineContext {
  readonly loop: WorkerLoop;
  readonly shared: SharedMemory;
  readonly own: OwnMemory;
  /** The worker's number, below `MemorySizes.workers`. */
  readonly worker: number;
  /** OpenSSL for the loop. Throws TlsError when it is not as it is expected. */
  newTls(): TlsEngine;
  /** Told of what an administrator should hear; rare. */
  tell(event: EngineEvent): void;
}

export type EngineEvent =
  | {
      readonly kind: 'ejected';
      readonly member: string;
      readonly hold: number;
      readonly why: string;
    }
  | { readonly kind: 'returned'; readonly member: string }
  | { readonly kind: 'trouble'; readonly message: string };

/** Timers of the loop that an engine needs beside one for each slot: numbers from `slots` on. */
export const ENGINE_TIMERS = 3;
