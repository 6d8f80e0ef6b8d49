/**
 * A timer as a descriptor, exact to what the kernel can: timerfd_create(2). Node's own timers count
 * in whole milliseconds. Its clock is CLOCK_MONOTONIC, as is process.hrtime().
 *
 * Invariant: `fd` is readable from the moment that was asked for until rest().
 */
import koffi from 'koffi';
import { close, drainEventfd, SystemError } from './libc.js';

const libc = koffi.load(null);
const cCreate: (clock: number, flags: number) => number = libc.func(
  'int timerfd_create(int clock, int flags)',
);
const cSettime: (fd: number, flags: number, value: Uint8Array, old: null) => number = libc.func(
  'int timerfd_settime(int fd, int flags, const void *value, void *old)',
);

const cGettime: (clock: number, time: Uint8Array) => number = libc.func(
  'int clock_gettime(int clock, void *time)',
);

const CLOCK_MONOTONIC = 1;
const CLOCK_THREAD_CPUTIME_ID = 3;
const TFD_NONBLOCK = 0o4000;
const TFD_CLOEXEC = 0o2000000;
const TFD_TIMER_ABSTIME = 1;
/** struct itimerspec: interval and value, each in seconds and nanoseconds. */
const ITIMERSPEC = 32;

/** Milliseconds of CLOCK_MONOTONIC. */
export function monotonicNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** struct timespec, as the kernel fills it. */
const timespec = new BigInt64Array(2);
const timespecBytes = new Uint8Array(timespec.buffer);

/** Milliseconds that this thread has run. */
export function threadTime(): number {
  if (cGettime(CLOCK_THREAD_CPUTIME_ID, timespecBytes) < 0) {
    throw new SystemError('clock_gettime', koffi.errno());
  }
  return Number(timespec[0]) * 1000 + Number(timespec[1]) / 1e6;
}

export class Timer {
  readonly fd: number;
  readonly #spec = Buffer.alloc(ITIMERSPEC);

  /** Throws SystemError. */
  constructor() {
    this.fd = cCreate(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (this.fd < 0) throw new SystemError('timerfd_create', koffi.errno());
  }

  /** `at`: as monotonicNow() counts, past moments too; Infinity: never. Throws SystemError. */
  set(at: number): void {
    // A time of 0 would mean never.
    const nanoseconds = at === Infinity ? 0n : BigInt(Math.max(1, Math.ceil(at * 1e6)));
    this.#spec.writeBigInt64LE(nanoseconds / 1_000_000_000n, 16);
    this.#spec.writeBigInt64LE(nanoseconds % 1_000_000_000n, 24);
    if (cSettime(this.fd, TFD_TIMER_ABSTIME, this.#spec, null) < 0) {
      throw new SystemError('timerfd_settime', koffi.errno());
    }
  }

  /** Makes `fd` silent until the next moment that is set. */
  rest(): void {
    drainEventfd(this.fd);
  }

  close(): void {
    close(this.fd);
  }
}
