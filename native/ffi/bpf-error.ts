/**
 * Errors of the BPF bindings: what failed, the errno name, what to do about it.
 *
 * Invariant: every failure of libbpf or of the kernel leaves this folder as a BpfError,
 * never as a bare number and never silently.
 */
import { constants } from 'node:os';

/** errno values that Linux returns but node does not name, and libbpf's own (bpf/libbpf_legacy.h). */
const extraNames: ReadonlyMap<number, string> = new Map([
  [117, 'EUCLEAN'],
  [524, 'ENOTSUPP'],
  [4000, 'LIBBPF_ELIBELF'],
  [4001, 'LIBBPF_EFORMAT'],
  [4002, 'LIBBPF_EKVERSION'],
  [4003, 'LIBBPF_EENDIAN'],
  [4004, 'LIBBPF_EINTERNAL'],
  [4005, 'LIBBPF_ERELOC'],
  [4006, 'LIBBPF_ELOAD'],
  [4007, 'LIBBPF_EVERIFY'],
  [4008, 'LIBBPF_EPROG2BIG'],
  [4009, 'LIBBPF_EKVER'],
  [4010, 'LIBBPF_EPROGTYPE'],
]);

const systemNames: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, value]) => [value, name]),
);

/** Name of an errno value, for example `ENOENT`; `E<number>` when nobody named it. */
export function errnoName(errno: number): string {
  return systemNames.get(errno) ?? extraNames.get(errno) ?? `E${errno}`;
}

/** Major and minor number of the oldest kernel that the programs load on. */
const OLDEST_KERNEL = [6, 1] as const;

/** Whether a kernel's release (`5.10.0-46-amd64`) is of a version older than those that we support. */
export function isOldKernel(release: string): boolean {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return major < OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor < OLDEST_KERNEL[1]);
}

/** What an administrator can do about the common ones. */
const advice: Readonly<Record<string, string>> = {
  EPERM:
    'run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; inside a container BPF may be forbidden altogether',
  EACCES: 'the kernel refused access; run as root, and see the verifier log if there is one',
  ENOMEM:
    'the machine has too little free memory for this table; choose a smaller hardware profile',
  E2BIG:
    'a structure or table is larger than this kernel accepts; choose smaller table sizes or update the kernel',
  ENOSPC: 'there is no room: the table, the verifier log or the queues of the device are too few',
  ENOTSUPP: `this kernel or driver does not support it; kernel ${OLDEST_KERNEL.join('.')} is the oldest that works`,
  EOPNOTSUPP: 'this kernel or driver does not support it; try the generic XDP mode',
  EBUSY: 'something else holds it; look for another XDP program with `bpftool net` and detach it',
  EOLDKERNEL: `boot kernel ${OLDEST_KERNEL.join('.')} or newer`,
  ENODEV: 'there is no such network interface in this network namespace',
  LIBBPF_EFORMAT: 'the file is not a BPF object of this release; build it again',
};

export interface BpfErrorOptions {
  /** Positive errno value, when there is one. */
  readonly errno?: number;
  /** Name used instead of the errno's. */
  readonly code?: string;
  /** More about it: the verifier's log, libbpf's messages. Put after the sentence. */
  readonly detail?: string;
  readonly cause?: unknown;
}

/**
 * A failure of BPF. `code` is the errno name (`EPERM`, `ENOENT` …), `message` a sentence that says
 * what was tried and what to do, then the tail of the verifier's log where there is one.
 */
export class BpfError extends Error {
  readonly code: string;
  readonly errno: number;
  /** Private, so that printing the error does not show it a second time. */
  readonly #detail: string;

  constructor(what: string, options: BpfErrorOptions = {}) {
    const errno = options.errno ?? 0;
    const code = options.code ?? (errno === 0 ? 'EBPF' : errnoName(errno));
    const detail = options.detail?.trim() ?? '';
    const hint = advice[code];
    const sentence = `${what}: ${code}${hint === undefined ? '' : `; ${hint}`}`;
    super(
      detail === '' ? sentence : `${sentence}\n${detail}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = 'BpfError';
    this.code = code;
    this.errno = errno;
    this.#detail = detail;
  }

  /** The verifier's log or libbpf's own messages; empty when they said nothing. */
  get detail(): string {
    return this.#detail;
  }
}

/** Last `lines` lines of a log: a verifier's reason stands at the end. */
export function tailOf(text: string, lines: number): string {
  const all = text.trimEnd().split('\n');
  return all.length <= lines ? all.join('\n') : `…\n${all.slice(-lines).join('\n')}`;
}
