/**
 * A unit of the lab: the daemon as a process in the unit's namespace, with state,
 * socket and pins of its own, and the `weir` command against it.
 *
 * Invariant: nothing here reaches into the daemon; the lab sees what a user sees.
 */
import { execFile, type ChildProcess } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MemberRow, Status } from '../../appliance/api/contract.js';
import { Client } from '../../appliance/cli/client.js';
import { ended, first, start } from './commands.js';
import { labPaths, type Topology, type UnitName } from './topology.js';

// Workers outlive a daemon; the lab ends all that is in its namespaces, and this bounds the rest.
process.env['WEIR_L7_LINGER'] ??= '30';

const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
/** How long a daemon may take from its start to its first answer, in milliseconds. */
const startLimit = 60_000;
/** How long workers of layer 7 serve on without their daemon, in seconds: longer than any act. */
const linger = 60;

export interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface LogLine {
  /** Epoch milliseconds. */
  readonly time: number;
  readonly message: string;
}

/** Something did not come about in time. */
export class LateError extends Error {
  readonly code = 'LATE';
  constructor(what: string, limit: number, seen: string) {
    super(`expected within ${limit / 1000} s: ${what}; seen at the end: ${seen}`);
    this.name = 'LateError';
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Asks again and again until `look` says true. It says false, or what it saw, to be asked
 * again. Returns how long it took in milliseconds.
 */
export async function until(
  what: string,
  limit: number,
  look: () => Promise<true | string>,
): Promise<number> {
  const begun = performance.now();
  for (;;) {
    const seen = await look();
    const took = performance.now() - begun;
    if (seen === true) return took;
    if (took > limit) throw new LateError(what, limit, seen);
    await pause(20);
  }
}

export class Unit {
  private daemon: ChildProcess | null = null;
  readonly socket: string;
  readonly files: string;
  private readonly client: Client;
  private log = '';

  constructor(
    private readonly topology: Topology,
    readonly name: UnitName = 'unit-a',
  ) {
    this.files = join(labPaths(process.pid).files, name);
    mkdirSync(this.files, { recursive: true });
    this.socket = join(this.files, 'run', 'weir.sock');
    this.client = new Client(this.socket, 10_000);
  }

  get running(): boolean {
    return this.daemon !== null;
  }

  /** Starts the daemon and waits until it answers. Returns how long that took in milliseconds. */
  async start(): Promise<number> {
    const begun = performance.now();
    const daemon = start(
      this.topology.namespace(this.name),
      [
        ...[...first, process.execPath, program, 'daemon'],
        ...['--state-dir', join(this.files, 'state'), '--run-dir', join(this.files, 'run')],
        ...['--bpf-dir', join(labPaths(process.pid).pins, this.name), '--socket', this.socket],
      ],
      { env: { ...process.env, WEIR_L7_LINGER: String(linger) } },
    );
    this.daemon = daemon;
    const keep = (text: Buffer): void => {
      this.log = (this.log + text.toString('utf8')).slice(-20_000);
      appendFileSync(join(this.files, 'daemon.log'), text);
    };
    daemon.stdout?.on('data', keep);
    daemon.stderr?.on('data', keep);
    daemon.once('close', () => {
      if (this.daemon === daemon) this.daemon = null;
    });
    let last = 'no answer yet';
    await until('the daemon answers', startLimit, async () => {
      if (this.daemon === null)
        throw new Error(`the daemon ended as it started: ${this.logTail()}`);
      try {
        await this.status();
        return true;
      } catch (error) {
        last = (error as Error).message;
        return `${last}; it said: ${this.logTail()}`;
      }
    });
    return performance.now() - begun;
  }

  /** What the daemon logged since then (epoch milliseconds), oldest first. */
  logSince(time: number): LogLine[] {
    return readFileSync(join(this.files, 'daemon.log'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { readonly time: number; readonly msg: string })
      .filter((line) => line.time >= time)
      .map((line) => ({ time: line.time, message: line.msg }));
  }

  logTail(): string {
    return this.log.trim().split('\n').slice(-12).join('\n') || 'nothing';
  }

  /** Ends the daemon; traffic must not notice. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const daemon = this.daemon;
    if (daemon === null) return;
    daemon.kill(signal);
    await ended(daemon);
    this.daemon = null;
  }

  /** Runs a `weir` command as a user would; its exit status is the caller's to judge. */
  weir(...args: string[]): Promise<Answer> {
    return this.typed('', ...args);
  }

  /** With this on its standard input. */
  typed(input: string, ...args: string[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        process.execPath,
        [program, '--socket', this.socket, ...args],
        { encoding: 'utf8', timeout: 30_000, maxBuffer: 16 << 20 },
        (error, stdout, stderr) => {
          if (error === null) resolve({ status: 0, stdout, stderr });
          else if (typeof error.code === 'number') resolve({ status: error.code, stdout, stderr });
          else reject(new Error(`weir ${args.join(' ')} did not end by itself`, { cause: error }));
        },
      );
      // A command that does not read its input may be gone before all of it is written.
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
    });
  }

  /** Runs a `weir` command that must succeed; returns what it printed. */
  async must(...args: string[]): Promise<string> {
    const answer = await this.weir(...args);
    if (answer.status !== 0) {
      throw new Error(
        `expected "weir ${args.join(' ')}" to succeed; status ${answer.status}: ${(answer.stderr + answer.stdout).trim()}`,
      );
    }
    return answer.stdout;
  }

  /** What the API answers at a path such as `/v1/members`. */
  get<T>(path: string): Promise<T> {
    return this.client.json<T>({ path });
  }

  status(): Promise<Status> {
    return this.get<Status>('/v1/status');
  }

  members(): Promise<MemberRow[]> {
    return this.get<MemberRow[]>('/v1/members');
  }

  async revision(): Promise<number> {
    const { revision } = await this.status();
    if (revision === null) throw new Error('expected a revision, but nothing was applied yet');
    return revision;
  }

  /** Waits until every row of these addresses is in one of `states`. */
  untilMembers(
    addresses: readonly string[],
    states: readonly MemberRow['state'][],
    limit = 15_000,
  ): Promise<number> {
    return until(`${addresses.join(', ')} ${states.join(' or ')}`, limit, async () => {
      const rows = (await this.members()).filter((row) => addresses.includes(row.address));
      const wrong = rows.filter((row) => !states.includes(row.state));
      if (rows.length > 0 && wrong.length === 0) return true;
      const seen = wrong.map((row) => `${row.pool}/${row.member} ${row.state} (${row.reason})`);
      return rows.length === 0 ? 'no such member' : seen.join(', ');
    });
  }
}
