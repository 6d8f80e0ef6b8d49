/**
 * An io_uring(7): io_uring_setup(2), io_uring_enter(2), io_uring_register(2), with its two rings and
 * its submission entries mapped into typed arrays.
 *
 * Invariants:
 * - The ring belongs to the thread that opened it, and completions appear only inside enter()
 *   (DEFER_TASKRUN): so plain loads and stores of the rings need no barriers.
 * - The arrays are dead once the ring is closed (memory.ts).
 * - The submission array, where the kernel wants one, names each entry's own place for ever: entry
 *   `tail & mask` is the next one in both forms.
 */
import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import * as abi from './io-uring-abi.js';
import { IoUringError, lackingOperations, refusal } from './io-uring-error.js';
import { close, errnoName } from './libc.js';
import { Mapping, pageSize } from './memory.js';

const libc = koffi.load(null);
const setup: (number: number, entries: number, params: Int32Array) => number = libc.func(
  'syscall',
  'int',
  ['long', 'uint32', 'void *'],
);
/** `argument` is an address: the block lies in a mapping, so that no buffer is wrapped per call. */
const enter: (
  number: number,
  fd: number,
  submit: number,
  complete: number,
  flags: number,
  argument: number,
  size: number,
) => number = libc.func('syscall', 'int', [
  'long',
  'int',
  'uint32',
  'uint32',
  'uint32',
  'uint64',
  'size_t',
]);
const register: (
  number: number,
  fd: number,
  operation: number,
  argument: Uint8Array,
  count: number,
) => number = libc.func('syscall', 'int', ['long', 'int', 'uint32', 'void *', 'uint32']);

const MODES =
  abi.IORING_SETUP_CQSIZE |
  abi.IORING_SETUP_CLAMP |
  abi.IORING_SETUP_SUBMIT_ALL |
  abi.IORING_SETUP_SINGLE_ISSUER |
  abi.IORING_SETUP_DEFER_TASKRUN;

/** Operations of the layer-7 path; all of them are in kernel 6.1. */
const NEEDED: readonly number[] = [
  abi.IORING_OP_POLL_ADD,
  abi.IORING_OP_SENDMSG,
  abi.IORING_OP_ACCEPT,
  abi.IORING_OP_ASYNC_CANCEL,
  abi.IORING_OP_CONNECT,
  abi.IORING_OP_CLOSE,
  abi.IORING_OP_SEND,
  abi.IORING_OP_RECV,
  abi.IORING_OP_SHUTDOWN,
];

/** Words of struct io_uring_params and where its parts begin in it. */
const PARAMS_WORDS = 30;
const SQ_OFFSETS = 10;
const CQ_OFFSETS = 20;

/** Words of the argument of enter: struct io_uring_getevents_arg, then a __kernel_timespec. */
const ARGUMENT_BYTES = 24;
const TIMESPEC = 8;

export interface IoUringOptions {
  /** Entries of the submission ring and of the completion ring; the kernel rounds up to powers of two. */
  readonly entries: number;
  readonly completions: number;
  /** `kept` does what kernels before 6.6 need, for tests; otherwise it is left out where it can be. */
  readonly submissionArray?: 'omitted' | 'kept';
}

/** Where a ring's counters are, as indexes into `IoUring.ring`. */
export interface RingPlaces {
  readonly head: number;
  readonly tail: number;
  readonly mask: number;
  readonly entries: number;
}

interface SetUp {
  readonly fd: number;
  readonly params: Int32Array;
  readonly array: 'omitted' | 'kept';
}

function word(words: Int32Array, index: number): number {
  const value = words[index];
  if (value === undefined) throw new RangeError(`no word ${index} of ${words.length}`);
  return value;
}

function disabledSysctl(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/io_uring_disabled', 'utf8').trim();
  } catch {
    return null; // before kernel 6.6, or no /proc: then nobody can have set it
  }
}

