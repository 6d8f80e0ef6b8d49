/**
 * What a process gives up before it touches traffic: prctl(2) PR_SET_NO_NEW_PRIVS, setgroups(2),
 * setgid(2), setuid(2); and the descriptors and core files that it may have, setrlimit(2),
 * prctl(2) PR_SET_DUMPABLE.
 */
import { readFileSync } from 'node:fs';
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
// By the C library, which tells all threads: Node's own refuse where it cannot know whether libuv uses
// io_uring (CVE-2024-22017), as Debian's Node never can. Nothing here has libuv use it.
const setgroups: (count: number, groups: null) => number = libc.func(
  'int setgroups(size_t count, const void *groups)',
);
const setgid: (id: number) => number = libc.func('int setgid(uint32_t id)');
const setuid: (id: number) => number = libc.func('int setuid(uint32_t id)');

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
    const ids = { user: idOf(user, '/etc/passwd'), group: idOf(group, '/etc/group') };
    succeed('setgroups', setgroups(0, null));
    succeed('setgid', setgid(ids.group));
    succeed('setuid', setuid(ids.user));
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) {
    throw new SystemError('prctl', koffi.errno(), 'PR_SET_NO_NEW_PRIVS');
  }
}

/** The kernel's own number for nobody (fs.overflowuid), where the system has no name for it. */
const NOBODY = 65_534;

function idOf(who: string | number, file: string): number {
  if (typeof who === 'number') return who;
  const lines = readFileSync(file, 'utf8').split('\n');
  const id = lines.map((line) => line.split(':')).find(([name]) => name === who)?.[2];
  if (id !== undefined) return Number(id);
  if (who === 'nobody' || who === 'nogroup') return NOBODY;
  throw new Error(`${file} has no ${who}`);
}

function succeed(call: string, result: number): void {
  if (result !== 0) throw new SystemError(call, koffi.errno(), 'giving up root');
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
