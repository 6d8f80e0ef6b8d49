/**
 * The speaker process as its parent sees it: started, told what to do, listened to, ended.
 *
 * Invariants:
 * - `onExit` is called once, when the process is gone and no address of it is left on the unit,
 *   whatever ended it.
 * - One that stands still is ended: other units take its addresses over, so they must not stay here.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { close, SystemError } from '../../../../native/ffi/libc.js';
import {
  packetPair,
  receivePacket,
  sealedCopy,
  sendPacket,
} from '../../../../native/ffi/packet-channel.js';
import type { Poller } from '../../../../native/ffi/poller.js';
import { removeHeldAddresses } from './addresses.js';
import type { FromSpeaker, GroupText, ToSpeaker } from './messages.js';

export interface SpeakerProcessOptions {
  readonly poller: Poller;
  /** Milliseconds without an answer after which it is ended. */
  readonly patience?: number;
  readonly onMessage: (message: FromSpeaker) => void;
  /** A line that the process wrote. */
  readonly onOutput: (line: string) => void;
  /** `left`: addresses that had to be taken off after it. */
  readonly onExit: (how: string, left: number) => void;
}

const entry = join(import.meta.dirname, 'main.js');
/**
 * A small young generation: what is collected at once is little, so no pause is long. And no thread
 * helps with it: the main thread, in real time, would wait for one that is not.
 */
const NODE_OPTIONS = ['--max-semi-space-size=1', '--single-threaded-gc'];
/**
 * Between two questions whether it is alive. The usual patience is above what garbage or a busy
 * machine cost: to end one that is well costs the addresses for a moment.
 */
const ASK_MS = 250;
const PATIENCE_MS = 2000;
/** Longest line that is passed on. */
const LINE = 4096;

export class SpeakerProcess {
  readonly #options: SpeakerProcessOptions;
  readonly #child: ChildProcess;
  #channel: number;
  #exited = false;
  #watch: NodeJS.Timeout | null = null;
  /** When it last said something, and when that was last looked at. */
  #heardAt = 0;
  #lookedAt = 0;

  /** Throws SystemError when there are no descriptors for it. */
  constructor(options: SpeakerProcessOptions) {
    this.#options = options;
    const [ours, theirs] = packetPair();
    this.#channel = ours;
    try {
      this.#child = spawn(process.execPath, [...NODE_OPTIONS, entry], {
        stdio: ['ignore', 'pipe', 'pipe', theirs],
        // A terminal's signals to the group are for the parent, which ends it in order.
        detached: true,
      });
    } catch (error) {
      close(ours);
      throw error;
    } finally {
      close(theirs);
    }
    const { pid } = this.#child;
    this.#child.on('error', (error) => {
      // Also of a signal that could not be sent; then it lives.
      if (pid === undefined) this.#gone(`cannot be started: ${error.message}`);
    });
    this.#child.once('exit', (code, signal) => {
      this.#gone(signal === null ? `ended with status ${code ?? 0}` : `was ended by ${signal}`);
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8');
      // A pipe that breaks has nothing more to tell; the end of the process is told by itself.
      stream?.on('error', () => undefined);
      stream?.on('data', (text: string) => {
        for (const line of text.split('\n')) {
          if (line !== '') options.onOutput(line.slice(0, LINE));
        }
      });
    }
    options.poller.add(ours, () => this.#read());
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** These groups from now on, and no others. It answers `configured` or `refused`. */
  configure(groups: readonly GroupText[]): void {
    const settings = sealedCopy('vrrp-settings', Buffer.from(JSON.stringify(groups)));
    try {
      this.#send({ kind: 'configure' }, [settings]);
    } finally {
      close(settings);
    }
  }

  track(name: string, well: boolean): void {
    this.#send({ kind: 'track', name, well });
  }

  askStatus(): void {
    this.#send({ kind: 'status' });
  }

  /** Lets it give up everything and end. */
  stop(): void {
    this.#send({ kind: 'stop' });
  }

  /** One that does not listen any more is ended: it would be replaced. */
  #send(message: ToSpeaker, descriptors: readonly number[] = []): void {
    if (this.#channel < 0) return;
    try {
      if (sendPacket(this.#channel, Buffer.from(JSON.stringify(message)), descriptors)) return;
      this.#options.onOutput('does not listen');
    } catch (error) {
      // It has just ended, which is told by itself.
      if (error instanceof SystemError && error.code === 'EPIPE') return;
      throw error;
    }
    this.kill();
  }

  kill(): void {
    if (!this.#exited) this.#child.kill('SIGKILL');
  }

  #read(): void {
    for (;;) {
      if (this.#channel < 0) return;
      const packet = receivePacket(this.#channel);
      if (packet === null) return;
      if (packet === 'ended') {
        this.#closeChannel();
        return;
      }
      for (const fd of packet.descriptors) close(fd);
      // Both are of one build, and the other one has the same rights.
      const message = JSON.parse(packet.data.toString()) as FromSpeaker;
      this.#heardAt = performance.now();
      if (message.kind === 'loaded') this.#beginToWatch();
      if (message.kind !== 'alive') this.#options.onMessage(message);
    }
  }

  #beginToWatch(): void {
    this.#lookedAt = performance.now();
    this.#watch = setInterval(() => this.#look(), ASK_MS).unref();
  }

  #look(): void {
    const now = performance.now();
    const late = now - this.#lookedAt > 2 * ASK_MS;
    this.#lookedAt = now;
    // Who was held up itself asks anew; and what was said meanwhile is read before it is missed.
    if (late) this.#heardAt = now;
    this.#read();
    const patience = this.#options.patience ?? PATIENCE_MS;
    if (now - this.#heardAt > patience) {
      this.#options.onOutput(`did not answer for ${patience} ms`);
      this.kill();
    } else this.#send({ kind: 'ask' });
  }

  #closeChannel(): void {
    if (this.#channel < 0) return;
    this.#options.poller.remove(this.#channel);
    close(this.#channel);
    this.#channel = -1;
  }

  #gone(how: string): void {
    if (this.#exited) return;
    // What it said last may still be in the channel.
    this.#read();
    this.#exited = true;
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#closeChannel();
    removeHeldAddresses().then(
      (left) => this.#options.onExit(how, left),
      (error: unknown) =>
        this.#options.onExit(`${how}, and its addresses are still there: ${String(error)}`, 0),
    );
  }
}
