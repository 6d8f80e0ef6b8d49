/**
 * Messages of any size on a channel of the pair: JSON, compressed, in pieces that the link takes.
 *
 *     flags 1 (1: the first piece, 2: the last) | piece of a deflated message
 *
 * Invariant: what is being put together, and what comes out of it, is bounded; a message whose pieces
 * are of two runs of the other daemon, or incomplete, is never heard.
 */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { UndeliveredError, type Session } from '../pair/session.js';
import { MessageError, parseMessage, type Message } from './messages.js';

const CHANNEL = 'configuration';
const PIECE = 512 << 10;
const FIRST = 1;
const LAST = 2;
/** Of a message, compressed and not: documents may have 16 MiB. */
const COMPRESSED_LIMIT = 32 << 20;
const MESSAGE_LIMIT = 64 << 20;

export interface TransportOptions {
  readonly onMessage: (message: Message) => void;
  /** What came is no message, or cannot be handled: a defect. */
  readonly onError: (error: unknown) => void;
}

export class Transport {
  readonly #session: Session;
  readonly #options: TransportOptions;
  readonly #stop: () => void;
  #pieces: Buffer[] = [];
  #size = 0;
  #epoch = 0;
  #sending: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(session: Session, options: TransportOptions) {
    this.#session = session;
    this.#options = options;
    this.#stop = session.on(CHANNEL, (body) => {
      this.#hear(body);
    });
  }

  /** Whether the other unit is heard by any link. */
  get up(): boolean {
    return this.#session.links.length > 0;
  }

  /** The run of the other daemon that is heard. */
  get epoch(): number {
    return this.#session.peerEpoch;
  }

  /** In the order of the calls. What cannot be delivered is forgotten: the next session begins anew. */
  send(message: Message): void {
    const body = deflateRawSync(JSON.stringify(message), { level: constants.Z_BEST_SPEED });
    this.#sending = this.#sending.then(() =>
      this.#sendPieces(body).catch((error: unknown) => {
        if (!(error instanceof UndeliveredError)) this.#options.onError(error);
      }),
    );
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  async #sendPieces(body: Buffer): Promise<void> {
    for (let at = 0; at < body.length && !this.#closed; at += PIECE) {
      const flags = (at === 0 ? FIRST : 0) | (at + PIECE >= body.length ? LAST : 0);
      const piece = Buffer.concat([Buffer.of(flags), body.subarray(at, at + PIECE)]);
      // One piece at a time: what waits for the other unit is bounded for all channels together.
      await this.#session.send(CHANNEL, piece);
    }
  }

  #hear(piece: Buffer): void {
    const flags = piece[0] ?? 0;
    if ((flags & FIRST) !== 0 || this.#epoch !== this.#session.peerEpoch) this.#clear();
    this.#epoch = this.#session.peerEpoch;
    // The rest of one whose beginning was lost.
    if ((flags & FIRST) === 0 && this.#pieces.length === 0) return;
    // The body is the link's buffer, which holds nothing else.
    this.#pieces.push(piece.subarray(1));
    this.#size += piece.length;
    if (this.#size > COMPRESSED_LIMIT) {
      this.#clear();
      this.#options.onError(new MessageError('a message about the configuration is too large'));
      return;
    }
    if ((flags & LAST) === 0) return;
    const body = Buffer.concat(this.#pieces);
    this.#clear();
    try {
      const text = inflateRawSync(body, { maxOutputLength: MESSAGE_LIMIT }).toString('utf8');
      this.#options.onMessage(parseMessage(JSON.parse(text)));
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #clear(): void {
    this.#pieces = [];
    this.#size = 0;
  }
}
