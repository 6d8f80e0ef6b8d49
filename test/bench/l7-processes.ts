/**
 * Processes of the layer-7 benchmark: started on their CPUs, ended by their own id.
 *
 * Invariant: what is started here is gone when its stop() has resolved, and nothing outlives this
 * process.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';

/** For a proxy to begin to answer. */
const START_TRIES = 200;
const START_PAUSE = 50;
/** For a process that was told to end. */
const LEAVE = 10_000;

export type Cpus = readonly number[] | null;

/** A command on its CPUs; taskset(1) gives way to it, so the process's id is the command's. */
function placed(command: readonly string[], cpus: Cpus): readonly string[] {
  return cpus === null ? command : ['taskset', '-c', cpus.join(','), ...command];
}

/** A program that serves; its standard error is kept for when it fails. */
export class Program {
  readonly child: ChildProcess;
  readonly #name: string;
  #output = '';

  constructor(name: string, command: readonly string[], cpus: Cpus) {
    // However this process ends, the program does, too.
    const tied = ['setpriv', '--pdeathsig', 'TERM', ...command];
    const [file = '', ...rest] = placed(tied, cpus);
    this.#name = name;
    this.child = spawn(file, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr?.on('data', (piece: Buffer) => (this.#output += piece.toString()));
    this.child.on('error', (error) => (this.#output += error.message));
  }

  /** Resolves with its id when somebody listens at the port. */
  async listening(port: number): Promise<number> {
    for (let tries = 0; tries < START_TRIES; tries += 1) {
      if (this.child.exitCode !== null || this.child.pid === undefined) break;
      if (await answers(port)) return this.child.pid;
      await delay(START_PAUSE);
    }
    await this.stop();
    throw new Error(`${this.#name} does not start: ${this.#output}`);
  }

  async stop(): Promise<void> {
    await end(this.child, 'SIGTERM');
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  const hard = setTimeout(() => child.kill('SIGKILL'), 3000);
  await gone;
  clearTimeout(hard);
}

async function answers(port: number): Promise<boolean> {
  const socket: Socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // not yet
  } finally {
    socket.destroy();
  }
}

/** A port of 127.0.0.1 that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a server has no port');
  server.close();
  await once(server, 'close');
  return address.port;
}

/** A module beside this one in a process of its own, which is spoken to by messages. */
export class Companion {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #name: string;

  constructor(name: string, cpus: Cpus, ...words: readonly string[]) {
    const file = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
    const [command = '', ...rest] = placed([process.execPath, file, ...words], cpus);
    this.#name = name;
    this.#child = spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    if (this.#child.pid === undefined) throw new Error(`${name} could not be started`);
    this.pid = this.#child.pid;
  }

  /** Sends a message, if any, and resolves with the next one that comes. */
  async ask(message: object | null): Promise<unknown> {
    const answer = once(this.#child, 'message');
    const stop = new AbortController();
    const gone = once(this.#child, 'exit', { signal: stop.signal });
    gone.catch(() => undefined);
    if (message !== null) this.#child.send(message);
    try {
      const first = await Promise.race([answer, gone.then(() => null)]);
      if (first === null) throw new Error(`${this.#name} ended: what it said is above`);
      return first[0];
    } finally {
      stop.abort();
    }
  }

  async stop(): Promise<void> {
    await end(this.#child, 'SIGKILL');
  }

  /** Lets it end by itself. */
  async leave(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.disconnect();
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), LEAVE);
    await gone;
    clearTimeout(hard);
  }
}
