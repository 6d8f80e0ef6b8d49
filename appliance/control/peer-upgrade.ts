/** An upgrade of the other unit of the pair, or by it: the session of the pair brought together with both. */
import {
  CHANNEL,
  decode,
  decodePiece,
  encode,
  FILE_CHANNEL,
  type Message,
  type PeerState,
} from '../ha/upgrade/messages.js';
import { Receiver, type ReceiverOptions } from '../ha/upgrade/receiver.js';
import { Sender, type SenderOptions, type SentBundle } from '../ha/upgrade/sender.js';
import type { SessionChannel } from '../ha/pair/session.js';

export interface PeerUpgradeOptions extends Omit<ReceiverOptions, 'send'> {
  readonly state: () => PeerState;
  /** What came is no message, or an answer could not be sent. */
  readonly onError: (error: unknown) => void;
}

export class PeerUpgrade {
  readonly #options: PeerUpgradeOptions;
  readonly #receiver: Receiver;
  #session: SessionChannel | null = null;
  #silence: (() => void)[] = [];
  #sender: Sender | null = null;

  constructor(options: PeerUpgradeOptions) {
    this.#options = options;
    this.#receiver = new Receiver({
      ...options,
      send: (message) => {
        this.#answer(message);
      },
    });
  }

  /** Goes by this session from now on; null: there is no pair. */
  attach(session: SessionChannel | null): void {
    for (const silence of this.#silence.splice(0)) silence();
    this.#session = session;
    void this.#receiver.end();
    if (session === null) {
      this.#sender?.abort('This unit is in no pair any more.');
      return;
    }
    this.#silence = [
      session.on(CHANNEL, (body) => {
        this.#hear(decode(body));
      }),
      session.on(FILE_CHANNEL, (body) => {
        const piece = decodePiece(body);
        if (piece === null) this.#options.onError(new Error('no piece of a bundle'));
        else void this.#receiver.piece(piece);
      }),
    ];
  }

  /** The other unit is heard again. */
  together(): void {
    this.#sender?.together();
    this.told();
  }

  /** Resolves when the other unit has the bundle's version and is well. @throws SenderError */
  async run(
    bundle: SentBundle,
    onProgress: SenderOptions['onProgress'],
    signal: AbortSignal,
  ): Promise<void> {
    const session = this.#session;
    if (session === null || session.links.length === 0) {
      throw new Error('The other unit is not heard, so it cannot be upgraded first.');
    }
    const sender = new Sender(bundle, {
      onProgress,
      send: (message) => this.#send(message),
      sendPiece: (body) => this.#send(body),
    });
    this.#sender = sender;
    const abort = (): void => {
      sender.abort('The daemon ends.');
    };
    signal.addEventListener('abort', abort);
    try {
      await sender.run();
    } finally {
      signal.removeEventListener('abort', abort);
      this.#sender = null;
    }
  }

  /** Something changed that the other unit may be waiting for. */
  told(): void {
    if (this.#session !== null && this.#session.links.length > 0) {
      this.#answer({ type: 'state', ...this.#options.state() });
    }
  }

  /** Whoever upgrades by it has ended before. Resolves when nothing is kept of what came. */
  async close(): Promise<void> {
    for (const silence of this.#silence.splice(0)) silence();
    await this.#receiver.end();
  }

  #hear(message: Message | null): void {
    switch (message?.type) {
      case 'ask':
        this.told();
        break;
      case 'offer':
        void this.#receiver.offer(message);
        break;
      case 'start':
        void this.#receiver.start(message);
        break;
      case 'state':
      case 'want':
      case 'have':
      case 'refuse':
        this.#sender?.hear(message);
        break;
      case undefined:
        this.#options.onError(new Error('no message about upgrades'));
    }
  }

  #answer(message: Message): void {
    this.#send(message).catch((error: unknown) => {
      this.#options.onError(error);
    });
  }

  async #send(message: Message | Buffer): Promise<void> {
    if (this.#session === null) throw new Error('there is no pair');
    if (Buffer.isBuffer(message)) await this.#session.send(FILE_CHANNEL, message);
    else await this.#session.send(CHANNEL, encode(message));
  }
}
