/**
 * A network namespace for the calling thread: what tests use to have interfaces of their own.
 * Source: unshare(2), setns(2).
 *
 * Invariant: only the main thread moves; child processes started from it follow, threads of the
 * pool do not.
 */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { BpfError } from './bpf-error.js';

const libc = koffi.load(null);
const unshare: (flags: number) => number = libc.func('unshare', 'int', ['int']);
const setns: (fd: number, type: number) => number = libc.func('setns', 'int', ['int', 'int']);

const CLONE_NEWNET = 0x40000000;

/**
 * Moves this thread into a new, empty network namespace. Returns how to go back; the namespace
 * ends when nothing is left in it. Throws BpfError (`EPERM` without root).
 */
export function enterNetworkNamespace(): () => void {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  if (unshare(CLONE_NEWNET) !== 0) {
    const errno = koffi.errno();
    closeSync(home);
    throw new BpfError('cannot make a network namespace', { errno });
  }
  return wayBack(home);
}

/**
 * Moves this thread into the namespace of a file, such as one below /run/netns. Returns how to go
 * back. Throws BpfError, and the errors of opening a file.
 */
export function joinNetworkNamespace(file: string): () => void {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    const there = openSync(file, 'r');
    const result = setns(there, CLONE_NEWNET);
    const errno = koffi.errno();
    closeSync(there);
    if (result !== 0) throw new BpfError(`cannot enter the network namespace ${file}`, { errno });
  } catch (error) {
    closeSync(home);
    throw error;
  }
  return wayBack(home);
}

function wayBack(home: number): () => void {
  return () => {
    const result = setns(home, CLONE_NEWNET);
    const errno = koffi.errno();
    closeSync(home);
    if (result !== 0) throw new BpfError('cannot leave the network namespace', { errno });
  };
}
