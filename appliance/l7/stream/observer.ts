/**
 * What is told about streams: to counters, histograms and the log. Called inside the worker's turn, so
 * whoever listens allocates nothing and waits for nothing.
 *
 * Invariant: every accepted connection is finished once, and all its bytes are told before that.
 */
import type { StreamMember } from './runtime.js';
import type { StreamService } from './service.js';
import type { StreamSession } from './session.js';

/** Why a connection ended. Those up to `no-memory` reached no member. */
export type StreamEnd =
  | 'bad-proxy-header'
  | 'bad-hello'
  | 'no-route'
  | 'limit'
  | 'too-slow'
  | 'no-member'
  | 'busy'
  | 'connect-failed'
  | 'client-gone'
  | 'no-memory'
  | 'complete'
  | 'client-reset'
  | 'member-reset'
  | 'idle'
  | 'stopped';

export interface StreamObserver {
  accepted(service: StreamService): void;
  /** A connection to a member was made (0), or failed with an errno, after so many microseconds. */
  connected(member: StreamMember, errno: number, micros: number): void;
  /** Another member is tried after this one. */
  retried(member: StreamMember): void;
  /** Bytes since it was last told, from the client and to it; both are below a MiB or so. */
  moved(session: StreamSession, fromClient: number, toClient: number): void;
  /** The session is read now; the object is used again afterwards. */
  finished(session: StreamSession, reason: StreamEnd): void;
}

const nothing = (): void => {
  // Nobody listens.
};

export const noStreamObserver: StreamObserver = {
  accepted: nothing,
  connected: nothing,
  retried: nothing,
  moved: nothing,
  finished: nothing,
};
