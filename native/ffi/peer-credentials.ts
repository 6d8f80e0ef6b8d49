/**
 * Who is at the other end of a Unix socket: SO_PEERCRED (unix(7), socket(7)), which
 * the kernel fills in when the peer connects, so it cannot be forged; and the user's
 * name by /etc/passwd (passwd(5)).
 *
 * Invariant: the credentials are those of the moment of connect(2). They name the
 * author of a change; what a peer may do is decided by the socket file's mode.
 */
import { readFileSync } from 'node:fs';
import koffi from 'koffi';

/** asm-generic/socket.h, the same on x86-64 and arm64. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred { pid_t pid; uid_t uid; gid_t gid; }, four bytes each. */
const UCRED_BYTES = 12;

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export class PeerCredentialsError extends Error {
  override readonly name = 'PeerCredentialsError';
  readonly code = 'peer-credentials';
  readonly errno: number;

  constructor(fd: number, errno: number) {
    super(`getsockopt(SO_PEERCRED) on descriptor ${fd} failed with errno ${errno}`);
    this.errno = errno;
  }
}

type GetSockOpt = (
  fd: number,
  level: number,
  option: number,
  value: Uint8Array,
  length: Uint32Array,
) => number;

let getsockopt: GetSockOpt | undefined;

/** `fd` is a connected AF_UNIX socket. Throws PeerCredentialsError when it is not. */
export function peerCredentials(fd: number): PeerCredentials {
  getsockopt ??= koffi
    .load('libc.so.6')
    .func('int getsockopt(int fd, int level, int option, void *value, void *length)') as GetSockOpt;
  const value = new Uint8Array(UCRED_BYTES);
  const length = Uint32Array.of(UCRED_BYTES);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0 || length[0] !== UCRED_BYTES) {
    throw new PeerCredentialsError(fd, koffi.errno());
  }
  const view = new DataView(value.buffer);
  const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  return {
    pid: view.getInt32(0, littleEndian),
    uid: view.getUint32(4, littleEndian),
    gid: view.getUint32(8, littleEndian),
  };
}

/**
 * The user's name, or `uid N` for one that the file does not know (as from a
 * directory service). `passwd` is the text of /etc/passwd.
 */
export function userName(uid: number, passwd = readFileSync('/etc/passwd', 'utf8')): string {
  for (const line of passwd.split('\n')) {
    const [name, , id] = line.split(':');
    if (name !== undefined && name !== '' && id === String(uid)) return name;
  }
  return `uid ${uid}`;
}

/** The number of a group, null when /etc/group (group(5)) has none of that name. */
export function groupId(name: string, group = readFileSync('/etc/group', 'utf8')): number | null {
  for (const line of group.split('\n')) {
    const [candidate, , id] = line.split(':');
    if (candidate === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return null;
}
