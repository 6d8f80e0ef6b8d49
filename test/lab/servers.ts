/**
 * The members as the lab sees them: start, kill and revive their servers, and watch on
 * the wire what still reaches them.
 *
 * Invariant: `kill` is SIGKILL, with no chance for a member to say goodbye.
 */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ended, first, start } from './commands.js';
import type { ServerSettings } from './server-process.js';
import { addressOf, memberNames, type MemberName, type Topology } from './topology.js';

const program = fileURLToPath(new URL('./server-process.js', import.meta.url));

/** Resolves when the child prints `word`; rejects with what it said when it ends first. */
export function said(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = '';
    const look = (text: Buffer): void => {
      output += text.toString('utf8');
      if (output.includes(word)) resolve();
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      reject(new Error(`it ended (${code ?? signal}) before it said "${word}": ${output.trim()}`));
    });
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

  async revive(name: MemberName): Promise<void> {
    if (this.running.has(name)) return;
    const settings: ServerSettings = {
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

/** One line of tcpdump: seconds, then both ends as ADDRESS.PORT. */
const packetLine = /^([\d.]+) IP6? (\S+ > \S+?): /;

/**
 * A capture in a member's namespace of what clients send there, by tcpdump. Monitors
 * probe from the unit's own address and are not seen.
 */
export class Capture {
  /** Every flow that a packet came of, as `CLIENT.PORT > ADDRESS.PORT`. */
  readonly flows = new Set<string>();
  private readonly times: number[] = [];
  private errors = '';

  private constructor(private readonly child: ChildProcess) {
    child.stderr?.on('data', (text: Buffer) => (this.errors += text.toString('utf8')));
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, seconds, flow] = packetLine.exec(line) ?? [];
      if (seconds === undefined || flow === undefined) return;
      this.times.push(Number(seconds) * 1000);
      this.flows.add(flow);
    });
  }

  static async start(topology: Topology, member: MemberName): Promise<Capture> {
    const filter = `inbound and (src host ${addressOf('client', 4, 'outside')} or src host ${addressOf('client', 6, 'outside')})`;
    const child = start(topology.namespace(member), [
      ...['tcpdump', '--immediate-mode', '-l', '-q', '-n', '-tt', '-i', 'eth0', '-s', '96'],
      ...['-B', '16384', '-Z', 'root', filter],
    ]);
    const capture = new Capture(child);
    await said(child, 'listening on');
    return capture;
  }

  /** When the last packet from a client came, in epoch milliseconds, and how many came since. */
  lastPacket(since: number): { time: number | null; packets: number } {
    const after = this.times.filter((time) => time >= since);
    return { time: after.at(-1) ?? null, packets: after.length };
  }

  /** Ends the capture. Returns how many packets it missed. */
  async stop(): Promise<number> {
    this.child.kill('SIGINT');
    await ended(this.child);
    return Number(/(\d+) packets? dropped by kernel/.exec(this.errors)?.[1] ?? 0);
  }
}
