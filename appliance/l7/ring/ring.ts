/**
 * The two queues of an io_uring: operations in, completions out, io_uring_enter(2) once a turn.
 *
 * An operation carries a tag of two words through the kernel: what it is and whose (`tagOf`), and
 * the generation of whose slot it was. Completions go to one object, without an object for each.
 *
 * Invariants:
 * - An operation is never refused: what the submission ring has no room for waits in a backlog, in
 *   order.
 * - A completion counts as taken before it is handed on, so a handler that throws does not get it
 *   twice.
 * - No allocation for an operation or a completion: words only, and signed ones.
 */
import {
  CQE_WORDS,
  errno,
  IORING_ACCEPT_MULTISHOT,
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_ANY,
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_POLL_ADD_MULTI,
  IORING_RECV_MULTISHOT,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_NOSIGNAL,
  MSG_WAITALL,
  POLLIN,
  SOCK_CLOEXEC,
  SQE_WORDS,
} from '../../../native/ffi/io-uring-abi.js';
import { IoUringError } from '../../../native/ffi/io-uring-error.js';
import type { IoUring } from '../../../native/ffi/io-uring.js';

/** What a completion is of: the upper byte of the first word of its tag. */
export const Kind = {
  /** Nobody waits for it. */
  none: 0,
  accept: 1,
  receive: 2,
  send: 3,
  connect: 4,
  close: 5,
  wake: 6,
  /** node's own loop has something to do. */
  node: 7,
} as const;

/** How something is sent: the flags of send(2). */
export const Sending = {
  /**
   * What the kernel takes now, at least a byte. Not all of it (MSG_WAITALL): a short send tells at
   * once that a slow peer reads, and gives its buffers back.
   */
  plainly: MSG_NOSIGNAL,
  /** The same; it stays in the socket until the end that follows goes out with it. */
  last: MSG_NOSIGNAL | MSG_MORE,
  /**
   * All at once, and then there is no completion; or there is one, which says how much the kernel
   * took, or -EAGAIN.
   */
  quietly: MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL,
} as const;

/** Slots are below this. */
export const MOST_SLOTS = 1 << 24;

/** First word of a tag. The second one is the generation. */
export function tagOf(kind: number, slot: number): number {
  return (kind << 24) | slot;
}

/** What the ring needs of an io_uring; tests put a kernel of their own behind it. */
export type RingKernel = Pick<
  IoUring,
  'ring' | 'sqes' | 'sq' | 'cq' | 'cqOverflow' | 'cqes' | 'enter' | 'submit'
>;

export interface Completions {
  /** `result` is what the system call would return, or a negative errno; `flags` the kernel's. */
  completed(kind: number, slot: number, generation: number, result: number, flags: number): void;
}

/** The group of provided buffers that all receives take from. */
export const BUFFER_GROUP = 0;

export class Ring {
  readonly #kernel: RingKernel;
  readonly #ring: Int32Array;
  readonly #sqes: Int32Array;
  readonly #sqHead: number;
  readonly #sqTail: number;
  readonly #sqMask: number;
  readonly #entries: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  #tail: number;
  #backlog = new Int32Array(0);
  #backlogStart = 0;
  #backlogEnd = 0;

  constructor(kernel: RingKernel) {
    this.#kernel = kernel;
    this.#ring = kernel.ring;
    this.#sqes = kernel.sqes;
    this.#sqHead = kernel.sq.head;
    this.#sqTail = kernel.sq.tail;
    this.#sqMask = kernel.sq.mask;
    this.#entries = kernel.sq.entries;
    this.#cqHead = kernel.cq.head;
    this.#cqTail = kernel.cq.tail;
    this.#cqMask = kernel.cq.mask;
    this.#cqes = kernel.cqes;
    this.#tail = this.#ring[this.#sqTail] as number;
  }

  /** Operations that are not yet with the kernel. */
  get unsubmitted(): number {
    return this.#filled() + (this.#backlogEnd - this.#backlogStart) / SQE_WORDS;
  }

  /** Accepts one connection. */
  accept(fd: number, tag: number, generation: number): void {
    this.#push(IORING_OP_ACCEPT, fd, 0, 0, 0, 0, SOCK_CLOEXEC, tag, generation, 0);
  }

  /** Accepts connections on a listening socket until it is cancelled or fails. */
  acceptMany(fd: number, tag: number, generation: number): void {
    const first = IORING_OP_ACCEPT | (IORING_ACCEPT_MULTISHOT << 16);
    this.#push(first, fd, 0, 0, 0, 0, SOCK_CLOEXEC, tag, generation, 0);
  }

