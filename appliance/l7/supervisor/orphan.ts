/**
 * A worker of an earlier daemon: it serves on by what it knew last, until it is told to drain.
 *
 * There is no talk with it. The daemon finds it by its state file, holds it by a pidfd, takes copies of
 * its descriptors by pidfd_getfd(2), which only root may, and tells it to drain by a signal. So
 * there is no socket that somebody else could speak to, no secret, and nothing that two builds
 * would have to agree on but one signal.
 *
 * Invariant: what a worker holds may be forged by whoever got into it: memory counts only with sealed
 * size, sockets only by the address that the kernel says.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { close, SystemError } from '../../../native/ffi/libc.js';
import {
  beginningOf,
  copyDescriptor,
  hasFixedSize,
  openProcess,
  signalProcess,
} from '../../../native/ffi/pidfd.js';
import type { Poller } from '../../../native/ffi/poller.js';
import { listensAt } from '../../../native/ffi/tcp-socket.js';
import { DRAIN_SIGNAL } from '../worker/messages.js';
import type { TierState } from './tier-state.js';

/** Names of memory, as they show in /proc. */
export const SHARED_NAME = 'weir-l7';
export const OWN_NAME = 'weir-l7-worker-';

export interface Belongings {
  /** By the address as the kernel gives it. */
  readonly sockets: { readonly address: string; readonly inode: string; readonly fd: number }[];
  shared: number | null;
  /** By number of worker. */
  readonly own: Map<number, number>;
}

export class OrphanProcess {
  readonly loaded = true;
  exited = false;
  readonly #pidfd: number;
  readonly #poller: Poller;

  private constructor(
    readonly pid: number,
    pidfd: number,
    poller: Poller,
    onExit: (how: string) => void,
  ) {
    this.#pidfd = pidfd;
    this.#poller = poller;
    poller.add(pidfd, () => {
      this.release();
      onExit('ended');
    });
  }

  /** Null: that process is gone. */
  static find(
    { pid, began }: TierState['workers'][number],
    poller: Poller,
    onExit: (how: string) => void,
  ): OrphanProcess | null {
    const pidfd = openProcess(pid);
    if (pidfd === null) return null;
    if (beginningOf(pid) === began) return new OrphanProcess(pid, pidfd, poller, onExit);
    close(pidfd);
    return null;
  }

  /** The only message that it understands. */
  drain(): void {
    this.#signal(constants.signals[DRAIN_SIGNAL]);
  }

  kill(): void {
    this.#signal(constants.signals.SIGKILL);
  }

  /** Forgets it, and leaves it alone. */
  release(): void {
    if (this.exited) return;
    this.exited = true;
    this.#poller.remove(this.#pidfd);
    close(this.#pidfd);
  }

  /**
   * Copies of its listening sockets and of its memory. Throws SystemError when the daemon may not have
   * them; then there are none.
   */
  belongings(known: ReadonlySet<string>): Belongings {
    const found: Belongings = { sockets: [], shared: null, own: new Map() };
    try {
      for (const name of names(`/proc/${this.pid}/fd`)) {
        const link = linkOf(`/proc/${this.pid}/fd/${name}`);
        const memory = /^\/memfd:(weir-l7(?:-worker-(\d+))?) \(deleted\)$/.exec(link);
        const wanted = memory !== null || (link.startsWith('socket:') && !known.has(link));
        const fd = wanted ? copyDescriptor(this.#pidfd, Number(name)) : null;
        if (fd !== null && !keep(found, fd, link, memory)) close(fd);
      }
    } catch (error) {
      discard(found);
      throw error;
    }
    return found;
  }

  #signal(signal: number): void {
    if (!this.exited) signalProcess(this.#pidfd, signal);
  }
}

function keep(found: Belongings, fd: number, link: string, memory: RegExpExecArray | null) {
  if (memory === null) {
    const address = listensAt(fd);
    if (address === null) return false;
    found.sockets.push({ address, inode: link, fd });
    return true;
  }
  if (!hasFixedSize(fd)) return false;
  const number = memory[2];
  if (number === undefined) {
    if (found.shared !== null) return false;
    found.shared = fd;
    return true;
  }
  if (found.own.has(Number(number))) return false;
  found.own.set(Number(number), fd);
  return true;
}

export function discard({ sockets, shared, own }: Belongings): void {
  for (const { fd } of sockets) close(fd);
  if (shared !== null) close(shared);
  for (const fd of own.values()) close(fd);
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isGone(error)) return [];
    throw permission(error);
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isGone(error)) return '';
    throw permission(error);
  }
}

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH';
}

/** node's errors as those of this project's own calls. */
function permission(error: unknown): unknown {
  const { errno, syscall, path } = error as NodeJS.ErrnoException;
  if (errno === undefined) return error;
  return new SystemError(syscall ?? 'readlink', -errno, path);
}
