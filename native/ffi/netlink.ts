/**
 * A netlink socket on node's event loop: requests with their answers, dumps, notifications.
 * Source: netlink(7); kernel Documentation/userspace-api/netlink/intro.rst.
 *
 * Use one socket for requests and another for notifications: a burst of notifications then cannot
 * push answers out of the receive buffer.
 *
 * Invariants:
 * - The descriptor never blocks, and at most DATAGRAMS_PER_TURN are taken in one turn of the loop.
 * - Every request is settled: by its answer, by an error, or by close(). The process stays alive
 *   while one is pending.
 * - Lost notifications (ENOBUFS) are always told to the owner, who reads everything again.
 */
import {
  AF_NETLINK,
  bind,
  close,
  receive,
  send,
  sendApart,
  setsockoptInt,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_RAW,
  socket,
  SOL_SOCKET,
  SystemError,
} from './libc.js';
import {
  encodeMessage,
  NetlinkFormatError,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_MIN_TYPE,
  NLMSG_OVERRUN,
  readOutcome,
  splitMessages,
  type NetlinkMessage,
} from './netlink-message.js';
import type { Poller } from './poller.js';

export const NETLINK_ROUTE = 0;

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const SOCKADDR_NL_SIZE = 12;
const DATAGRAMS_PER_TURN = 32;
/** Requests in one datagram: their answers must fit into the receive buffer together. */
const REQUESTS_PER_DATAGRAM = 64;
const DUMP_ATTEMPTS = 5;
const ENOBUFS = 105;
const EINTR = 4;
const EBADF = 9;
const EMSGSIZE = 90;

export interface NetlinkOptions {
  readonly poller: Poller;
  /** Protocol; NETLINK_ROUTE unless told. */
  readonly protocol?: number;
  /** Multicast groups by number (RTNLGRP_…). */
  readonly groups?: readonly number[];
  /** Bytes of receive buffer. Beyond net.core.rmem_max it takes CAP_NET_ADMIN; less is used without. */
  readonly receiveBuffer?: number;
  /**
   * Requests are handed to the kernel by another thread. The kernel carries them out before it
   * returns, and waits for its lock of network settings (rtnl), which others may hold for long.
   */
  readonly apart?: boolean;
  /** Notifications, in order. */
  readonly onMessage?: (message: NetlinkMessage) => void;
  /** Notifications were lost: what was known from them is no longer true. */
  readonly onOverrun?: () => void;
}

export interface NetlinkRequest {
  readonly type: number;
  /** Besides NLM_F_REQUEST and NLM_F_ACK. */
  readonly flags?: number;
  readonly payload: Uint8Array;
}

/** The messages of an answer (none for a plain acknowledgement), or why there is none. */
export type NetlinkAnswer = readonly NetlinkMessage[] | SystemError;

interface Pending {
  readonly messages: NetlinkMessage[];
  interrupted: boolean;
  settle(answer: NetlinkAnswer): void;
}

export class NetlinkSocket {
  readonly #fd: number;
  readonly #options: NetlinkOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #from = Buffer.alloc(SOCKADDR_NL_SIZE);
  #buffer = Buffer.allocUnsafe(64 * 1024);
  #lastDump: Promise<unknown> = Promise.resolve();
  #sequence = 1;
  /** Datagrams that another thread is handing over: the descriptor is in use. */
  #underWay = 0;
  #closed = false;

  private constructor(fd: number, options: NetlinkOptions) {
    this.#fd = fd;
    this.#options = options;
  }