  /** Receives once, into a provided buffer. */
  receive(fd: number, tag: number, generation: number): void {
    const first = IORING_OP_RECV | (IOSQE_BUFFER_SELECT << 8);
    this.#push(first, fd, 0, 0, 0, 0, 0, tag, generation, 0);
  }

  /** Receives again and again, `most` bytes in all (kernel 6.17); with 0 there is no limit. */
  receiveMany(fd: number, most: number, tag: number, generation: number): void {
    const first = IORING_OP_RECV | (IOSQE_BUFFER_SELECT << 8) | (IORING_RECV_MULTISHOT << 16);
    this.#push(first, fd, 0, 0, 0, 0, 0, tag, generation, most);
  }

  /** Receives what is there now, up to `length` bytes, to an address; -EAGAIN when nothing is. */
  receiveNow(
    fd: number,
    low: number,
    high: number,
    length: number,
    tag: number,
    generation: number,
  ): void {
    this.#push(IORING_OP_RECV, fd, 0, low, high, length, MSG_DONTWAIT, tag, generation, 0);
  }

  /** Sends what lies at an address, in the `manner` of `Sending`. */
  send(
    fd: number,
    low: number,
    high: number,
    length: number,
    manner: number,
    tag: number,
    generation: number,
  ): void {
    const skip = manner === Sending.quietly ? IOSQE_CQE_SKIP_SUCCESS << 8 : 0;
    this.#push(IORING_OP_SEND | skip, fd, 0, low, high, length, manner, tag, generation, 0);
  }

  /** Sends plainly from several places; the address is that of a struct msghdr, which stays as it is. */
  sendMessage(fd: number, low: number, high: number, tag: number, generation: number): void {
    this.#push(IORING_OP_SENDMSG, fd, 0, low, high, 1, MSG_NOSIGNAL, tag, generation, 0);
  }

  /** The address is that of a sockaddr of `length` bytes, which stays as it is. */
  connect(
    fd: number,
    low: number,
    high: number,
    length: number,
    tag: number,
    generation: number,
  ): void {
    this.#push(IORING_OP_CONNECT, fd, length, low, high, 0, 0, tag, generation, 0);
  }

  close(fd: number, tag: number, generation: number): void {
    this.#push(IORING_OP_CLOSE, fd, 0, 0, 0, 0, 0, tag, generation, 0);
  }

  /** Tells each time that `fd` has become readable. */
  watch(fd: number, tag: number, generation: number): void {
    this.#push(IORING_OP_POLL_ADD, fd, 0, 0, 0, IORING_POLL_ADD_MULTI, POLLIN, tag, generation, 0);
  }

  /** Ends the operation with this tag; its own completion says how it ended. */
  cancel(tag: number, generation: number): void {
    this.#cancel(-1, tag, generation, 0);
  }

  /** Ends everything that is under way. */
  cancelAll(): void {
    this.#cancel(-1, 0, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
  }

  /**
   * Submits everything and waits for a completion, at most `milliseconds` (below 0: for ever).
   * Throws IoUringError when the ring can no longer be trusted.
   */
  enter(milliseconds: number): void {
    const backlog = this.#drainBacklog();
    this.#ring[this.#sqTail] = this.#tail;
    const wait = milliseconds === 0 || backlog || this.#ready() ? 0 : 1;
    const taken = this.#kernel.enter(this.#filled(), wait, milliseconds);
    if (taken >= 0) return;
    switch (-taken) {
      case errno.ETIME:
      case errno.EINTR:
        return;
      case errno.EAGAIN:
      case errno.EBUSY:
      case errno.ENOMEM: {
        // No memory for new operations: what completes now gives some back. Not for longer than
        // a millisecond, since nothing under way need complete at all.
        const again = this.#kernel.enter(0, this.#ready() ? 0 : 1, 1);
        if (again >= 0 || again === -errno.ETIME || again === -errno.EINTR) return;
        if (again === -errno.EAGAIN || again === -errno.EBUSY || again === -errno.ENOMEM) return;
        throw broken(-again);
      }
      default:
        throw broken(-taken);
    }
  }

