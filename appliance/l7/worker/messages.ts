/**
 * What the daemon and a worker tell each other, as JSON over a packet channel; descriptors go along.
 *
 * Invariant: both ends are of one build. A worker of another one is only told to drain.
 */
import type { L7Pool, L7Service, L7Unit } from '../tables.js';
import type { MemorySizes } from './memory.js';
import type { EngineEvent } from './engine.js';

/** As the message `drain` with DRAIN_LIMIT, of a daemon that has no channel to the worker. */
export const DRAIN_SIGNAL = 'SIGUSR2';
/** Milliseconds. */
export const DRAIN_LIMIT = 60_000;
/** The same where it is the whole tier, or the host, that stops. */
export const STOP_LIMIT = 2000;

/** A listening socket of a worker; `key` names it. */
export interface ListenItem {
  readonly key: string;
  readonly service: string;
  readonly backlog: number;
}

export type ToWorker =
  /** Make ready what takes long: it is a spare. */
  | { readonly kind: 'prepare'; readonly sizes: MemorySizes; readonly connections: number }
  /** Descriptors: the memory of all workers, that of this one. */
  | {
      readonly kind: 'begin';
      readonly worker: number;
      readonly cpu: number | null;
      readonly sizes: MemorySizes;
      readonly connections: number;
    }
  /** Descriptors: memory of others, to be kept open for the next daemon. */
  | { readonly kind: 'keep' }
  /** Descriptor: sealed memory with `bytes` bytes of SnapshotPart as JSON. */
  | { readonly kind: 'snapshot'; readonly number: number; readonly bytes: number }
  /** Descriptor: sealed memory with `bytes` bytes as tls/secrets.ts packs them. */
  | { readonly kind: 'secrets'; readonly version: number; readonly bytes: number }
  /** Descriptors: a socket for each. */
  | { readonly kind: 'listen'; readonly items: readonly ListenItem[] }
  | { readonly kind: 'unlisten'; readonly keys: readonly string[] }
  /** To be answered by `applied`, after all that was said before. */
  | { readonly kind: 'sync'; readonly number: number }
  /** Finish what is under way, then end; cut what is left after so many milliseconds. */
  | { readonly kind: 'drain'; readonly limit: number };

export type FromWorker =
  /** Everything is loaded. */
  | { readonly kind: 'loaded' }
  /** It serves by this snapshot, on the sockets that it was given. */
  | { readonly kind: 'applied'; readonly number: number }
  /** It has the secrets of this version, for every connection from now on. */
  | { readonly kind: 'secrets'; readonly version: number }
  /** It accepts nothing more on any socket. */
  | { readonly kind: 'draining' }
  | { readonly kind: 'event'; readonly event: EngineEvent }
  /** It cannot work at all: a sentence for people. */
  | { readonly kind: 'unable'; readonly sentence: string };

/** What changed since the snapshot before; a new worker gets everything. */
export interface SnapshotPart {
  readonly number: number;
  readonly unit: L7Unit;
  readonly services: readonly L7Service[];
  readonly pools: readonly L7Pool[];
  /** Names of those that are gone. */
  readonly goneServices: readonly string[];
  readonly gonePools: readonly string[];
  /** All of them; null: as before. */
  readonly rows: readonly (readonly [string, number])[] | null;
  readonly logs: readonly (readonly [string, number])[];
}