  /** Throws SystemError when the kernel refuses the socket, a group or an option. */
  static open(options: NetlinkOptions): NetlinkSocket {
    const fd = socket(AF_NETLINK, SOCK_RAW, options.protocol ?? NETLINK_ROUTE);
    try {
      const address = Buffer.alloc(SOCKADDR_NL_SIZE);
      address.writeUInt16LE(AF_NETLINK);
      bind(fd, address);
      setsockoptInt(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
      setsockoptInt(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
      setsockoptInt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
      setReceiveBuffer(fd, options.receiveBuffer ?? 1024 * 1024);
      for (const group of options.groups ?? []) {
        setsockoptInt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
      }
      const opened = new NetlinkSocket(fd, options);
      options.poller.add(fd, () => opened.#drain());
      return opened;
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** One request. Throws SystemError with the kernel's own sentence when it refuses. */
  async request(request: NetlinkRequest): Promise<readonly NetlinkMessage[]> {
    const [answer] = await this.batch([request]);
    if (answer === undefined) throw new Error('a netlink request went unanswered');
    if (answer instanceof SystemError) throw answer;
    return answer;
  }

  /** Many requests in few system calls; answer n belongs to request n, and one may fail alone. */
  async batch(requests: readonly NetlinkRequest[]): Promise<NetlinkAnswer[]> {
    const answers: NetlinkAnswer[] = [];
    for (let first = 0; first < requests.length; first += REQUESTS_PER_DATAGRAM) {
      const part = requests.slice(first, first + REQUESTS_PER_DATAGRAM);
      const waiting = part.map(({ type, flags = 0, payload }) =>
        this.#prepare(type, NLM_F_REQUEST | NLM_F_ACK | flags, payload),
      );
      this.#send(waiting);
      answers.push(...(await Promise.all(waiting.map(({ answer }) => answer))));
    }
    return answers;
  }

  /**
   * Everything of one kind. A dump that the kernel saw change under way is asked for again, and
   * after DUMP_ATTEMPTS an EINTR is thrown.
   */
  dump(type: number, payload: Uint8Array): Promise<readonly NetlinkMessage[]> {
    // The kernel runs one dump per socket and answers EBUSY to a second one.
    const turn = this.#lastDump.then(() => this.#dumpNow(type, payload));
    this.#lastDump = turn.catch(() => undefined);
    return turn;
  }

  async #dumpNow(type: number, payload: Uint8Array): Promise<readonly NetlinkMessage[]> {
    for (let attempt = 1; ; attempt += 1) {
      const waiting = this.#prepare(type, NLM_F_REQUEST | NLM_F_DUMP, payload);
      this.#send([waiting]);
      const answer = await waiting.answer;
      if (!(answer instanceof SystemError)) return answer;
      if (answer.code !== 'EINTR' || attempt === DUMP_ATTEMPTS) throw answer;
    }
  }

  /** Idempotent; pending requests fail with EBADF. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.poller.remove(this.#fd);
    if (this.#underWay === 0) close(this.#fd);
    this.#failAll(new SystemError('netlink', EBADF, 'the socket was closed'));
  }

  #prepare(
    type: number,
    flags: number,
    payload: Uint8Array,
  ): { message: Buffer; answer: Promise<NetlinkAnswer>; sequence: number } {
    if (this.#closed) throw new SystemError('netlink', EBADF, 'the socket was closed');
    const sequence = this.#sequence;
    // 0 is what notifications carry.
    this.#sequence = sequence === 0xffffffff ? 1 : sequence + 1;
    this.#options.poller.ref();
    const answer = new Promise<NetlinkAnswer>((resolve) => {
      this.#pending.set(sequence, {
        messages: [],
        interrupted: false,
        settle: (value) => {
          this.#pending.delete(sequence);
          this.#options.poller.unref();
          resolve(value);
        },
      });
    });
    return { message: encodeMessage(type, flags, sequence, payload), answer, sequence };
  }

  #send(waiting: readonly { message: Buffer; sequence: number }[]): void {
    const datagram = Buffer.concat(waiting.map(({ message }) => message));
    const refused = (error: unknown): void => {
      if (!(error instanceof SystemError)) throw error;
      for (const { sequence } of waiting) this.#pending.get(sequence)?.settle(error);
    };
    if (this.#options.apart === true) {
      this.#underWay += 1;
      void sendApart(this.#fd, datagram)
        .catch(refused)
        .finally(() => {
          this.#underWay -= 1;
          if (this.#closed && this.#underWay === 0) close(this.#fd);
        });
      return;
    }
    try {
      send(this.#fd, datagram);
    } catch (error) {
      refused(error);
    }
  }

  #drain(): void {
    for (let turn = 0; turn < DATAGRAMS_PER_TURN && !this.#closed; turn += 1) {
      let length: number | null;
      try {
        length = receive(this.#fd, this.#buffer, this.#from);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        // ENOBUFS: the receive buffer overflowed. Anything else means the same to the owner.
        this.#lost(error);
        continue;
      }
      if (length === null) return;
      if (length > this.#buffer.length) {
        this.#buffer = Buffer.allocUnsafe(length * 2);
        this.#lost(new SystemError('recvfrom', EMSGSIZE, `a datagram of ${length} bytes was cut`));
        continue;
      }
      // Only the kernel (port 0) is believed.
      if (this.#from.readUInt32LE(4) !== 0) continue;
      this.#take(Buffer.from(this.#buffer.subarray(0, length)));
    }
  }

  #take(datagram: Buffer): void {
    let messages: NetlinkMessage[];
    try {
      messages = splitMessages(datagram);
    } catch (error) {
      if (!(error instanceof NetlinkFormatError)) throw error;
      this.#lost(new SystemError('netlink', EMSGSIZE, error.message));
      return;
    }
    for (const message of messages) {
      if (message.type === NLMSG_OVERRUN) {
        this.#lost(new SystemError('netlink', ENOBUFS));
        continue;
      }
      const pending = this.#pending.get(message.sequence);
      if (pending !== undefined) this.#answer(pending, message);
      else if (message.type >= NLMSG_MIN_TYPE) this.#options.onMessage?.(message);
      if (this.#closed) return;
    }
  }

  #answer(pending: Pending, message: NetlinkMessage): void {
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) pending.interrupted = true;
    if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) {
      pending.messages.push(message);
      return;
    }
    const { errno, detail } = readOutcome(message);
    if (errno !== 0) pending.settle(new SystemError('netlink', errno, detail));
    else if (pending.interrupted) pending.settle(new SystemError('netlink', EINTR, 'dump changed'));
    else pending.settle(pending.messages);
  }

  #lost(why: SystemError): void {
    this.#failAll(why);
    this.#options.onOverrun?.();
  }

  #failAll(error: SystemError): void {
    for (const pending of [...this.#pending.values()]) pending.settle(error);
  }
}

function setReceiveBuffer(fd: number, bytes: number): void {
  try {
    setsockoptInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes);
  } catch (error) {
    if (!(error instanceof SystemError && error.code === 'EPERM')) throw error;
    setsockoptInt(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  }
}
