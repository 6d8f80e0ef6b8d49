/**
 * The parent as its speaker sees it: a channel, and when that breaks, another parent that adopts
 * the speaker by a file which says where the end of a second channel lies ready (adoption.ts).
 *
 * Invariants:
 * - Who speaks on the channel that lies ready is the parent from then on, whoever was it before.
 * - Without a parent the speaker goes on for ORPHAN_MS, and not at all where nobody could adopt it.
 */
import { rmSync } from 'node:fs';
import { close as closeDescriptor, SystemError } from '../../../../native/ffi/libc.js';
import { packetPair, receivePacket, sendPacket } from '../../../../native/ffi/packet-channel.js';
import type { Poller } from '../../../../native/ffi/poller.js';
import { writeSpeakerState } from './adoption.js';
import { parseToSpeaker, type SaidBySpeaker } from './messages.js';

/** What a unit's daemon may take to come back, be it after an upgrade. */
export const ORPHAN_MS = 30_000;

export type Told = ReturnType<typeof parseToSpeaker>;

export class Parent {
  readonly #poller: Poller;
  readonly #stateFile: string | null;
  readonly #onMessage: (message: Told, beside: readonly number[]) => void;
  readonly #onGone: (why: string) => void;
  #channel: number;
  /** Both ends of the channel that lies ready. */
  #ready: readonly [number, number] | null = null;
  #orphan: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: {
    readonly poller: Poller;
    readonly channel: number;
    readonly stateFile: string | null;
    /** `beside`: descriptors, which it closes. */
    readonly onMessage: (message: Told, beside: readonly number[]) => void;
    /** Nobody is there any more, and nobody comes. */
    readonly onGone: (why: string) => void;
  }) {
    this.#poller = options.poller;
    this.#channel = options.channel;
    this.#stateFile = options.stateFile;
    this.#onMessage = options.onMessage;
    this.#onGone = options.onGone;
  }

  /** From now on messages come. Throws SystemError, and what writing the file throws. */
  listen(): void {
    this.#poller.add(this.#channel, () => this.#read());
    this.#prepare();
  }

  tell(message: SaidBySpeaker): void {
    if (this.#channel < 0) return;
    try {
      // A parent that does not read misses what it could ask for again (`status`).
      sendPacket(this.#channel, Buffer.from(JSON.stringify(message)));
    } catch (error) {
      // It has gone, which the channel tells by itself.
      if (!(error instanceof SystemError)) throw error;
    }
  }

  /** Nobody can adopt it any more. The channel stays, so that the last words arrive. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#orphan !== null) clearTimeout(this.#orphan);
    if (this.#stateFile !== null) rmSync(this.#stateFile, { force: true });
    if (this.#channel >= 0) this.#poller.remove(this.#channel);
    if (this.#ready !== null) this.#poller.remove(this.#ready[0]);
  }

  #prepare(): void {
    if (this.#stateFile === null) return;
    const [ours, theirs] = (this.#ready = packetPair());
    this.#poller.add(ours, () => this.#adopted());
    writeSpeakerState(this.#stateFile, theirs);
  }

  #adopted(): void {
    if (this.#ready === null) return;
    const [ours, theirs] = this.#ready;
    this.#leave();
    // So that the end of the new parent is told too.
    closeDescriptor(theirs);
    if (this.#orphan !== null) clearTimeout(this.#orphan);
    this.#orphan = null;
    this.#poller.remove(ours);
    this.#channel = ours;
    this.#poller.add(ours, () => this.#read());
    this.#prepare();
    this.#read();
  }

  #leave(): void {
    if (this.#channel < 0) return;
    this.#poller.remove(this.#channel);
    closeDescriptor(this.#channel);
    this.#channel = -1;
  }

  #read(): void {
    for (;;) {
      if (this.#closed || this.#channel < 0) return;
      const packet = receivePacket(this.#channel);
      if (packet === null) return;
      if (packet === 'ended') {
        this.#leave();
        if (this.#stateFile === null) this.#onGone('its parent has gone');
        else {
          this.#orphan = setTimeout(
            () => this.#onGone(`its parent has gone, and no other came in ${ORPHAN_MS / 1000} s`),
            ORPHAN_MS,
          );
        }
        return;
      }
      this.#onMessage(parseToSpeaker(packet.data), packet.descriptors);
    }
  }
}
