/** The HTTP engine between raw sockets: members and clients that say exactly what a test wants. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { EngineDriver, type EngineOptions } from './http-engine.js';

export interface RawStage {
  readonly unit: EngineDriver;
  readonly socket: () => Socket;
}

/** What a socket says until it ends, and whether it was reset. */
export async function heardOf(socket: Socket): Promise<{ text: string; cut: boolean }> {
  let text = '';
  let cut = false;
  socket.setEncoding('latin1');
  socket.on('data', (piece: string) => (text += piece));
  socket.on('error', () => (cut = true));
  socket.on('end', () => socket.end());
  await new Promise<void>((resolve) => {
    socket.on('close', () => {
      resolve();
    });
  });
  return { text, cut };
}

export async function withRawMembers(
  members: readonly ((socket: Socket) => void)[],
  options: Omit<EngineOptions, 'ports'>,
  work: (stage: RawStage) => Promise<void>,
): Promise<void> {
  const servers: Server[] = [];
  const sockets: Socket[] = [];
  let unit: EngineDriver | null = null;
  try {
    for (const serve of members) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        sockets.push(socket);
        socket.on('error', () => socket.destroy());
        serve(socket);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      servers.push(server);
    }
    const ports = servers.map((server) => (server.address() as AddressInfo).port);
    unit = new EngineDriver({ ...options, ports });
    const { port } = unit;
    await work({
      unit,
      socket: () => {
        const made = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
        sockets.push(made);
        return made;
      },
    });
  } finally {
    try {
      unit?.end();
    } finally {
      for (const socket of sockets) socket.destroy();
      for (const server of servers) server.close();
    }
  }
}
