/**
 * One worker process, as the daemon sees it: started, told what to do, listened to, ended.
 *
 * Invariant: `onExit` is called once, when the process is gone, whatever ended it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { close, SystemError } from '../../../native/ffi/libc.js';
import { packetPair, receivePacket, sendPacket } from '../../../native/ffi/packet-channel.js';
import type { Poller } from '../../../native/ffi/poller.js';
import { compiled } from '../../paths.js';
import type { FromWorker, ToWorker } from '../worker/messages.js';

export interface WorkerProcessOptions {
  readonly poller: Poller;
  readonly onMessage: (message: FromWorker) => void;
  /** A line that the process wrote. */
  readonly onOutput: (line: string) => void;
  readonly onExit: (how: string) => void;
}

const entry = compiled('appliance/l7/worker/main.js');
/** Of the Node of a worker. The secure heap is for private keys, some 500 bytes to 2 KiB each: locked, and in no core file. */
export const NODE_OPTIONS: readonly string[] = [
  '--max-semi-space-size=8',
  `--secure-heap=${4 << 20}`,
  '--secure-heap-min=16',
];
/** Longest line that is passed on. */
const LINE = 4096;

export class WorkerProcess {
  readonly #options: WorkerProcessOptions;
  readonly #child: ChildProcess;
  #channel: number;
  /** It has said that it is loaded. */
  loaded = false;
  exited = false;

  /** Throws SystemError when there are no descriptors for it. */
  constructor(options: WorkerProcessOptions) {
    this.#options = options;
    const [ours, theirs] = packetPair();
    this.#channel = ours;
    let child: ChildProcess | undefined;
    try {
      child = spawn(process.execPath, [...NODE_OPTIONS, entry], {
        stdio: ['ignore', 'pipe', 'pipe', theirs],
        // A worker must not be ended with its daemon by a signal to the group.
        detached: true,
      });
      const { pid } = child;
      child.on('error', (error) => {
        // Also of a signal that could not be sent; then it lives.
        if (pid === undefined) this.#gone(`cannot be started: ${error.message}`);
      });
      options.poller.add(ours, () => {
        this.#read();
      });
    } catch (error) {
      child?.kill('SIGKILL');
      close(ours);
      throw error;
    } finally {
      close(theirs);
    }
    this.#child = child;
    for (const stream of this.#streams) {
      stream.setEncoding('utf8');
      // A pipe that breaks has nothing more to tell; the end of the process is told by itself.
      stream.on('error', () => undefined);
      stream.on('data', (text: string) => {
        for (const line of text.split('\n')) {
          if (line !== '') options.onOutput(line.slice(0, LINE));
        }
      });
    }
    this.#child.once('exit', (code, signal) => {
      this.#gone(signal === null ? `ended with status ${code ?? 0}` : `was ended by ${signal}`);
    });
    this.#child.unref();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get #streams(): Readable[] {
    return [this.#child.stdout, this.#child.stderr].filter((stream) => stream !== null);
  }

  /** Tells it something. A process that does not listen any more is ended: it would be replaced. */
  send(message: ToWorker, descriptors: readonly number[] = []): void {
    if (this.#channel < 0) return;
    try {
      if (sendPacket(this.#channel, Buffer.from(JSON.stringify(message)), descriptors)) return;
      this.#options.onOutput('does not listen to the daemon');
    } catch (error) {
      // It has just ended, which is told by itself.
      if (error instanceof SystemError && error.code === 'EPIPE') return;
      this.#options.onOutput(`cannot be told anything: ${String(error)}`);
    }
    this.kill();
  }

  drain(limit: number): void {
    this.send({ kind: 'drain', limit });
  }

  kill(): void {
    if (!this.exited) this.#child.kill('SIGKILL');
  }

  /** Forgets the process, which serves on by itself. */
  release(): void {
    if (this.exited) return;
    this.exited = true;
    this.#closeChannel();
    this.#child.removeAllListeners('exit');
    for (const stream of this.#streams) stream.destroy();
  }

  /** A worker has no rights: what it says is looked at, and nonsense is its end, not the daemon's. */
  #read(): void {
    for (;;) {
      if (this.#channel < 0) return;
      let message: FromWorker;
      try {
        const packet = receivePacket(this.#channel);
        if (packet === null) return;
        if (packet === 'ended') {
          this.#closeChannel();
          return;
        }
        for (const fd of packet.descriptors) close(fd);
        const said: unknown = JSON.parse(packet.data.toString());
        if (!isMessage(said)) throw new TypeError('a message without a kind');
        message = said;
      } catch (error) {
        this.#options.onOutput(`cannot be understood: ${String(error)}`);
        this.#closeChannel();
        this.kill();
        return;
      }
      if (message.kind === 'loaded') this.loaded = true;
      this.#options.onMessage(message);
    }
  }

  #closeChannel(): void {
    if (this.#channel < 0) return;
    this.#options.poller.remove(this.#channel);
    close(this.#channel);
    this.#channel = -1;
  }

  #gone(how: string): void {
    if (this.exited) return;
    // What it said last may still be in the channel.
    this.#read();
    this.exited = true;
    this.#closeChannel();
    this.#options.onExit(how);
  }
}

function isMessage(said: unknown): said is FromWorker {
  return typeof said === 'object' && said !== null && 'kind' in said;
}
