/**
 * The members as the lab sees them: start, kill and revive their servers.
 *
 * Invariant: `kill` is SIGKILL, with no chance for a member to say goodbye.
 */
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ended, first, start } from './commands.js';
import type { ServerSettings } from './server-process.js';
import { addressOf, memberNames, type MemberName, type Topology } from './topology.js';

const program = fileURLToPath(new URL('./server-process.js', import.meta.url));

/** Resolves when the child prints `word`; rejects with what it said when it ends first. */
export function said(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = '';
    const settle = (error: Error | null): void => {
      child.stdout?.removeListener('data', look);
      child.stderr?.removeListener('data', look);
      child.removeListener('error', settle);
      child.removeListener('close', onClose);
      if (error === null) resolve();
      else reject(error);
    };
    const look = (text: Buffer): void => {
      output += text.toString('utf8');
      if (output.includes(word)) settle(null);
    };
    const onClose = (code: number | null, signal: string | null): void => {
      const end = `it ended (${code ?? signal}) before it said "${word}": ${output.trim()}`;
      settle(new Error(end));
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('error', settle);
    child.once('close', onClose);
  });
}

export class Members {
  private readonly running = new Map<MemberName, ChildProcess>();

  private constructor(
    private readonly topology: Topology,
    private readonly directAddresses: readonly string[],
  ) {}

  static async start(topology: Topology, directAddresses: readonly string[]): Promise<Members> {
    const members = new Members(topology, directAddresses);
    await Promise.all(memberNames.map((name) => members.revive(name)));
    return members;
  }

  isRunning(name: MemberName): boolean {
    return this.running.has(name);
  }

  /** Ends the member's servers at once; resolves when they are gone. Returns when it died. */
  async kill(name: MemberName): Promise<number> {
    const child = this.running.get(name);
    const died = Date.now();
    if (child === undefined) return died;
    this.running.delete(name);
    child.kill('SIGKILL');
    await ended(child);
    return died;
  }

  /** Who is killed from elsewhere comes back after so long, until the result is called. */
  keepRunning(afterMs: number): () => void {
    const timers = new Set<NodeJS.Timeout>();
    let watching = true;
    const watch = (name: MemberName): void => {
      const child = this.running.get(name);
      child?.once('close', () => {
        if (!watching || this.running.get(name) !== child) return;
        this.running.delete(name);
        const timer = setTimeout(() => {
          timers.delete(timer);
          void this.revive(name).then(
            () => watch(name),
            (error: Error) => {
              // The lab is ending, and its namespaces with it.
              if (watching) throw error;
            },
          );
        }, afterMs);
        timers.add(timer);
      });
    };
    for (const name of memberNames) watch(name);
    return () => {
      watching = false;
      for (const timer of timers) clearTimeout(timer);
    };
  }

  async revive(name: MemberName, behaviour: Pick<ServerSettings, 'delay'> = {}): Promise<void> {
    if (this.running.has(name)) return;
    const settings: ServerSettings = {
      ...behaviour,
      name,
      udpAddresses: [addressOf(name, 4), addressOf(name, 6), ...this.directAddresses],
    };
    const child = start(this.topology.namespace(name), [
      ...[...first, process.execPath, program],
      JSON.stringify(settings),
    ]);
    this.running.set(name, child);
    await said(child, 'ready');
  }
}
