/**
 * The speaker process as its parent sees it: started or adopted, told what to do, listened to,
 * ended or left to the next parent.
 *
 * Invariants:
 * - `onExit` is called once, when the process is gone and no address of it is left on the unit,
 *   whatever ended it. After release() it is not called.
 * - One that stands still is ended: other units take its addresses over, so they must not stay here.
 *   Its guard (guard.ts) does so first; this is for when the guard cannot.
 */
import { close, SystemError } from '../../../../native/ffi/libc.js';
import {
  packetPair,
  receivePacket,
  sealedCopy,
  sendPacket,
} from '../../../../native/ffi/packet-channel.js';
import { openProcess, signalProcess } from '../../../../native/ffi/pidfd.js';
import type { Poller } from '../../../../native/ffi/poller.js';
import { removeHeldAddresses } from './addresses.js';
import { findSpeaker, forgetSpeaker } from './adoption.js';
import type {
  FromSpeaker,
  GroupText,
  PathsText,
  SaidBySpeaker,
  SettingsText,
  ToSpeaker,
} from './messages.js';
import { leftProcess, startedProcess, type ProcessHandle } from './process-handle.js';

export interface SpeakerProcessOptions {
  readonly poller: Poller;
  /** Milliseconds without an answer after which it is ended. Left out: what its longest interval allows. */
  readonly patience?: number;
  /**
   * A file in the run directory, by which another parent finds it (adoption.ts). Without it the
   * speaker ends with its parent.
   */
  readonly stateFile?: string;
  /** Of the fast path, for Elsewhere.follow(): a descriptor of the caller's. */
  readonly elsewhere?: number;
  readonly onMessage: (message: FromSpeaker) => void;
  /** A line that the process wrote. */
  readonly onOutput: (line: string) => void;
  /** `left`: addresses that had to be taken off after it. */
  readonly onExit: (how: string, left: number) => void;
}

/**
 * Between two questions whether it is alive. The usual patience is above what garbage or a busy
 * machine cost, and above three intervals: to end one that is well costs the addresses for a moment.
 */
const ASK_MS = 250;
const PATIENCE_MS = 2000;
const SIGKILL = 9;

export class SpeakerProcess {
  readonly #options: SpeakerProcessOptions;
  readonly #process: ProcessHandle;
  #channel: number;
  #exited = false;
  /** The guard's pidfd, so that one that stands still is not there when the next speaker begins. */
  #guard = -1;
  #watch: NodeJS.Timeout | null = null;
  /** When it last said something, and when that was last looked at. */
  #heardAt = 0;
  #lookedAt = 0;
  /** Interval of its virtual routers, in milliseconds. */
  #longest = 0;

  /** Starts one. Throws SystemError when there are no descriptors for it. */
  constructor(options: SpeakerProcessOptions);
  constructor(options: SpeakerProcessOptions, left: { process: ProcessHandle; channel: number });
  constructor(
    options: SpeakerProcessOptions,
    left?: { readonly process: ProcessHandle; readonly channel: number },
  ) {
    this.#options = options;
    if (left !== undefined) ({ process: this.#process, channel: this.#channel } = left);
    else {
      const [ours, theirs] = packetPair();
      this.#channel = ours;
      try {
        this.#process = startedProcess(theirs, options);
      } catch (error) {
        close(ours);
        throw error;
      } finally {
        close(theirs);
      }
    }
    this.#process.onGone((how) => this.#gone(how));
    options.poller.add(this.#channel, () => this.#read());
  }

  /**
   * The speaker that an earlier parent left (`stateFile`), which goes on holding what it holds; it
   * says `loaded`, and what it is, as a new one would. Null: there is none, or it was of another
   * build and has given everything up in order; then start one. Throws SystemError.
   */
  static async adopt(
    options: SpeakerProcessOptions & { readonly stateFile: string },
  ): Promise<SpeakerProcess | null> {
    const left = findSpeaker(options.stateFile);
    if (left === null) {
      forgetSpeaker(options.stateFile);
      return null;
    }
    const { pid, pidfd, channel, sameBuild } = left;
    const process = leftProcess(pid, pidfd, options.poller);
    if (sameBuild) {
      const adopted = new SpeakerProcess(options, { process, channel });
      adopted.#beginToWatch();
      adopted.#send({ kind: 'adopt' });
      return adopted;
    }
    const { poller, stateFile, onOutput } = options;
    onOutput(`process ${pid} is of another build: it gives everything up`);
    await new Promise<void>((resolve) => {
      const other = new SpeakerProcess(
        { poller, stateFile, onOutput, onMessage: () => undefined, onExit: () => resolve() },
        { process, channel },
      );
      other.#beginToWatch();
      other.stop();
    });
    return null;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** These groups, and these paths to the other unit, from now on, and no others. It answers `configured` or `refused`. */
  configure(groups: readonly GroupText[], paths: PathsText | null = null): void {
    const text: SettingsText = { groups, paths };
    const intervals = groups.flatMap(({ routers }) => routers.map(({ interval }) => interval));
    this.#longest = Math.max(0, ...intervals);
    const settings = sealedCopy('vrrp-settings', Buffer.from(JSON.stringify(text)));
    try {
      const { elsewhere } = this.#options;
      this.#send({ kind: 'configure' }, [
        settings,
        ...(elsewhere === undefined ? [] : [elsewhere]),
      ]);
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

  /**
   * Leaves it: it goes on, for as long as it does without a parent, for another one to adopt it.
   * Without a `stateFile` it ends. Nothing more is heard of it here.
   */
  release(): void {
    if (this.#exited) return;
    this.#exited = true;
    this.#forget();
    this.#process.leave();
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
    if (!this.#exited) this.#process.kill();
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
      const message = JSON.parse(packet.data.toString()) as SaidBySpeaker;
      this.#heardAt = performance.now();
      if (message.kind === 'loaded' && this.#watch === null) this.#beginToWatch();
      if (message.kind === 'guard') this.#guardedBy(message.pid);
      else if (message.kind !== 'alive') this.#options.onMessage(message);
    }
  }

  #guardedBy(pid: number | null): void {
    if (this.#guard >= 0) close(this.#guard);
    this.#guard = (pid === null ? null : openProcess(pid)) ?? -1;
  }

  #beginToWatch(): void {
    this.#lookedAt = this.#heardAt = performance.now();
    this.#watch = setInterval(() => this.#look(), ASK_MS).unref();
  }

  #look(): void {
    const now = performance.now();
    const late = now - this.#lookedAt > 2 * ASK_MS;
    this.#lookedAt = now;
    // Who was held up itself asks anew; and what was said meanwhile is read before it is missed.
    if (late) this.#heardAt = now;
    this.#read();
    const patience = this.#options.patience ?? Math.max(PATIENCE_MS, 3 * this.#longest);
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

  #forget(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#closeChannel();
    this.#guardedBy(null);
  }

  #gone(how: string): void {
    if (this.#exited) return;
    // What it said last may still be in the channel.
    this.#read();
    this.#exited = true;
    const { stateFile, onExit } = this.#options;
    if (stateFile !== undefined) forgetSpeaker(stateFile);
    removeHeldAddresses()
      .then(
        (left) => [how, left] as const,
        (error: unknown) =>
          [`${how}, and its addresses are still there: ${String(error)}`, 0] as const,
      )
      .then(([said, left]) => {
        if (this.#guard >= 0) signalProcess(this.#guard, SIGKILL);
        this.#forget();
        onExit(said, left);
      })
      .catch((error: unknown) => onExit(`${how}: ${String(error)}`, 0));
  }
}
