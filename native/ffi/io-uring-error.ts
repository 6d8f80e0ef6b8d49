/**
 * Why io_uring cannot be used here, in a sentence that tells the administrator what to change.
 *
 * Invariant: `refusal` is pure; what it needs to know of the machine comes in as arguments.
 */
import { errnoName } from './libc.js';

export interface IoUringErrorOptions {
  readonly code: string;
  /** What to do about it, as a sentence. */
  readonly remedy: string;
  readonly cause?: unknown;
}

/** `code` is an errno name or `EOLDKERNEL`; `message` says what happened and the remedy. */
export class IoUringError extends Error {
  readonly code: string;
  readonly remedy: string;

  constructor(what: string, options: IoUringErrorOptions) {
    super(
      `${what} (${options.code}). ${options.remedy}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = 'IoUringError';
    this.code = options.code;
    this.remedy = options.remedy;
  }
}

const oldKernel = 'Boot kernel 6.1 or newer.';

/**
 * Why io_uring_setup was refused. `disabled`: the value of the sysctl kernel.io_uring_disabled, or
 * null where there is none (before kernel 6.6).
 */
export function refusal(errno: number, disabled: string | null): IoUringError {
  const code = errnoName(errno);
  switch (code) {
    case 'ENOSYS':
      return new IoUringError('This kernel has no io_uring', {
        code,
        remedy:
          'Boot kernel 6.1 or newer with CONFIG_IO_URING; in a container, let its seccomp profile permit io_uring_setup, io_uring_enter and io_uring_register.',
      });
    case 'EPERM':
    case 'EACCES':
      if (disabled === '2') {
        return new IoUringError(
          'The sysctl kernel.io_uring_disabled forbids io_uring to everyone',
          {
            code,
            remedy: 'Set it to 0: sysctl -w kernel.io_uring_disabled=0, and in /etc/sysctl.d.',
          },
        );
      }
      if (disabled === '1') {
        return new IoUringError(
          'The sysctl kernel.io_uring_disabled permits io_uring to privileged processes only',
          {
            code,
            remedy:
              'Run Weir as root, or put its group into kernel.io_uring_group, or set kernel.io_uring_disabled to 0.',
          },
        );
      }
      return new IoUringError('A security policy forbids io_uring', {
        code,
        remedy:
          'Let the seccomp profile (of the container or of the systemd unit) permit io_uring_setup, io_uring_enter and io_uring_register, and look for denials of a security module in the audit log.',
      });
    case 'EINVAL':
      return new IoUringError('This kernel lacks modes of io_uring that Weir needs', {
        code: 'EOLDKERNEL',
        remedy: oldKernel,
      });
    case 'ENOMEM':
      return new IoUringError('There is not enough memory for an io_uring', {
        code,
        remedy: 'Free some memory, or raise the memory limit of the service.',
      });
    case 'EMFILE':
    case 'ENFILE':
      return new IoUringError('There is no descriptor left for an io_uring', {
        code,
        remedy: 'Raise the limit of open files (LimitNOFILE of the systemd unit, fs.file-max).',
      });
    default:
      return new IoUringError('io_uring cannot be set up', { code, remedy: oldKernel });
  }
}

/** Operations that the kernel's probe did not name. */
export function lackingOperations(operations: readonly number[]): IoUringError {
  return new IoUringError(`This kernel's io_uring lacks the operations ${operations.join(', ')}`, {
    code: 'EOLDKERNEL',
    remedy: oldKernel,
  });
}
