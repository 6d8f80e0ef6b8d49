/**
 * CPU time of processes with all their threads and descendants, from /proc (proc(5)): nanoseconds
 * on a CPU from each thread's schedstat, in user and system mode together.
 *
 * Invariant: what a thread used that has ended meanwhile is not lost: then the process's own
 * account (`stat`, in ticks of 10 ms) counts.
 */
import { readdirSync, readFileSync } from 'node:fs';

const TICK_NS = 10_000_000;
/** Fields of /proc/PID/stat behind the name in parentheses. */
const UTIME = 11;
const STIME = 12;

interface ProcessReading {
  /** Nanoseconds by thread. */
  readonly threads: ReadonlyMap<string, number>;
  /** Ticks of 10 ms. */
  readonly user: number;
  readonly system: number;
}
export type CpuReading = ReadonlyMap<number, ProcessReading>;

/** `pid` and all that descend from it. */
export function withDescendants(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' '),
  );
  return [pid, ...children.filter((text) => text !== '').flatMap((text) => withDescendants(+text))];
}

function isGone(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return error.code === 'ENOENT' || error.code === 'ESRCH';
}

/** Null: the thread has just ended. */
function nanoseconds(pid: number, thread: string): number | null {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

function readProcess(pid: number): ProcessReading {
  const threads = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const used = nanoseconds(pid, thread);
    if (used !== null) threads.set(thread, used);
  }
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { threads, user: Number(fields[UTIME]), system: Number(fields[STIME]) };
}

export function readCpu(pids: readonly number[]): CpuReading {
  return new Map(pids.map((pid) => [pid, readProcess(pid)]));
}

function reading(readings: CpuReading, pid: number): ProcessReading {
  const found = readings.get(pid);
  if (found === undefined) throw new Error(`the first reading has no process ${pid}`);
  return found;
}

/** The kernel's share of what was used between two readings, 0 to 1; 0 when it was less than a tick. */
export function kernelShare(before: CpuReading, after: CpuReading): number {
  let user = 0;
  let system = 0;
  for (const [pid, now] of after) {
    const then = reading(before, pid);
    user += now.user - then.user;
    system += now.system - then.system;
  }
  return user + system === 0 ? 0 : system / (user + system);
}

/** Nanoseconds that were used between two readings of the same processes. */
export function cpuBetween(before: CpuReading, after: CpuReading): number {
  let sum = 0;
  for (const [pid, now] of after) {
    const then = reading(before, pid);
    const ended = [...then.threads.keys()].some((thread) => !now.threads.has(thread));
    if (ended) sum += (now.user + now.system - then.user - then.system) * TICK_NS;
    else for (const [thread, ns] of now.threads) sum += ns - (then.threads.get(thread) ?? 0);
  }
  return sum;
}
