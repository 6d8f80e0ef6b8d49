/**
 * Receives a bundle from the other unit into a file, piece by piece.
 *
 * Invariant: one offer at a time, the latest; nothing is kept of a bundle whose head was refused; the
 * file grows by what was wanted and by nothing else, and is removed when its offer is over.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { type FilePiece, type Message, PIECE } from './messages.js';

export interface ReceiverOptions {
  /** Where the bundle is kept while it is needed. */
  readonly path: string;
  /** Why this bundle is not wanted, a sentence; null: it is. */
  readonly refuse: (offer: {
    readonly head: Buffer;
    readonly size: number;
    readonly allowOlder: boolean;
  }) => Promise<string | null>;
  /** All of it is here. Resolves when the file is not needed any more. */
  readonly start: (start: {
    readonly allowOlder: boolean;
    readonly author: string;
  }) => Promise<void>;
  readonly send: (message: Message) => void;
}

interface Offer {
  readonly id: number;
  readonly size: number;
  readonly file: FileHandle;
  done: number;
}

export class Receiver {
  readonly #options: ReceiverOptions;
  #offer: Offer | null = null;
  /** Messages are handled one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  /** `head`, of the file, comes with the offer and again with the first piece. */
  offer(offer: Extract<Message, { type: 'offer' }>): Promise<void> {
    return this.#next(offer.id, async () => {
      const { id, size, allowOlder } = offer;
      await this.#forget();
      const head = Buffer.from(offer.head, 'base64');
      const reason = await this.#options.refuse({ head, size, allowOlder });
      if (reason !== null) {
        this.#options.send({ type: 'refuse', id, reason });
        return;
      }
      const file = await open(this.#options.path, 'w', 0o600);
      this.#offer = { id, size, file, done: 0 };
      this.#options.send({ type: 'want', id, from: 0 });
    });
  }

  piece({ id, from, octets }: FilePiece): Promise<void> {
    return this.#next(id, async () => {
      const offer = this.#offer;
      // Of an offer from before, or one that came twice.
      if (offer?.id !== id || from !== offer.done) return;
      if (octets.length !== Math.min(PIECE, offer.size - from)) {
        throw new Error('a piece of another length than was wanted');
      }
      for (let done = 0; done < octets.length;) {
        const { bytesWritten } = await offer.file.write(octets, done, octets.length - done);
        done += bytesWritten;
      }
      offer.done += octets.length;
      const have = offer.done === offer.size;
      if (have) await offer.file.sync();
      this.#options.send(have ? { type: 'have', id } : { type: 'want', id, from: offer.done });
    });
  }

  start({ id, allowOlder, author }: Extract<Message, { type: 'start' }>): Promise<void> {
    return this.#next(id, async () => {
      if (this.#offer?.id !== id || this.#offer.done !== this.#offer.size) {
        throw new Error('the bundle is not here, or not all of it');
      }
      try {
        await this.#options.start({ allowOlder, author });
      } finally {
        await this.#forget();
      }
    });
  }

  /** The session is over. */
  end(): Promise<void> {
    return this.#next(null, () => this.#forget());
  }

  #next(id: number | null, work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work).catch(async (error: unknown) => {
      await this.#forget();
      const reason = error instanceof Error ? error.message : String(error);
      if (id !== null) this.#options.send({ type: 'refuse', id, reason: reason.slice(0, 2000) });
    });
    this.#turn = done;
    return done;
  }

  async #forget(): Promise<void> {
    const offer = this.#offer;
    this.#offer = null;
    await offer?.file.close();
    await rm(this.#options.path, { force: true });
  }
}
