/**
 * Many clients that keep their connections: each asks when all are told to, and waits meanwhile.
 *
 * Invariant: an answer counts when all of it came.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

/** How many are on their way to a connection at one time. */
const AT_ONCE = 100;

/** Asks once; how it was answered: `200`, another status, or how the connection ended. */
function ask(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let seen = '';
    const over = (how: string): void => {
      socket.removeAllListeners('data').removeAllListeners('close');
      resolve(how);
    };
    socket.on('data', (bytes) => {
      seen += bytes.toString('latin1');
      const end = seen.indexOf('\r\n\r\n');
      const length = /\r\ncontent-length: (\d+)/i.exec(seen)?.[1];
      if (end < 0 || length === undefined || seen.length < end + 4 + Number(length)) return;
      over(seen.slice(9, 12));
    });
    socket.once('close', () => {
      over('closed');
    });
    if (socket.destroyed) over('closed before');
    else socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  });
}

export class IdleClients {
  private constructor(private readonly sockets: readonly Socket[]) {}

  /** Over TLS where it is said how. */
  static async open(
    port: number,
    address: string,
    count: number,
    tls?: ConnectionOptions,
  ): Promise<IdleClients> {
    const sockets: Socket[] = [];
    const open = async (): Promise<void> => {
      while (sockets.length < count) {
        const where = { host: address, port, noDelay: true };
        const socket = tls === undefined ? connect(where) : connectTls({ ...where, ...tls });
        sockets.push(socket);
        await once(socket, tls === undefined ? 'connect' : 'secureConnect');
        socket.on('error', () => socket.destroy());
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(count, AT_ONCE) }, open));
    } catch (error) {
      for (const socket of sockets) socket.destroy();
      throw error;
    }
    return new IdleClients(sockets);
  }

  /** All of them ask, so many at one time; how often each kind of answer came. */
  async ask(atOnce: number = this.sockets.length): Promise<Readonly<Record<string, number>>> {
    const counts: Record<string, number> = {};
    const queue = [...this.sockets];
    const go = async (): Promise<void> => {
      for (let socket = queue.pop(); socket !== undefined; socket = queue.pop()) {
        const how = await ask(socket);
        counts[how] = (counts[how] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, go));
    return counts;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}
