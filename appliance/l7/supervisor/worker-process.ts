/**
 * One worker process, as the daemon sees it: started, told what to do, listened to, ended.
 *
 * Invariant: `onExit` is called once, when the process is gone, whatever ended it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { close } from '../../../native/ffi/libc.js';
import { packetPair, receivePacket, sendPacket } from '../../../native/ffi/packet-channel.js';
import type { Poller } from '../../../native/ffi/poller.js';
import type { FromWorker, ToWorker } from '../worker/messages.js';

export interface WorkerProcessOptions {
  readonly poller: Poller;
  readonly onMessage: (message: FromWorker) => void;
  /** A line that the process wrote. */
  readonly onOutput: (line: string) => void;
  readonly onExit: (how: string) => void;
}

const entry = join(import.meta.dirname, '..', 'worker', 'main.js');
/** Longest line that is passed on. */
const LINE = 4096;

export class WorkerProcess {
  readonly #options: WorkerProcessOptions;
  readonly #child: ChildProcess;
  #channel: number;
  /** It has said that it is loaded. */
  loaded = false;
  exited = false;

  constructor(options: WorkerProcessOptions) {
    this.#options = options;
    const [ours, theirs] = packetPair();
    this.#channel = ours;
    try {
      this.#child = spawn(process.execPath, ['--max-semi-space-size=8', entry], {
        stdio: ['ignore', 'pipe', 'pipe', theirs],
        // A worker must not be ended with its daemon by a signal to the group.
        detached: true,
      });
    } finally {
      close(theirs);
    }
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text: string) => {
        for (const line of text.split('\n')) {
          if (line !== '') options.onOutput(line.slice(0, LINE));
        }
      });
    }
    options.poller.add(ours, () => {
      this.#read();
    });
    this.#child.once('error', (error) => {
      this.#gone(`cannot be started: ${error.message}`);
    });
    this.#child.once('exit', (code, signal) => {
      this.#gone(signal === null ? `ended with status ${code ?? 0}` : `was ended by ${signal}`);
    });
    this.#child.unref();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Tells it something. A process that does not listen any more is ended: it would be replaced. */
  send(message: ToWorker, descriptors: readonly number[] = []): void {
    if (this.#channel < 0) return;
    try {
      if (sendPacket(this.#channel, Buffer.from(JSON.stringify(message)), descriptors)) return;
      this.#options.onOutput('does not listen to the daemon');
    } catch (error) {
      this.#options.onOutput(`cannot be told anything: ${String(error)}`);
    }
    this.kill();
  }

  kill(): void {
    if (!this.exited) this.#child.kill('SIGKILL');
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
      const message = JSON.parse(packet.data.toString()) as FromWorker;
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