/** The set-up itself: the descriptor and what the kernel filled in, or the errno. */
function setUp(options: IoUringOptions, array: SetUp['array']): SetUp | number {
  const params = new Int32Array(PARAMS_WORDS);
  params[1] = options.completions;
  params[2] = MODES | (array === 'omitted' ? abi.IORING_SETUP_NO_SQARRAY : 0);
  const fd = setup(abi.SYS_IO_URING_SETUP, options.entries, params);
  return fd < 0 ? koffi.errno() : { fd, params, array };
}

export class IoUring {
  readonly fd: number;
  /** Both rings; signed, so that no element becomes a heap number. */
  readonly ring: Int32Array;
  /** The submission entries. */
  readonly sqes: Int32Array;
  readonly sq: RingPlaces;
  readonly cq: RingPlaces;
  /** Index of the count of completions that were lost for lack of memory. */
  readonly cqOverflow: number;
  /** Index of the first completion. */
  readonly cqes: number;
  readonly submissionArray: 'omitted' | 'kept';

  readonly #mappings: readonly Mapping[];
  readonly #argument: Int32Array;
  readonly #argumentAddress: number;
  #closed = false;

  private constructor(made: SetUp, rings: Mapping, entries: Mapping, argument: Mapping) {
    const { params } = made;
    this.fd = made.fd;
    this.submissionArray = made.array;
    this.#mappings = [rings, entries, argument];
    this.ring = new Int32Array(rings.buffer);
    this.sqes = new Int32Array(entries.buffer);
    const at = (base: number, field: number): number => word(params, base + field) >> 2;
    this.sq = {
      head: at(SQ_OFFSETS, 0),
      tail: at(SQ_OFFSETS, 1),
      mask: word(params, 0) - 1,
      entries: word(params, 0),
    };
    this.cq = {
      head: at(CQ_OFFSETS, 0),
      tail: at(CQ_OFFSETS, 1),
      mask: word(params, 1) - 1,
      entries: word(params, 1),
    };
    this.cqOverflow = at(CQ_OFFSETS, 4);
    this.cqes = at(CQ_OFFSETS, 5);
    if (made.array === 'kept') {
      const array = at(SQ_OFFSETS, 6);
      for (let index = 0; index < this.sq.entries; index += 1) this.ring[array + index] = index;
    }
    this.#argument = new Int32Array(argument.buffer);
    this.#argumentAddress = Number(argument.address);
    new BigUint64Array(argument.buffer)[2] = argument.address + BigInt(TIMESPEC * 4);
  }

  /** A ring, or why there is none. */
  static open(options: IoUringOptions): IoUring | IoUringError {
    let made =
      options.submissionArray === 'kept' ? setUp(options, 'kept') : setUp(options, 'omitted');
    // What the newest mode is to an older kernel; a missing older mode gives the same errno again.
    if (made === abi.errno.EINVAL) made = setUp(options, 'kept');
    if (typeof made === 'number') return refusal(made, disabledSysctl());
    const mapped: Mapping[] = [];
    try {
      const { fd, params } = made;
      const map = (length: number, offset: number): Mapping => {
        const mapping = Mapping.open(fd, { length, offset, access: 'write' });
        mapped.push(mapping);
        return mapping;
      };
      const submission = word(params, 0);
      const completion = word(params, 1);
      // One mapping has both rings (IORING_FEAT_SINGLE_MMAP, kernel 5.4).
      const rings = map(
        Math.max(
          word(params, CQ_OFFSETS + 5) + completion * abi.CQE_WORDS * 4,
          word(params, SQ_OFFSETS + 6) + submission * 4,
        ),
        abi.IORING_OFF_SQ_RING,
      );
      const entries = map(submission * abi.SQE_WORDS * 4, abi.IORING_OFF_SQES);
      const argument = Mapping.anonymous(pageSize);
      mapped.push(argument);
      const ring = new IoUring(made, rings, entries, argument);
      const lacking = ring.#lacking();
      if (lacking.length === 0) return ring;
      ring.close();
      return lackingOperations(lacking);
    } catch (cause) {
      for (const mapping of mapped) mapping.close();
      close(made.fd);
      return new IoUringError('The rings of an io_uring cannot be mapped', {
        code: 'ENOMEM',
        remedy: 'Free some memory, or raise the memory limit of the service.',
        cause,
      });
    }
  }

