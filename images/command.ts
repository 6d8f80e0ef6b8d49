/** Runs a program of the build machine to its end. */
import { spawnSync } from 'node:child_process';

export interface CommandOptions {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
}

/** What it wrote to its standard output. Throws an Error with what it wrote to the other one. */
export function command(
  program: string,
  parameters: readonly string[],
  options: CommandOptions = {},
): Buffer {
  const { status, signal, error, stdout, stderr } = spawnSync(program, parameters, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.input === undefined ? {} : { input: options.input }),
    // One language and time zone, so that no output depends on who builds.
    env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC', ...options.environment },
    maxBuffer: 2 ** 30,
  });
  if (error !== undefined) throw error;
  if (status !== 0) {
    const end = signal ?? `status ${status}`;
    throw new Error(`${program} ${parameters.join(' ')}: ${end}\n${stderr.toString().trim()}`);
  }
  return stdout;
}

/** The same as lines of text, without empty ones. */
export function commandLines(program: string, parameters: readonly string[]): string[] {
  return command(program, parameters)
    .toString()
    .split('\n')
    .filter((line) => line !== '');
}
