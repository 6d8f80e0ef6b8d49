/**
 * Runs programs for the lab: short commands, and long-lived children inside a network
 * namespace. Namespaces are entered with nsenter(1), not `ip netns exec`: the latter
 * mounts a fresh /sys and with it hides /sys/fs/bpf, where the daemon pins its maps.
 *
 * Invariant: every long-lived child is in `children` until it has ended, so that
 * `killChildren` leaves none, however the lab ends.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';

export class CommandError extends Error {
  readonly code = 'COMMAND_FAILED';
  constructor(
    readonly command: string,
    readonly status: number | string | null,
    readonly output: string,
  ) {
    super(`"${command}" failed (${status}): ${output.trim() || 'it printed nothing'}`);
    this.name = 'CommandError';
  }
}

/** Runs a command to its end and returns its standard output; anything but status 0 throws. */
export function run(
  command: string,
  args: readonly string[],
  options: { input?: string; timeout?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { timeout: options.timeout ?? 30_000, maxBuffer: 64 << 20, encoding: 'utf8' },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else {
          reject(
            new CommandError(
              [command, ...args].join(' '),
              error.killed === true ? 'took too long' : (error.code ?? error.signal ?? null),
              stderr + stdout,
            ),
          );
        }
      },
    );
    // A command that ends without reading its input says so by its status.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input);
  });
}

/** The command line that runs `args` in a network namespace. */
export function within(namespace: string, args: readonly string[]): string[] {
  return ['nsenter', `--net=/run/netns/${namespace}`, ...args];
}

/**
 * Before a program's name: it comes first, or last, when the CPU is short. Units and
 * members come first, as if they had machines of their own: a unit that is starved by the
 * clients would find members dead that are only starved too.
 */
export const first = ['nice', '-n', '-10'];
export const last = ['nice', '-n', '10'];

export const children = new Set<ChildProcess>();

/**
 * Starts a long-lived program in a namespace. Its standard input stays open as long as
 * the lab lives: the lab's own programs end when it closes.
 */
export function start(
  namespace: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv } = {},
): ChildProcess {
  const [command = '', ...rest] = within(namespace, args);
  const child = spawn(command, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: options.env ?? process.env,
  });
  children.add(child);
  child.once('close', () => children.delete(child));
  child.once('error', () => children.delete(child));
  // A child that was killed takes nothing from its input any more; that is no error here.
  child.stdin?.on('error', () => undefined);
  return child;
}

/** Resolves when the child has ended and its output was read. */
export function ended(child: ChildProcess): Promise<void> {
  if (!children.has(child)) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('close', () => {
      resolve();
    });
    child.once('error', () => {
      resolve();
    });
  });
}

/** Ends every long-lived child at once; usable from an `exit` handler. */
export function killChildren(): void {
  for (const child of children) child.kill('SIGKILL');
}
