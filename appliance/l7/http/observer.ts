/**
 * What is told about exchanges: to counters, histograms and the access log. Called inside the worker's
 * turn, so whoever listens allocates nothing and waits for nothing.
 */
import type { Fault } from '../http1/faults.js';
import type { Exchange } from './exchange.js';
import type { HttpMember, HttpService } from './runtime.js';

/** Why an exchange or a connection ended otherwise than with a whole answer. */
export type EndReason =
  | 'complete'
  | 'client-gone'
  | 'client-too-slow'
  | 'member-failed'
  | 'member-cut'
  | 'member-timeout'
  | 'bad-response'
  | 'bad-request'
  | 'no-memory';

export interface HttpObserver {
  accepted(service: HttpService): void;
  closed(service: HttpService): void;
  /** A head that is no request. */
  refused(service: HttpService, fault: Fault): void;
  /** Everything about an exchange that is over; the object is used again afterwards. */
  finished(exchange: Exchange, reason: EndReason): void;
  /** A connection to a member was made, or failed with an errno. */
  connected(member: HttpMember, errno: number): void;
  reused(member: HttpMember): void;
  retried(member: HttpMember): void;
}

const nothing = (): void => {
  // Nobody listens.
};

export const noObserver: HttpObserver = {
  accepted: nothing,
  closed: nothing,
  refused: nothing,
  finished: nothing,
  connected: nothing,
  reused: nothing,
  retried: nothing,
};
