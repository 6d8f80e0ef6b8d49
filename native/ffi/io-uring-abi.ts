/**
 * Numbers of the io_uring interface that Weir uses, as in linux/io_uring.h and linux/socket.h.
 * They are the same on x86-64 and arm64, the system calls' numbers among them.
 *
 * Invariant: only what kernel 6.1 has, or what is probed before use (named in io-uring.ts).
 */

export const SYS_IO_URING_SETUP = 425;
export const SYS_IO_URING_ENTER = 426;
export const SYS_IO_URING_REGISTER = 427;

export const IORING_SETUP_CQSIZE = 1 << 3;
export const IORING_SETUP_CLAMP = 1 << 4;
/** One bad entry does not stop the submission of those behind it. */
export const IORING_SETUP_SUBMIT_ALL = 1 << 7;
/** Only the thread that made the ring enters it. */
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
/** Completions are produced only inside io_uring_enter. Kernel 6.1. */
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13;
/** The kernel takes submission entries in order, without an index array. Kernel 6.6. */
export const IORING_SETUP_NO_SQARRAY = 1 << 16;

export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;

export const IORING_ENTER_GETEVENTS = 1;
export const IORING_ENTER_EXT_ARG = 1 << 3;

export const IORING_REGISTER_PROBE = 8;
export const IORING_REGISTER_PBUF_RING = 22;
export const IORING_UNREGISTER_PBUF_RING = 23;

/** Words (of 4 bytes) of one submission entry and of one completion entry. */
export const SQE_WORDS = 16;
export const CQE_WORDS = 4;

export const IORING_OP_POLL_ADD = 6;
export const IORING_OP_SENDMSG = 9;
export const IORING_OP_ACCEPT = 13;
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_CONNECT = 16;
export const IORING_OP_CLOSE = 19;
export const IORING_OP_SEND = 26;
export const IORING_OP_RECV = 27;
export const IORING_OP_SHUTDOWN = 34;

export const IOSQE_BUFFER_SELECT = 1 << 5;
/** A success posts no completion. */
export const IOSQE_CQE_SKIP_SUCCESS = 1 << 6;

/** In `ioprio` of accept and of receive. */
export const IORING_ACCEPT_MULTISHOT = 1;
export const IORING_RECV_MULTISHOT = 1 << 1;
/** In `len` of poll. */
export const IORING_POLL_ADD_MULTI = 1;

export const IORING_ASYNC_CANCEL_ALL = 1;
export const IORING_ASYNC_CANCEL_FD = 1 << 1;
export const IORING_ASYNC_CANCEL_ANY = 1 << 2;

/** A buffer was used; its number is in the upper 16 bits of the flags. */
export const IORING_CQE_F_BUFFER = 1;
/** The operation goes on: more completions follow. */
export const IORING_CQE_F_MORE = 1 << 1;
/** The socket held more than this receive took. */
export const IORING_CQE_F_SOCK_NONEMPTY = 1 << 2;

export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;
export const SHUT_WR = 1;
export const SOCK_CLOEXEC = 0o2000000;
export const POLLIN = 1;

/** errno values that the loop compares with, positive; the same on x86-64 and arm64. */
export const errno = {
  EINTR: 4,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EPROTO: 71,
  ETIME: 62,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
  ECANCELED: 125,
} as const;
