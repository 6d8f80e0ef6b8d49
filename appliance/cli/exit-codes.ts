/**
 * How `weir` ends: its exit statuses, and the errors that lead to them.
 *
 * Invariant: these numbers are a stable interface for scripts. A new kind of
 * failure gets a new number; no number ever changes its meaning.
 */
import type { ErrorBody, ErrorCode } from '../api/contract.js';

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  unreachable: 3,
  invalid: 4,
  conflict: 5,
  notFound: 6,
  unsupported: 7,
  attention: 8,
  login: 9,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** For `weir --help`. */
export const EXIT_CODE_HELP = `Exit status:
  0  done
  1  failed: the message says why
  2  wrong use of the command line
  3  the daemon cannot be reached
  4  the configuration is not valid
  5  conflict: somebody else changed it, or nothing awaits confirmation
  6  no such pool, member, service, certificate or revision
  7  valid, but this build cannot execute it
  8  the unit needs attention (weir status --check, weir alerts --check)
  9  who is asking is not known: log in (weir login)`;

const EXIT_OF_ERROR: Readonly<Record<ErrorCode, ExitCode>> = {
  syntax: EXIT.invalid,
  invalid: EXIT.invalid,
  unsupported: EXIT.unsupported,
  conflict: EXIT.conflict,
  'revision-mismatch': EXIT.conflict,
  'not-found': EXIT.notFound,
  'too-large': EXIT.invalid,
  'bad-request': EXIT.usage,
  unauthenticated: EXIT.login,
  locked: EXIT.login,
  forbidden: EXIT.failure,
  'method-not-allowed': EXIT.failure,
  'unsupported-media-type': EXIT.failure,
  internal: EXIT.failure,
  unavailable: EXIT.failure,
};

/** A failure that is explained in a sentence or a few lines, without a stack. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: ExitCode;
  /** For `--json`: what the daemon answered, or the same shape made here. */
  readonly body: ErrorBody;

  constructor(code: ExitCode, message: string, body?: ErrorBody, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.body = body ?? { error: { code: errorCodeOf(code), message } };
  }
}

/** The daemon's refusal. `message` replaces its words where the CLI has better ones. */
export function refusal(body: ErrorBody, message = body.error.message): CliError {
  // A newer daemon may have a code that this client does not know.
  const exit: ExitCode | undefined = EXIT_OF_ERROR[body.error.code];
  return new CliError(exit ?? EXIT.failure, message, body);
}

const WHY_NOT: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is no directory',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
};

/** What the system said about a file, in people's words. */
export function whyNot(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return WHY_NOT[code] ?? error.message;
}

function errorCodeOf(code: ExitCode): ErrorCode {
  switch (code) {
    case EXIT.usage:
      return 'bad-request';
    case EXIT.unreachable:
      return 'unavailable';
    case EXIT.invalid:
      return 'invalid';
    case EXIT.conflict:
      return 'conflict';
    case EXIT.notFound:
      return 'not-found';
    case EXIT.unsupported:
      return 'unsupported';
    case EXIT.login:
      return 'unauthenticated';
    default:
      return 'internal';
  }
}
