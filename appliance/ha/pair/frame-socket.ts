/**
 * Frames over one TLS connection, in both directions.
 *
 * Invariant: frames are heard in the order of their numbers, from 1, each once and all of one epoch; the
 * first that is not as it should be is counted and ends the connection, and none is heard after it.
 */
import type { TLSSocket } from 'node:tls';
import type { Refusal, RefusalCounts } from './counts.js';
import { encodeFrame, FrameError, FrameReader, type Frame, type FrameType } from './frames.js';

/** Octets that may wait for the other unit to read them: all of a session's messages, and answers. */
const UNREAD_LIMIT = 16 << 20;

export interface FrameListener {
  /** What it throws as `FrameError` is counted as malformed and ends the connection. */
  frame(frame: Frame): void;
  /** Once; the reason is a clause for people. */
  closed(reason: string): void;
}

export class FrameSocket {
  readonly #socket: TLSSocket;
  readonly #epoch: number;
  readonly #counts: RefusalCounts;
  readonly #reader = new FrameReader();
  #listener: FrameListener | null = null;
  #sent = 0;
  #heard = 0;
  #peerEpoch: number | null = null;
  #closed = false;
  #reason: string | null = null;

  constructor(socket: TLSSocket, epoch: number, counts: RefusalCounts) {
    this.#socket = socket;
    this.#epoch = epoch;
    this.#counts = counts;
  }

  /** Begins to hear. */
  listen(listener: FrameListener): void {
    this.#listener = listener;
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (piece: Buffer) => {
      this.#read(piece);
    });
    this.#socket.on('error', (error: Error) => {
      this.#reason ??= error.message;
    });
    this.#socket.on('close', () => {
      this.#end('the other unit closed it');
    });
    // It may have ended before.
    if (this.#socket.destroyed) this.#end('the other unit closed it');
  }

  /** The largest frame that is taken from now on. */
  allow(limit: number): void {
    this.#reader.allow(limit);
  }

  /** Silently nothing once it is closed: whoever waits for an answer hears of the end. */
  send(type: FrameType, payload: Buffer): void {
    if (this.#closed || this.#socket.destroyed) return;
    this.#sent += 1;
    const frame = { type, epoch: this.#epoch, number: this.#sent, payload };
    this.#socket.write(encodeFrame(frame));
    if (this.#socket.writableLength > UNREAD_LIMIT) this.close('the other unit does not read');
  }

  /** Counts, and ends the connection. */
  refuse(refusal: Refusal, reason: string): void {
    if (this.#closed) return;
    this.#counts[refusal] += 1;
    this.close(reason);
  }

  close(reason: string): void {
    this.#reason ??= reason;
    this.#socket.destroy();
    this.#end(reason);
  }

  /** Once what was sent is on its way. Nothing is heard after it. */
  finish(reason: string): void {
    this.#reason ??= reason;
    this.#socket.end();
    this.#end(reason);
    // Who does not close its side either must not keep it open for ever.
    this.#socket.setTimeout(2000, () => this.#socket.destroy());
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener?.closed(this.#reason ?? reason);
  }

  #read(piece: Buffer): void {
    if (this.#closed) return;
    try {
      for (const frame of this.#reader.read(piece)) {
        this.#hear(frame);
        if (this.#closed) return;
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.refuse('malformed', `refused: ${error.message}`);
    }
  }

  #hear(frame: Frame): void {
    this.#peerEpoch ??= frame.epoch;
    if (frame.epoch < this.#peerEpoch) {
      this.refuse('stale', 'refused: a frame of a former run of the other daemon');
    } else if (frame.epoch > this.#peerEpoch) {
      this.refuse('malformed', 'refused: frames of two runs on one connection');
    } else if (frame.number <= this.#heard) {
      this.refuse('replayed', `refused: frame ${frame.number} came again`);
    } else if (frame.number !== this.#heard + 1) {
      this.refuse('malformed', `refused: frame ${frame.number} after ${this.#heard}`);
    } else {
      this.#heard = frame.number;
      this.#listener?.frame(frame);
    }
  }
}
