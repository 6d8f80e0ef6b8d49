/**
 * The external monitor: runs a program of the administrator's; alive when it exits with status 0.
 *
 * Invariants:
 * - No shell ever sees the command; the environment holds nothing of the daemon's.
 * - The program is the leader of a process group of its own (setsid(2)), and when the probe settles
 *   everything in that group has been sent SIGKILL.
 * - Of its output MOST_KEPT_BYTES are kept and MOST_OUTPUT_BYTES are read; a program that writes
 *   more is killed.
 * - At most MOST_PROGRAMS run at once, however many members there are; the others wait, and their
 *   time limit begins when they run.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { MonitorSettings } from '../config/schema.js';
import { formatDuration } from '../config/units-of-measure.js';
import { printable } from './agent-line.js';
import type { Cancellation } from './cancellation.js';
import type { ProbeResult } from './state-machine.js';
import { race, type Endpoint, type Finish, type SystemFailure } from './verdict.js';

const MOST_KEPT_BYTES = 1024;
const MOST_OUTPUT_BYTES = 1024 * 1024;
const MOST_PROGRAMS = 32;
const MOST_WORDS = 120;
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
};

export type ExternalSettings = Pick<
  Extract<MonitorSettings, { type: 'external' }>,
  'timeout' | 'command' | 'user'
>;

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** One probe. Never rejects. */
export async function probeExternal(
  endpoint: Endpoint,
  settings: ExternalSettings,
  cancelled: Cancellation,
): Promise<ProbeResult> {
  await turn();
  try {
    const account = accountOf(settings.user);
    if (account === null) {
      return { outcome: 'inconclusive', reason: `this unit has no user ${settings.user}` };
    }
    return await runProgram(endpoint, settings, account, cancelled);
  } finally {
    passOn();
  }
}

let running = 0;
const waiting: (() => void)[] = [];

async function turn(): Promise<void> {
  if (running < MOST_PROGRAMS) running += 1;
  else await new Promise<void>((resolve) => waiting.push(resolve));
}

/** Whoever waits takes over the place, so that the count stays. */
function passOn(): void {
  const next = waiting.shift();
  if (next === undefined) running -= 1;
  else next();
}

/** By /etc/passwd (passwd(5)); null when there is no such user. */
export function accountOf(
  user: string,
  passwd = readFileSync('/etc/passwd', 'utf8'),
): Account | null {
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name !== user || uid === undefined || gid === undefined) continue;
    if (/^\d+$/.test(uid) && /^\d+$/.test(gid)) return { uid: Number(uid), gid: Number(gid) };
  }
  return null;
}

function runProgram(
  { address, port }: Endpoint,
  { command, user, timeout }: ExternalSettings,
  account: Account,
  cancelled: Cancellation,
): Promise<ProbeResult> {
  const [program = '', ...parameters] = command;
  return race(
    timeout,
    cancelled,
    (finish) => {
      const child = start(program, [...parameters, address, String(port)], account, (error) => {
        finish('inconclusive', cannotRun(program, user, error));
      });
      const output = new Output(child, () =>
        finish('fail', `${program} wrote more than ${MOST_OUTPUT_BYTES / 1024} KiB and was killed`),
      );
      child.on('exit', (status, signal) => {
        // Whatever it left behind holds the pipes open: end that first, then read to their end.
        killGroup(child);
        if (output.ended) conclude(status, signal, output.text, finish);
        else output.onEnd = () => conclude(status, signal, output.text, finish);
      });
      return () => {
        killGroup(child);
        output.close();
      };
    },
    (finish) =>
      finish('fail', `${program} did not end within ${formatDuration(timeout)} and was killed`),
  );
}

function start(
  program: string,
  parameters: readonly string[],
  { uid, gid }: Account,
  onError: (error: SystemFailure) => void,
): ChildProcess {
  // As root also drops the daemon's supplementary groups (setgroups(2), by libuv).
  const identity = process.getuid?.() === uid && uid !== 0 ? {} : { uid, gid };
  const child = spawn(program, parameters, {
    cwd: '/',
    env: ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    shell: false,
    ...identity,
  });
  child.on('error', onError);
  return child;
}

function killGroup(child: ChildProcess): void {
  // Not started at all.
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: everything in it has ended, which is what is wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function conclude(
  status: number | null,
  signal: NodeJS.Signals | null,
  text: string,
  finish: Finish,
): void {
  const said = text === '' ? '' : `: ${text}`;
  if (status === 0) finish('pass', `exit status 0${said}`);
  else if (signal !== null) finish('fail', `ended by ${signal}${said}`);
  else finish('fail', `exit status ${status ?? 'unknown'}${said}`);
}

/** What a program writes, standard output and error alike: its first line is what people see. */
class Output {
  readonly #child: ChildProcess;
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  #bytes = 0;
  #open = 0;
  onEnd: () => void = () => undefined;

  constructor(child: ChildProcess, tooMuch: () => void) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      this.#open += 1;
      stream.on('data', (chunk: Buffer) => {
        this.#bytes += chunk.length;
        if (this.#bytes > MOST_OUTPUT_BYTES) tooMuch();
        else if (this.#keptBytes < MOST_KEPT_BYTES) this.#keep(chunk);
      });
      stream.on('close', () => {
        this.#open -= 1;
        if (this.#open === 0) this.onEnd();
      });
    }
  }

  get ended(): boolean {
    return this.#open === 0;
  }

  get text(): string {
    const [line = ''] = Buffer.concat(this.#kept)
      .toString('utf8')
      .trimStart()
      .split(/[\r\n]/, 1);
    return printable(line, MOST_WORDS);
  }

  close(): void {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  #keep(chunk: Buffer): void {
    const part = chunk.subarray(0, MOST_KEPT_BYTES - this.#keptBytes);
    this.#kept.push(Buffer.from(part));
    this.#keptBytes += part.length;
  }
}

function cannotRun(program: string, user: string, error: SystemFailure): string {
  switch (error.code) {
    case 'ENOENT':
      return `cannot run ${program}: there is no such file, or the interpreter in its first line is missing`;
    case 'EACCES':
      return `cannot run ${program}: ${user} may not execute it`;
    case 'EPERM':
      return `cannot run ${program}: the daemon may not become ${user}`;
    default:
      return `cannot run ${program}: ${error.message}`;
  }
}
