/**
 * Other processes by a descriptor: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), fcntl(2)
 * F_GET_SEALS, and who a process is by proc_pid_stat(5).
 *
 * Invariants:
 * - A pidfd names one process for ever, also when its number has gone to another one: so who it is
 *   is looked up only after the pidfd is there.
 * - Descriptors that come out of here are close-on-exec and the caller's.
 */
import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import { SystemError } from './libc.js';

const libc = koffi.load(null);
const cOpen: (number: number, pid: number, flags: number) => number = libc.func('syscall', 'int', [
  'long',
  'int',
  'uint32',
]);
const cSignal: (number: number, fd: number, signal: number, info: bigint, flags: number) => number =
  libc.func('syscall', 'int', ['long', 'int', 'int', 'uint64', 'uint32']);
const cGet: (number: number, fd: number, target: number, flags: number) => number = libc.func(
  'syscall',
  'int',
  ['long', 'int', 'int', 'uint32'],
);
const cFcntl: (fd: number, command: number, argument: number) => number = libc.func(
  'fcntl',
  'int',
  ['int', 'int', 'int'],
);

/** The same numbers on x86-64 and arm64. */
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const F_GET_SEALS = 1034;
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW. */
const FIXED_SIZE = 7;

/** A process; null when there is none of this number. It is readable once the process has ended. */
export function openProcess(pid: number): number | null {
  const fd = cOpen(SYS_pidfd_open, pid, 0);
  if (fd >= 0) return fd;
  const error = new SystemError('pidfd_open', koffi.errno(), `process ${pid}`);
  if (error.code === 'ESRCH' || error.code === 'EINVAL') return null;
  throw error;
}

/** False: it has ended already. Throws SystemError. */
export function signalProcess(pidfd: number, signal: number): boolean {
  if (cSignal(SYS_pidfd_send_signal, pidfd, signal, 0n, 0) >= 0) return true;
  const error = new SystemError('pidfd_send_signal', koffi.errno());
  if (error.code === 'ESRCH') return false;
  throw error;
}

/** A copy of another process's descriptor; null when it has gone. Throws SystemError (EPERM). */
export function copyDescriptor(pidfd: number, target: number): number | null {
  const fd = cGet(SYS_pidfd_getfd, pidfd, target, 0);
  if (fd >= 0) return fd;
  const error = new SystemError('pidfd_getfd', koffi.errno(), `descriptor ${target}`);
  if (error.code === 'EBADF' || error.code === 'ESRCH') return null;
  throw error;
}

/** Nobody can change the size of this memory any more, so touching all of it is safe. */
export function hasFixedSize(fd: number): boolean {
  const seals = cFcntl(fd, F_GET_SEALS, 0);
  return seals >= 0 && (seals & FIXED_SIZE) === FIXED_SIZE;
}

/** When a process began, in ticks since the machine did; null when there is none of this number. */
export function beginningOf(pid: number): string | null {
  return statOf(pid)?.[19] ?? null;
}

/** What a process is doing: its state's letter, and the CPU that it ran on last. Null: it has gone. */
export function doingOf(pid: number): { readonly state: string; readonly cpu: number } | null {
  const fields = statOf(pid);
  return fields === null ? null : { state: fields[0] ?? '', cpu: Number(fields[36]) };
}

/** proc_pid_stat(5), from its third field on. */
function statOf(pid: number): string[] | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
  // The second field may hold anything, brackets and blanks too.
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** Which run of the machine this is. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