  /**
   * Whether the completions that are there are all there are, of everything that was handed to the
   * kernel: none waits for room in the queue, no operation is still with us.
   */
  get complete(): boolean {
    const ready = ((this.#ring[this.#cqTail] as number) - (this.#ring[this.#cqHead] as number)) | 0;
    return ready <= this.#cqMask && this.unsubmitted === 0;
  }

  /** Goes through the completions that are there, and takes none: marks the slots of one kind. */
  mark(kind: number, marks: Int32Array, mark: number): void {
    const ring = this.#ring;
    const tail = ring[this.#cqTail] as number;
    for (let head = ring[this.#cqHead] as number; head !== tail; head = (head + 1) | 0) {
      const tag = ring[this.#cqes + (head & this.#cqMask) * CQE_WORDS] as number;
      if (tag >>> 24 === kind) marks[tag & (MOST_SLOTS - 1)] = mark;
    }
  }

  /** Hands on every completion that is there. Returns how many. */
  reap(to: Completions): number {
    const ring = this.#ring;
    const tail = ring[this.#cqTail] as number;
    let head = ring[this.#cqHead] as number;
    const count = (tail - head) | 0;
    while (head !== tail) {
      const at = this.#cqes + (head & this.#cqMask) * CQE_WORDS;
      const tag = ring[at] as number;
      const generation = ring[at + 1] as number;
      const result = ring[at + 2] as number;
      const flags = ring[at + 3] as number;
      head = (head + 1) | 0;
      ring[this.#cqHead] = head;
      to.completed(tag >>> 24, tag & (MOST_SLOTS - 1), generation, result, flags);
    }
    return count;
  }

  /** Completions that the kernel lost for lack of memory; then enter() fails as well (EBADR). */
  get lost(): number {
    return this.#ring[this.#kernel.cqOverflow] as number;
  }

  #ready(): boolean {
    return this.#ring[this.#cqHead] !== this.#ring[this.#cqTail];
  }

  #filled(): number {
    return (this.#tail - (this.#ring[this.#sqHead] as number)) | 0;
  }

  #cancel(fd: number, low: number, high: number, flags: number): void {
    // Nobody waits for "cancelled"; "no such operation" comes under a tag that nobody has.
    const first = IORING_OP_ASYNC_CANCEL | (IOSQE_CQE_SKIP_SUCCESS << 8);
    this.#push(first, fd, 0, low, high, 0, flags, tagOf(Kind.none, 0), 0, 0);
  }

  /** One struct io_uring_sqe. `first`: opcode, flags and ioprio. */
  #push(
    first: number,
    fd: number,
    offset: number,
    low: number,
    high: number,
    length: number,
    flags: number,
    tag: number,
    generation: number,
    last: number,
  ): void {
    let words = this.#sqes;
    let at: number;
    if (this.#hasRoom()) {
      at = (this.#tail & this.#sqMask) * SQE_WORDS;
      this.#tail = (this.#tail + 1) | 0;
    } else {
      at = this.#backlogPlace();
      words = this.#backlog;
    }
    words[at] = first;
    words[at + 1] = fd;
    words[at + 2] = offset;
    words[at + 3] = 0;
    words[at + 4] = low;
    words[at + 5] = high;
    words[at + 6] = length;
    words[at + 7] = flags;
    words[at + 8] = tag;
    words[at + 9] = generation;
    words[at + 10] = BUFFER_GROUP;
    words[at + 11] = last;
    words[at + 12] = 0;
    words[at + 13] = 0;
    words[at + 14] = 0;
    words[at + 15] = 0;
  }

  /** Whether the next operation can go into the ring: in order, and after one try to empty it. */
  #hasRoom(): boolean {
    if (this.#backlogEnd > 0) return false;
    if (this.#filled() < this.#entries) return true;
    this.#ring[this.#sqTail] = this.#tail;
    // Its failure shows as a ring that is still full, and again in enter(), which acts on it.
    this.#kernel.submit(this.#filled());
    return this.#filled() < this.#entries;
  }

  #backlogPlace(): number {
    if (this.#backlogEnd === this.#backlog.length) {
      const larger = new Int32Array(Math.max(64 * SQE_WORDS, this.#backlog.length * 2));
      larger.set(this.#backlog);
      this.#backlog = larger;
    }
    const at = this.#backlogEnd;
    this.#backlogEnd += SQE_WORDS;
    return at;
  }

  /** Moves what fits into the submission ring; true when some is left. */
  #drainBacklog(): boolean {
    if (this.#backlogEnd === 0) return false;
    while (this.#backlogStart < this.#backlogEnd && this.#filled() < this.#entries) {
      const at = (this.#tail & this.#sqMask) * SQE_WORDS;
      for (let word = 0; word < SQE_WORDS; word += 1) {
        this.#sqes[at + word] = this.#backlog[this.#backlogStart + word] as number;
      }
      this.#backlogStart += SQE_WORDS;
      this.#tail = (this.#tail + 1) | 0;
    }
    if (this.#backlogStart < this.#backlogEnd) return true;
    this.#backlogStart = 0;
    this.#backlogEnd = 0;
    return false;
  }
}

function broken(code: number): IoUringError {
  return new IoUringError(`io_uring_enter failed with errno ${code}`, {
    code: 'EURING',
    remedy:
      'The worker ends and is started anew; if this repeats, look into the kernel log for a lack of memory.',
  });
}