  /**
   * Submits `submit` entries and waits until `complete` completions are there or the time is over:
   * `milliseconds` below 0 is for ever. Returns how many entries were taken, or a negative errno;
   * never throws, never allocates. Completions for which the ring had no room are moved into it
   * before anything is waited for.
   */
  enter(submit: number, complete: number, milliseconds: number): number {
    let flags = abi.IORING_ENTER_GETEVENTS;
    let size = 0;
    let argument = 0;
    if (complete > 0 && milliseconds >= 0) {
      const seconds = (milliseconds / 1000) | 0;
      this.#argument[TIMESPEC] = seconds;
      this.#argument[TIMESPEC + 2] = (milliseconds - seconds * 1000) * 1_000_000;
      flags |= abi.IORING_ENTER_EXT_ARG;
      argument = this.#argumentAddress;
      size = ARGUMENT_BYTES;
    }
    const taken = enter(abi.SYS_IO_URING_ENTER, this.fd, submit, complete, flags, argument, size);
    return taken < 0 ? -koffi.errno() : taken;
  }

  /** Only submits: no completion appears. For a submission ring that is full in mid-turn. */
  submit(count: number): number {
    const taken = enter(abi.SYS_IO_URING_ENTER, this.fd, count, 0, 0, 0, 0);
    return taken < 0 ? -koffi.errno() : taken;
  }

  /**
   * Hands the kernel a ring of provided buffers (struct io_uring_buf_ring) of `entries` places, a
   * power of two up to 32,768, at a page-aligned address.
   */
  registerBuffers(group: number, address: bigint, entries: number): IoUringError | null {
    const argument = Buffer.alloc(40);
    argument.writeBigUInt64LE(address, 0);
    argument.writeUInt32LE(entries, 8);
    argument.writeUInt16LE(group, 12);
    return this.#register(abi.IORING_REGISTER_PBUF_RING, argument, 'take a ring of buffers');
  }

  /** The kernel lets go of a group's ring; operations under way keep the buffers that they have. */
  unregisterBuffers(group: number): IoUringError | null {
    const argument = Buffer.alloc(40);
    argument.writeUInt16LE(group, 12);
    return this.#register(abi.IORING_UNREGISTER_PBUF_RING, argument, 'give back a ring of buffers');
  }

  #register(operation: number, argument: Buffer, what: string): IoUringError | null {
    if (register(abi.SYS_IO_URING_REGISTER, this.fd, operation, argument, 1) >= 0) return null;
    return new IoUringError(`The kernel does not ${what}`, {
      code: errnoName(koffi.errno()),
      remedy: 'Free some memory, or choose fewer buffers.',
    });
  }

  /** Needed operations that the kernel does not have (IORING_REGISTER_PROBE). */
  #lacking(): number[] {
    const most = 256;
    const probe = Buffer.alloc(16 + most * 8);
    if (register(abi.SYS_IO_URING_REGISTER, this.fd, abi.IORING_REGISTER_PROBE, probe, most) < 0) {
      return [...NEEDED];
    }
    const supported = 1;
    return NEEDED.filter((operation) => {
      const flags = probe.readUInt16LE(16 + operation * 8 + 2);
      return operation > (probe[0] ?? 0) || (flags & supported) === 0;
    });
  }

  /** The kernel ends what is under way by itself, a moment later: cancel first where that matters. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const mapping of this.#mappings) mapping.close();
    close(this.fd);
  }
}
