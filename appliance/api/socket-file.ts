/**
 * The API's socket as a file: who may open it, and what to do with one that is
 * already there.
 *
 * Invariant: from the moment that it exists, the file is never open to more people
 * than in the end. bind(2) makes it under a umask that leaves it to its owner; only
 * then is it given to the group. And nobody's live socket is ever taken away.
 */
import { chmodSync, chownSync, lstatSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { groupId } from '../../native/ffi/peer-credentials.js';
import type { Log } from './port.js';

/** sockaddr_un's path holds 108 bytes with its terminating zero (unix(7)). */
const MAX_PATH_BYTES = 107;

export type SocketFileErrorCode = 'in-use' | 'not-a-socket' | 'path-too-long' | 'listen';

export class SocketFileError extends Error {
  override readonly name = 'SocketFileError';
  readonly code: SocketFileErrorCode;

  constructor(code: SocketFileErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

export interface SocketFileOptions {
  /** Given the file when it exists; else the file stays its owner's alone (0600). */
  readonly group: string;
  /** Mode once the group owns it. */
  readonly mode: number;
}

/** Listens on `path` with the rights of `options`. Errors: SocketFileError. */
export async function listenOnSocketFile(
  server: Server,
  path: string,
  options: SocketFileOptions,
  log: Log,
): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new SocketFileError(
      'path-too-long',
      `The socket path ${path} is longer than ${MAX_PATH_BYTES} bytes: choose a shorter one.`,
    );
  }
  await removeStale(path, log);
  await listenPrivately(server, path);
  const group = groupId(options.group);
  if (group === null) {
    log.warn(
      { socket: path, group: options.group },
      `There is no group ${options.group}: only the daemon's own user can use the socket.`,
    );
    return;
  }
  chownSync(path, process.getuid?.() ?? 0, group);
  chmodSync(path, options.mode);
}

/** Node binds within listen() itself, so the umask is narrowed for that call only. */
function listenPrivately(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      reject(new SocketFileError('listen', `Cannot listen on ${path}: ${error.message}.`, error));
    };
    server.once('error', failed);
    const before = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.removeListener('error', failed);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

async function removeStale(path: string, log: Log): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SocketFileError(
      'not-a-socket',
      `${path} exists and is no socket: move it away or choose another socket path.`,
    );
  }
  if (await answers(path)) {
    throw new SocketFileError(
      'in-use',
      `Another daemon answers on ${path}: stop it first, or choose another socket path.`,
    );
  }
  log.info({ socket: path }, 'Removing the socket that an earlier daemon left behind.');
  rmSync(path, { force: true });
}

/** Whether somebody listens: only a refused connection says that nobody does. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      probe.destroy();
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      // EAGAIN: its queue is full, so somebody is there.
      else if (error.code === 'EAGAIN') resolve(true);
      else reject(new SocketFileError('listen', `Cannot probe ${path}: ${error.message}.`, error));
    });
  });
}
