/**
 * What tests must not leave behind: network namespaces, pinned BPF objects, files and
 * processes. The runner looks before and after; anything new is a failure of the run.
 *
 * Processes are recognised by a variable in their environment (`runMark`) that the
 * runner gives to every test and that children inherit, so a stray daemon is found
 * wherever it went.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const runMark = 'WEIR_TEST_RUN';

export interface Traces {
  readonly namespaces: ReadonlySet<string>;
  readonly pins: ReadonlySet<string>;
}

/** Names in a directory, or none where the directory does not exist or is not ours to read. */
function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EPERM') return [];
    throw error;
  }
}

export function traces(): Traces {
  return {
    namespaces: new Set(names('/run/netns').filter((name) => name.startsWith('weir'))),
    pins: new Set(names('/sys/fs/bpf').filter((name) => name.startsWith('weir'))),
  };
}

/** Processes that carry the mark, as `PID COMMAND`. The caller itself is not among them. */
export function markedProcesses(mark: string): string[] {
  const wanted = `${runMark}=${mark}`;
  const found: string[] = [];
  for (const pid of names('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      const environment = readFileSync(join('/proc', pid, 'environ'), 'utf8').split('\0');
      if (!environment.includes(wanted)) continue;
      const command = readFileSync(join('/proc', pid, 'cmdline'), 'utf8')
        .split('\0')
        .join(' ');
      if (command.trim() !== '') found.push(`${pid} ${command.trim()}`);
    } catch (error) {
      // Ended while being looked at, or another user's: not one of ours.
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'ESRCH' && code !== 'EPERM') {
        throw error;
      }
    }
  }
  return found;
}

/** One sentence for each thing that is there now and was not before. */
export function leftovers(before: Traces, mark: string, temporary: string): string[] {
  const now = traces();
  const fresh = (seen: ReadonlySet<string>, old: ReadonlySet<string>): string[] =>
    [...seen].filter((name) => !old.has(name));
  return [
    ...fresh(now.namespaces, before.namespaces).map((name) => `network namespace ${name}`),
    ...fresh(now.pins, before.pins).map((name) => `pinned BPF objects in /sys/fs/bpf/${name}`),
    ...names(temporary).map((name) => `temporary file ${join(temporary, name)}`),
    ...markedProcesses(mark).map((line) => `process ${line}`),
  ];
}
