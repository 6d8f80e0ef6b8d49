/**
 * What a process gives up before it touches traffic: prctl(2) PR_SET_NO_NEW_PRIVS, setgroups(2),
 * setgid(2), setuid(2); and the descriptors and core files that it may have, setrlimit(2),
 * prctl(2) PR_SET_DUMPABLE.
 */
import koffi from 'koffi';
import { SystemError } from './libc.js';

const libc = koffi.load(null);
const prctl: (option: number, a: number, b: number, c: number, d: number) => number = libc.func(
  'prctl',
  'int',
  ['int', 'ulong', 'ulong', 'ulong', 'ulong'],
);
const getrlimit: (resource: number, limit: BigUint64Array) => number = libc.func(
  'int getrlimit(int resource, void *limit)',
);
const setrlimit: (resource: number, limit: BigUint64Array) => number = libc.func(
  'int setrlimit(int resource, const void *limit)',
);

const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const RLIMIT_CORE = 4;
const RLIMIT_NOFILE = 7;

/**
 * Becomes this user and group for good, without any other group, and can never gain anything by
 * executing a program. Only root can; for others it does the last part alone. Without the names
 * `nobody` and `nogroup` it takes the kernel's number for them. Throws SystemError.
 */
export function becomeUnprivileged(user: string | number, group: string | number): void {
  if (process.getuid?.() === 0) {
    process.setgroups?.([]);
    become(group, (id) => process.setgid?.(id));
    become(user, (id) => process.setuid?.(id));
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) {
    throw new SystemError('prctl', koffi.errno(), 'PR_SET_NO_NEW_PRIVS');
  }
}

/** The kernel's own number for nobody (fs.overflowuid), where the system has no name for it. */
const NOBODY = 65_534;

function become(who: string | number, set: (id: string | number) => void): void {
  try {
    set(who);
  } catch (error) {
    const unknown = (error as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_CREDENTIAL';
    if (!unknown || (who !== 'nobody' && who !== 'nogroup')) throw error;
    set(NOBODY);
  }
}

/**
 * What this process has in memory is never written to a core file, nor given to a program that
 * core_pattern names, which no limit keeps from it (core(5)): keys are there. To be said again after
 * each change of user, which undoes it. Throws SystemError.
 */
export function forbidCoreFiles(): void {
  if (setrlimit(RLIMIT_CORE, BigUint64Array.of(0n, 0n)) !== 0) {
    throw new SystemError('setrlimit', koffi.errno(), 'RLIMIT_CORE');
  }
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) {
    throw new SystemError('prctl', koffi.errno(), 'PR_SET_DUMPABLE');
  }
}

/** Allows `wanted` descriptors if that can be; returns how many may be open. Throws SystemError. */
export function raiseDescriptors(wanted: number): number {
  const limit = new BigUint64Array(2);
  if (getrlimit(RLIMIT_NOFILE, limit) !== 0) throw new SystemError('getrlimit', koffi.errno());
  const [soft = 0n, hard = 0n] = limit;
  if (Number(soft) >= wanted) return Number(soft);
  const both = BigInt(wanted);
  if (setrlimit(RLIMIT_NOFILE, BigUint64Array.of(both, both > hard ? both : hard)) === 0) {
    return wanted;
  }
  const most = both < hard ? both : hard;
  if (setrlimit(RLIMIT_NOFILE, BigUint64Array.of(most, hard)) === 0) return Number(most);
  return Number(soft);
}
