/**
 * Runs the built command as people do: a child process with its own environment,
 * against the fake daemon of the API's tests or against nothing.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

export const program = fileURLToPath(new URL('../../../appliance/cli/weir.js', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly socket?: string;
  readonly input?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Nothing of the environment of whoever runs the tests reaches the command. */
function environmentOf(options: RunOptions): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'] ?? '',
    TZ: 'UTC',
    LC_ALL: 'C.UTF-8',
    ...(options.socket === undefined ? {} : { WEIR_SOCKET: options.socket }),
    ...options.environment,
  };
}

function start(words: readonly string[], options: RunOptions): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [program, ...words], { env: environmentOf(options) });
}

export function weir(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = start(words, options);
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (err += chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
    // A command that does not read its input may be gone before all of it is written.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input);
  });
}

/** As `weir … | head -c1`: stops reading once something came. */
export function weirHead(words: readonly string[], options: RunOptions): Promise<Omit<Ran, 'out'>> {
  return new Promise((resolve, reject) => {
    const child = start(words, options);
    let err = '';
    child.stdout.once('data', () => child.stdout.destroy());
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (err += chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, err }));
    child.stdin.end();
  });
}

/** As `weir … > PATH`. */
export async function weirInto(
  path: string,
  words: readonly string[],
  options: RunOptions,
): Promise<Omit<Ran, 'out'>> {
  const file = await open(path, 'w');
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [program, ...words], {
        env: environmentOf(options),
        stdio: ['ignore', file.fd, 'pipe'],
      });
      let err = '';
      child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (err += chunk));
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, err }));
    });
  } finally {
    await file.close();
  }
}

export interface Following {
  readonly lines: string[];
  readonly errors: string[];
  readonly ended: Promise<number | null>;
}

/** A command that goes on until it is stopped; it is, when `act` ends. */
export async function following(
  words: readonly string[],
  options: RunOptions,
  act: (following: Following) => Promise<void>,
): Promise<void> {
  const child = start(words, options);
  const lines: string[] = [];
  const errors: string[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => errors.push(chunk));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  try {
    await act({ lines, errors, ended });
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}
