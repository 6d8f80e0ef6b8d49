/**
 * Forbids system calls: prctl(2) PR_SET_SECCOMP with a filter as in seccomp(2). For tests of what happens
 * where a container or a service manager does so.
 *
 * Invariant: it holds for the calling thread and for all processes that this one starts from then on,
 * and cannot be taken back.
 */
import koffi from 'koffi';
import { SystemError } from './libc.js';
import { addressOf, holding } from './memory.js';

const prctl: (option: number, a: number, b: bigint, c: number, d: number) => number = koffi
  .load(null)
  .func('prctl', 'int', ['int', 'ulong', 'uint64', 'ulong', 'ulong']);

const PR_SET_SECCOMP = 22;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_MODE_FILTER = 2;
const SECCOMP_RET_ALLOW = 0x7fff_0000;
const SECCOMP_RET_ERRNO = 0x0005_0000;
/** Classic BPF: load a word, jump if equal, return. */
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const RETURN = 0x06;

/** The same number on x86-64 and arm64. */
export const SYS_io_uring_setup = 425;

/** From now on this call fails with this errno. Throws SystemError. */
export function forbidCall(number: number, errno: number): void {
  const program: readonly (readonly [number, number, number, number])[] = [
    [LOAD, 0, 0, 0],
    [JUMP_EQUAL, 0, 1, number],
    [RETURN, 0, 0, SECCOMP_RET_ERRNO + errno],
    [RETURN, 0, 0, SECCOMP_RET_ALLOW],
  ];
  const filter = Buffer.alloc(program.length * 8);
  for (const [index, [code, yes, no, value]] of program.entries()) {
    filter.writeUInt16LE(code, index * 8);
    filter.writeUInt8(yes, index * 8 + 2);
    filter.writeUInt8(no, index * 8 + 3);
    filter.writeUInt32LE(value, index * 8 + 4);
  }
  const header = Buffer.alloc(16);
  header.writeUInt16LE(program.length, 0);
  header.writeBigUInt64LE(addressOf(filter), 8);
  holding([filter, header], () => {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0n, 0, 0) !== 0) {
      throw new SystemError('prctl', koffi.errno(), 'PR_SET_NO_NEW_PRIVS');
    }
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, addressOf(header), 0, 0) !== 0) {
      throw new SystemError('prctl', koffi.errno(), 'PR_SET_SECCOMP');
    }
  });
}
