/**
 * node's own event loop (libuv, which node exports) as a descriptor: an epoll instance that is
 * readable when node has something to do, be it a thread of its pool that has finished, a signal
 * or a pipe. Source: uv_backend_fd in libuv's manual.
 *
 * Invariant: only looked at, never read from or closed. Timers of node do not show in it.
 */
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';

const node = koffi.load(null);
const uvDefaultLoop: () => bigint = node.func('uv_default_loop', 'uintptr_t', []);
const uvBackendFd: (loop: bigint) => number = node.func('uv_backend_fd', 'int', ['uintptr_t']);

/** The descriptor; -1 in a worker thread, whose loop is not the process's. */
export function nodeLoopDescriptor(): number {
  return isMainThread ? uvBackendFd(uvDefaultLoop()) : -1;
}
