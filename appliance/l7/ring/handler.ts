/**
 * What the user of a worker's loop implements: one object that hears of everything.
 *
 * The handler closes every connection itself, whatever became of it; onClosed is the last that it
 * hears of a slot. Nothing is called before onAccept or after onClosed, and between close() and
 * onClosed nothing either. All run inside the loop's turn.
 */
import type { TimerHandler } from './timer-wheel.js';

export interface ConnectionHandler extends TimerHandler {
  /** A client has connected. */
  onAccept(slot: number, listener: number): void;
  /** A connection of our own is made (0), or failed with an errno. */
  onConnect(slot: number, errno: number): void;
  /**
   * Bytes arrived: the slice of `buffer` (`pool.length[buffer]` bytes, in `pool.bytes` from
   * `buffer * pool.size + pool.start[buffer]` on). The buffer is the handler's (Owner.handler) until
   * it is written, appended to a chain or released.
   */
  onData(slot: number, buffer: number): void;
  /**
   * A client's handshake of TLS is over. What came before (ServerSide.earlyData) may be that of an
   * earlier connection, repeated by anybody.
   */
  onSecured?(slot: number): void;
  /** Nothing more arrives: the peer has finished (0), or an errno. Sending may still go on. */
  onEnd(slot: number, errno: number): void;
  /** Bytes of the output went out, and their buffers are released. */
  onSent(slot: number, bytes: number): void;
  /** Nothing more can be sent; the output is dropped. Receiving may still go on. */
  onSendError(slot: number, errno: number): void;
  /** After finish(): everything was sent, and so was the end. */
  onFinished(slot: number): void;
  /** The descriptor is closed; the slot's number may come again with the next generation. */
  onClosed(slot: number): void;
  /**
   * How many more buffers this connection may fill now; with 0 or less it receives nothing. It is
   * asked whenever the slot is touched, so it only computes: what one reads must not depend on it.
   */
  room(slot: number): number;
  /**
   * Of the room, how much there is use for in one piece, in buffers: what of a body is still to
   * come. With 0, bytes come in ordinary buffers. Asked as room is, and never above it.
   */
  bulk(slot: number): number;
  /**
   * Whether nothing waits for the output being sent: then onSent may come as late as the next time
   * that anything happens.
   */
  quiet(slot: number): boolean;
  /** The worker's eventfd was signalled. */
  onWake(): void;
  /** Accepting fails, for an errno, and is tried again. */
  onAcceptError(listener: number, errno: number): void;
}
