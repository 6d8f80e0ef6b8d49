/**
 * What lets a process keep its times on a busy machine: sched_setscheduler(2) for its threads,
 * mlock2(2) for the files it runs from.
 *
 * Never mlockall(2): V8 gives pages of its heap back by madvise(2) MADV_DONTNEED, which the kernel
 * refuses for locked ones, and ends the process for that ("Check failed: 0 == ret").
 */
import { readdirSync, readFileSync } from 'node:fs';
import koffi from 'koffi';
import { SystemError } from './libc.js';

const libc = koffi.load(null);
const cSetScheduler: (thread: number, policy: number, parameter: Int32Array) => number = libc.func(
  'int sched_setscheduler(int thread, int policy, const void *parameter)',
);
const cMlock2: (address: bigint, length: bigint, flags: number) => number = libc.func(
  'mlock2',
  'int',
  ['uint64', 'uint64', 'uint'],
);

const SCHED_OTHER = 0;
const SCHED_FIFO = 1;
/** What it starts runs as others do. */
const SCHED_RESET_ON_FORK = 0x40000000;
/** Only what is touched. */
const MLOCK_ONFAULT = 1;

/**
 * This process goes before all that are not real-time; `priority` from 1 to 99. All of its threads:
 * the main one, which waits for others now and then, would wait for one that does not get its turn.
 * It wants node's --single-threaded: V8's main thread asks again and again whether a helper thread
 * is done, and on one CPU no thread of the same priority gets its turn from it. Throws SystemError.
 */
export function runInRealTime(priority: number): void {
  schedule(SCHED_FIFO | SCHED_RESET_ON_FORK, priority, `SCHED_FIFO ${priority}`);
}

/** Back to how all run that ask for nothing. Throws SystemError. */
export function runAsOthers(): void {
  schedule(SCHED_OTHER, 0, 'SCHED_OTHER');
}

function schedule(policy: number, priority: number, what: string): void {
  for (const thread of readdirSync('/proc/self/task')) {
    if (cSetScheduler(Number(thread), policy, Int32Array.of(priority)) >= 0) continue;
    const error = new SystemError('sched_setscheduler', koffi.errno(), what);
    // It has just ended.
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * The program and its libraries, as far as they were touched, are never read from the disk again.
 * Throws SystemError.
 */
export function keepProgramInMemory(): void {
  for (const { from, to } of mappedFiles(readFileSync('/proc/self/maps', 'utf8'))) {
    if (cMlock2(from, to - from, MLOCK_ONFAULT) < 0) {
      throw new SystemError('mlock2', koffi.errno());
    }
  }
}

/** Of /proc/PID/maps, what is mapped from files: proc_pid_maps(5). */
function mappedFiles(maps: string): { from: bigint; to: bigint }[] {
  return maps.split('\n').flatMap((line) => {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \d+ +\//.exec(line) ?? [];
    return from === undefined || to === undefined
      ? []
      : [{ from: BigInt(`0x${from}`), to: BigInt(`0x${to}`) }];
  });
}

/** Whether memory that is not from files can be written out: proc_swaps(5). */
export function hasSwap(): boolean {
  return readFileSync('/proc/swaps', 'utf8').trim().split('\n').length > 1;
}
