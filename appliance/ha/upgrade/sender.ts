/**
 * Has the other unit upgraded: sends it a bundle, starts it, and follows it over its reboot until its
 * slot is good.
 *
 * Invariant: `run` ends: when the other unit is good, when it refuses, fails or falls back, or when it
 * said nothing for longer than an upgrade may take.
 */
import type { FileHandle } from 'node:fs/promises';
import { encodePiece, type Message, type PeerState, PIECE } from './messages.js';

export interface SenderOptions {
  readonly send: (message: Message) => Promise<void>;
  readonly sendPiece: (body: Buffer) => Promise<void>;
  /** What is happening, a clause. */
  readonly onProgress: (what: string, progress: PeerState['progress']) => void;
  /** How long it may say nothing, milliseconds. */
  readonly silenceMs?: number;
}

export interface SentBundle {
  readonly file: FileHandle;
  readonly size: number;
  readonly head: Buffer;
  readonly version: string;
  readonly allowOlder: boolean;
  readonly author: string;
}

/** It boots for minutes, and may fall back by its watchdog. */
const SILENCE_MS = 15 * 60_000;

export class SenderError extends Error {
  override readonly name = 'SenderError';
}

export class Sender {
  readonly #options: SenderOptions;
  readonly #bundle: SentBundle;
  readonly #id = Math.floor(Math.random() * 0xffff_ffff);
  /** Of its upgrade before this one; undefined: not heard yet. */
  #former: number | null | undefined = undefined;
  #started = false;
  #silence: NodeJS.Timeout | null = null;
  #end: ((error: Error | null) => void) | null = null;

  constructor(bundle: SentBundle, options: SenderOptions) {
    this.#bundle = bundle;
    this.#options = options;
  }

  /** @throws SenderError */
  async run(): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        this.#end = (error) => {
          if (error === null) resolve();
          else reject(error);
        };
        this.#alive();
        this.#say({ type: 'ask' });
      });
    } finally {
      this.#end = null;
      if (this.#silence !== null) clearTimeout(this.#silence);
    }
  }

  /** A new run of the other daemon is heard. */
  together(): void {
    if (this.#end === null) return;
    // Before the start nothing of it is left there.
    if (!this.#started && this.#former !== undefined) {
      this.#fail('The other unit began anew while it received the bundle: repeat the upgrade.');
    } else this.#say({ type: 'ask' });
  }

  hear(message: Message): void {
    if (this.#end === null) return;
    if (message.type === 'state') {
      this.#alive();
      this.#state(message);
      return;
    }
    if (!('id' in message) || message.id !== this.#id) return;
    this.#alive();
    if (message.type === 'refuse') this.#fail(`The other unit refuses: ${message.reason}`);
    if (message.type === 'want') void this.#give(message.from);
    if (message.type === 'have') {
      const { allowOlder, author } = this.#bundle;
      this.#started = true;
      this.#say({ type: 'start', id: this.#id, allowOlder, author });
    }
  }

  abort(reason: string): void {
    this.#fail(reason);
  }

  #state({ version, phase, progress, problem, last }: PeerState): void {
    if (this.#former === undefined) {
      this.#former = last?.began ?? null;
      const { head, size, allowOlder } = this.#bundle;
      const offer = { id: this.#id, size, head: head.toString('base64'), allowOlder };
      this.#say({ type: 'offer', ...offer });
      return;
    }
    if (!this.#started) return;
    if (last === null || last.began === this.#former) {
      if (problem !== null && phase === 'idle') this.#fail(`The other unit: ${problem}`);
      else this.#options.onProgress(`it is ${phase}`, progress);
      return;
    }
    if (last.stage === 'good' && version === this.#bundle.version) this.#end?.(null);
    else if (last.stage === 'failed' || last.stage === 'fallen-back') {
      const how = last.stage === 'failed' ? 'could not be upgraded' : 'fell back';
      this.#fail(`The other unit ${how}: ${last.reason ?? 'it does not say why'}.`);
    } else this.#options.onProgress(`it is ${phase}`, progress);
  }

  async #give(from: number): Promise<void> {
    const { file, size } = this.#bundle;
    try {
      if (from >= size) throw new Error('it wants more than there is');
      const octets = Buffer.alloc(Math.min(PIECE, size - from));
      let done = 0;
      while (done < octets.length) {
        const { bytesRead } = await file.read(octets, done, octets.length - done, from + done);
        if (bytesRead === 0) throw new Error('the bundle became shorter');
        done += bytesRead;
      }
      await this.#options.sendPiece(encodePiece({ id: this.#id, from, octets }));
      this.#options.onProgress('it receives the bundle', { done: from + done, total: size });
    } catch (error) {
      this.#lost(error);
    }
  }

  #say(message: Message): void {
    this.#options.send(message).catch((error: unknown) => {
      // Its daemon ends while it reboots: it is asked anew when it is back.
      if (!this.#started) this.#lost(error);
    });
  }

  #lost(error: unknown): void {
    this.#fail(
      `The bundle does not reach the other unit: ${error instanceof Error ? error.message : String(error)}`,
    );
  }

  #alive(): void {
    if (this.#silence !== null) clearTimeout(this.#silence);
    const { silenceMs = SILENCE_MS } = this.#options;
    this.#silence = setTimeout(() => {
      this.#fail('The other unit has said nothing of its upgrade for too long.');
    }, silenceMs);
  }

  #fail(sentence: string): void {
    this.#end?.(new SenderError(sentence));
  }
}
