/** A client that asks each millisecond, and what answers it, in network namespaces (probe-process.ts). */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { REALTIME_NODE_OPTIONS } from '../../appliance/ha/vrrp/speaker/wishes.js';
import type { FromProbe, Gap, ToProbe } from './probe-process.js';

export type { Gap };
/** Where it runs, and on which CPU; null: on any. */
export interface Place {
  readonly namespace: string;
  readonly cpu: number | null;
}

function start(script: string, words: readonly string[], { namespace, cpu }: Place): ChildProcess {
  const path = fileURLToPath(new URL(`./${script}.js`, import.meta.url));
  const pinned = cpu === null ? [] : ['taskset', '-c', String(cpu)];
  // With helper threads of V8 it would spin for them on its one CPU, and nobody else there would run.
  const node = [process.execPath, ...REALTIME_NODE_OPTIONS];
  const command = [`--net=/run/netns/${namespace}`, ...pinned, ...node];
  return fork(path, words, { execPath: '/usr/bin/nsenter', execArgv: command });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Resolves with the first word of a child, or fails if it ends before. */
async function firstWord(child: ChildProcess): Promise<void> {
  await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`it ended with ${String(code)} before it was ready`);
    }),
  ]);
}

export class Echo {
  private constructor(readonly child: ChildProcess) {}

  static async start(port: number, addresses: readonly string[], place: Place): Promise<Echo> {
    const echo = new Echo(start('echo-process', [String(port), ...addresses], place));
    await firstWord(echo.child);
    return echo;
  }

  end(): Promise<void> {
    return ended(this.child);
  }
}

export class Probe {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(port: number, addresses: readonly string[], place: Place): Promise<Probe> {
    const child = start('probe-process', [String(port), ...addresses], place);
    await firstWord(child);
    return new Probe(child);
  }

  /** Forgets what was before. */
  async mark(): Promise<void> {
    await this.#ask({ kind: 'mark' });
  }

  /** Of each address, the times without an answer since the mark. */
  async gaps(): Promise<readonly (readonly Gap[])[]> {
    const answer = await this.#ask({ kind: 'gaps' });
    if (answer.kind !== 'gaps') throw new Error(`the probe said ${answer.kind}`);
    return answer.gaps;
  }

  async #ask(message: ToProbe): Promise<FromProbe> {
    const answer = once(this.#child, 'message') as Promise<[FromProbe]>;
    this.#child.send(message);
    return (await answer)[0];
  }

  end(): Promise<void> {
    return ended(this.#child);
  }
}
