/**
 * TCP servers and clients for tests of streams: node's own sockets, ended with the test.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export type Serving = (socket: Socket) => void;

/** Sockets that nobody listens to would end the process with their errors. */
function quiet(socket: Socket): void {
  socket.on('error', () => {
    // Whoever cares listens too.
  });
}

export class TcpPeers {
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  /** A server on a free port of 127.0.0.1, which it returns. Its sockets may end halves. */
  async serve(serving: Serving): Promise<number> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#keep(socket);
      serving(socket);
    });
    this.#servers.push(server);
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  /** A client that is not yet connected. */
  client(port: number): Socket {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    this.#keep(socket);
    return socket;
  }

  /** A port of 127.0.0.1 where nobody listens. */
  async deadPort(): Promise<number> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  }

  async end(): Promise<void> {
    const closing = [...this.#sockets].filter((socket) => !socket.closed);
    const closed = closing.map((socket) => once(socket, 'close'));
    for (const socket of closing) socket.destroy();
    await Promise.all(closed);
    for (const server of this.#servers) {
      server.close();
      await once(server, 'close');
    }
  }

  #keep(socket: Socket): void {
    quiet(socket);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

/** Everything until the end; it stays open for writing. Fails when the connection is cut. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket.iterator({ destroyOnReturn: false })) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** How a connection ends: `end`, or the code of its error. Reads and drops what comes. */
export async function endOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
    socket.once('end', () => {
      resolve('end');
    });
    socket.resume();
  });
}

/** Says the same back, half by half. */
export const echo: Serving = (socket) => {
  socket.pipe(socket);
};
