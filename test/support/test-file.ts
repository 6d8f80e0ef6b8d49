/**
 * One test file in one child process: runs it within a time limit and reads what uvu
 * printed. A file that dies, hangs, runs no test at all or skips without a reason is
 * a failure, whatever its exit status says.
 *
 * Invariant: when `runFile` has settled, neither the child nor anything in its
 * process group is left.
 */
import { spawn } from 'node:child_process';
import { skipPattern } from './needs.js';

export interface NamedSkip {
  readonly name: string;
  readonly reason: string;
}

export interface FileResult {
  readonly passed: number;
  readonly failed: number;
  readonly skips: readonly NamedSkip[];
  readonly milliseconds: number;
  /** What went wrong with the file as a whole, apart from its failed tests. */
  readonly trouble: string | null;
  readonly output: string;
}

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  readonly limit: number;
}

function figure(output: string, label: string): number | null {
  const matches = [...output.matchAll(new RegExp(`^ {2}${label}: +(\\d+)$`, 'gm'))];
  const last = matches.at(-1)?.[1];
  return last === undefined ? null : Number(last);
}

/** What a file's output and its ending say. Pure, so that the runner itself can be tested. */
export function readResult(
  output: string,
  ending: Ending,
): Omit<FileResult, 'milliseconds' | 'output'> {
  const total = figure(output, 'Total');
  const passed = figure(output, 'Passed');
  const skipped = figure(output, 'Skipped');
  const skips = output
    .split('\n')
    .map((line) => skipPattern.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({ name: match[1] ?? '', reason: match[2] ?? '' }));

  const whole = (trouble: string) => ({ passed: passed ?? 0, failed: 1, skips, trouble });
  if (ending.timedOut) return whole(`took longer than its limit of ${ending.limit / 1000} s`);
  if (ending.signal !== null) return whole(`died of ${ending.signal}`);
  if (total === null || passed === null || skipped === null) {
    return whole(`ended with status ${ending.code} before its tests did`);
  }
  const failed = total - passed;
  if (failed === 0 && ending.code !== 0) {
    return whole(`all its tests passed, but it ended with status ${ending.code}`);
  }
  if (skipped !== skips.length) {
    return whole(
      `skips ${skipped} tests but names ${skips.length}: use test/support/needs.ts, and no "only"`,
    );
  }
  // uvu says nothing of an error in a hook before the tests: they are missing, and none has failed.
  if (failed > 0 && !/^ {3}FAIL /m.test(output)) {
    return {
      ...{ passed, failed, skips },
      trouble: `did not run ${failed} of its tests: a hook before them failed`,
    };
  }
  if (total + skipped === 0) return whole('has no test (is `test.run()` missing?)');
  return { passed, failed, skips, trouble: null };
}

/**
 * Runs a compiled test file. `limit` is in milliseconds; past it the process group gets
 * SIGTERM, so that a lab can take itself down, and 10 s later SIGKILL.
 */
export async function runFile(
  file: string,
  options: { limit: number; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<FileResult> {
  const begun = performance.now();
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  const collect = (chunk: string): void => {
    output += chunk;
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);

  const toGroup = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch (error) {
      // ESRCH: the whole group is gone already, which is what was wanted.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  let kill: NodeJS.Timeout | undefined;
  const end = (): void => {
    toGroup('SIGTERM');
    kill = setTimeout(() => {
      toGroup('SIGKILL');
    }, 10_000);
  };
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    end();
  }, options.limit);
  options.signal.addEventListener('abort', end, { once: true });

  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
      (resolve, reject) => {
        child.once('error', reject);
        child.once('close', (...ending) => {
          resolve(ending);
        });
      },
    );
    const ending = { code, signal, timedOut, limit: options.limit };
    return { ...readResult(output, ending), milliseconds: performance.now() - begun, output };
  } finally {
    clearTimeout(timer);
    clearTimeout(kill);
    options.signal.removeEventListener('abort', end);
    toGroup('SIGKILL');
  }
}
