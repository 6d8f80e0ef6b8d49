/**
 * The three ways in which the lab's client talks to a service, behind one small face:
 * open, ask and be told who answered, close. Every wait has the same limit. Source ports
 * are the kernel's choice, as with any client, so tuples of ended connections come again.
 *
 * Invariant: an answer counts only if it repeats the question, so a lost, doubled or
 * misdirected packet can never look like success.
 */
import { createSocket } from 'node:dgram';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface Exchange {
  /** Sends a question and resolves with the name of the member that answered it. */
  ask(question: string): Promise<string>;
  /** Ends in order; rejects when the other side does not. */
  close(): Promise<void>;
  /** Gives up everything at once. Safe after `close`. */
  destroy(): void;
}

export interface Target {
  readonly address: string;
  readonly port: number;
  readonly timeout: number;
  /** Which of the client's addresses it speaks from; left out: as its routes say. */
  readonly from?: string;
  /** Hears of every datagram that is sent again. */
  readonly onRepeat?: () => void;
}

/** As an option of a socket that connects. */
function localAddress({ from }: Target): { localAddress?: string } {
  return from === undefined ? {} : { localAddress: from };
}

/** `onPort` hears the source port as soon as the kernel has chosen it: also when opening fails. */
export type Opener = (target: Target, onPort: (port: number) => void) => Promise<Exchange>;

/** Tells the source port of a socket that has begun to connect. */
function tellPort(socket: Socket, onPort: (port: number) => void): void {
  // None when the kernel had no port left; the failure that follows says so.
  if (socket.localPort !== undefined) onPort(socket.localPort);
}

/**
 * Calls `late` after so many milliseconds, unless the returned function is called before. A
 * client that got no CPU for long wakes to timers first: what the kernel has received
 * for it by then is read before the time counts as up.
 */
function deadline(milliseconds: number, late: () => void): () => void {
  let over = false;
  const timer = setTimeout(() => {
    // The loop polls for input between the two.
    setImmediate(() =>
      setImmediate(() => {
        if (!over) late();
      }),
    );
  }, milliseconds);
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

/** A question under way: settled by an answer, an error, or the time limit. */
class Pending {
  private settle: { resolve: (text: string) => void; reject: (error: Error) => void } | null = null;
  private failure: Error | null = null;

  constructor(private readonly timeout: number) {}

  wait(): Promise<string> {
    if (this.failure !== null) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      const inTime = deadline(this.timeout, () => {
        this.fail(new Error('timeout'));
      });
      const end = (): void => {
        inTime();
        this.settle = null;
      };
      this.settle = {
        resolve: (text) => {
          end();
          resolve(text);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
    });
  }

  answer(text: string): void {
    if (this.settle === null) this.fail(new Error('garbled'));
    else this.settle.resolve(text);
  }

  fail(error: Error): void {
    this.failure ??= error;
    this.settle?.reject(this.failure);
  }
}

/** Takes `NAME QUESTION` apart; anything but the question that was asked is garbled. */
function memberOf(answer: string, question: string): string {
  const space = answer.indexOf(' ');
  if (space <= 0 || answer.slice(space + 1) !== question) throw new Error('garbled');
  return answer.slice(0, space);
}

/** A TCP connection to the line echo. */
export const openTcp: Opener = async (target, onPort) => {
  const socket = connect({
    ...{ host: target.address, port: target.port, noDelay: true },
    ...localAddress(target),
  });
  // It begins to connect in a turn that was queued before this one.
  process.nextTick(() => tellPort(socket, onPort));
  const pending = new Pending(target.timeout);
  let rest = '';
  let closing = false;
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    rest += text;
    for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
      pending.answer(rest.slice(0, end));
      rest = rest.slice(end + 1);
    }
  });
  socket.on('connect', () => {
    pending.answer('');
  });
  socket.on('error', (error) => {
    pending.fail(error);
  });
  socket.on('close', () => {
    if (closing) pending.answer('');
    else pending.fail(new Error('closed'));
  });
  try {
    await pending.wait();
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return {
    async ask(question) {
      const answer = pending.wait();
      socket.write(`${question}\n`);
      return memberOf(await answer, question);
    },
    async close() {
      closing = true;
      const answer = pending.wait();
      socket.end();
      await answer;
    },
    destroy: () => socket.destroy(),
  };
};

/**
 * One UDP socket, so one flow. There is nothing to open. Links and sockets of a busy machine lose
 * datagrams, so a question is asked up to three times, as a resolver does; that is told.
 */
export const openUdp: Opener = async (target, onPort) => {
  const socket = createSocket(target.address.includes(':') ? 'udp6' : 'udp4');
  const pending = new Pending(target.timeout);
  let open = true;
  /** Questions that may be answered once more. */
  const repeated = new Set<string>();
  let current = '';
  socket.on('message', (message) => {
    const text = message.toString('utf8');
    const question = text.slice(text.indexOf(' ') + 1);
    if (question === current || !repeated.has(question)) pending.answer(text);
  });
  socket.on('error', (error) => {
    pending.fail(error);
  });
  // Connected, so that an ICMP error for this flow is heard.
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    const join = (): void => {
      socket.connect(target.port, target.address, () => {
        socket.removeListener('error', reject);
        resolve();
      });
    };
    if (target.from === undefined) join();
    else socket.bind(0, target.from, join);
  });
  onPort(socket.address().port);
  const destroy = (): void => {
    if (open) socket.close();
    open = false;
  };
  return {
    async ask(question) {
      const answer = pending.wait();
      current = question;
      socket.send(question);
      const again = setInterval(() => {
        repeated.add(question);
        target.onRepeat?.();
        socket.send(question);
      }, target.timeout / 3);
      try {
        return memberOf(await answer, question);
      } finally {
        clearInterval(again);
        current = '';
      }
    },
    async close() {
      destroy();
    },
    destroy,
  };
};

/** One HTTP/1.1 connection, kept alive between questions. */
export const openHttp: Opener = async (target, onPort) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let connections = 0;
  const host = target.address.includes(':') ? `[${target.address}]` : target.address;
  return {
    ask: () =>
      new Promise((resolve, reject) => {
        const asked = request(
          {
            ...{ host: target.address, port: target.port, path: '/', agent, headers: { host } },
            ...localAddress(target),
          },
          (response) => {
            let body = '';
            response.setEncoding('utf8');
            response.on('data', (text: string) => (body += text));
            response.on('error', reject);
            response.on('end', () => {
              const member = body.trim();
              if (response.statusCode !== 200 || response.headers['x-member'] !== member) {
                reject(new Error(`status ${response.statusCode}`));
              } else resolve(member);
            });
          },
        );
        asked.setNoDelay(true);
        asked.once('socket', (socket) => {
          if (asked.reusedSocket) return;
          tellPort(socket, onPort);
          connections += 1;
          // A second connection would hide the loss of the first.
          if (connections > 1) socket.destroy(new Error('closed'));
        });
        const inTime = deadline(target.timeout, () => asked.destroy(new Error('timeout')));
        asked.once('close', inTime);
        asked.once('error', reject);
        asked.end();
      }),
    async close() {
      agent.destroy();
    },
    destroy() {
      agent.destroy();
    },
  };
};
