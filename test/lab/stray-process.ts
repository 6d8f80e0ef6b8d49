/**
 * Clients of a proxy that fails over, in the client's namespace: each holds a connection that was
 * answered once, or whose answer never ends, and says what becomes of it.
 *
 *     stray-process CLIENTS          a JSON array of StrayClient
 *
 * Out: `ready` when all hold one; after a line came in, a JSON array of StrayEnd. Who only receives says
 * nothing even then: its kernel asks after a second of silence whether the other end is there.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { pathToFileURL } from 'node:url';

export interface StrayClient {
  readonly address: string;
  readonly port: number;
  readonly tls: boolean;
  /** Asks for what never ends, and then says nothing more. */
  readonly receives: boolean;
}

export interface StrayEnd {
  /** The error's code, `closed` without one, `answered`, or `hangs`. */
  readonly how: string;
  /** From its last word, or from when it was told to look, in milliseconds. */
  readonly took: number;
}

const PATIENCE_MS = 20_000;
const PROBE_MS = 1000;

async function hold({ address, port, tls, receives }: StrayClient): Promise<Socket> {
  const socket = tls
    ? connectTls({ host: address, port, servername: 'shop.example', rejectUnauthorized: false })
    : connect({ host: address, port });
  await once(socket, tls ? 'secureConnect' : 'connect');
  if (receives) socket.setKeepAlive(true, PROBE_MS);
  socket.write(`GET ${receives ? '/stream' : '/'} HTTP/1.1\r\nHost: shop.example\r\n\r\n`);
  await once(socket, 'data');
  return socket;
}

function endOf(socket: Socket, speaks: boolean): Promise<StrayEnd> {
  const begun = performance.now();
  return new Promise((resolve) => {
    const end = (how: string): void => {
      clearTimeout(late);
      resolve({ how, took: Math.round(performance.now() - begun) });
    };
    const late = setTimeout(() => end('hangs'), PATIENCE_MS);
    socket.removeAllListeners();
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.on('close', () => end('closed'));
    if (!speaks) {
      socket.resume();
      return;
    }
    socket.on('data', () => end('answered'));
    socket.write('GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n');
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const clients = JSON.parse(process.argv[2] ?? '') as StrayClient[];
  const sockets = await Promise.all(clients.map(hold));
  for (const socket of sockets) socket.on('error', () => undefined).resume();
  process.stdin.once('close', () => process.exit(0));
  const told = once(process.stdin, 'data');
  console.log('ready');
  await told;
  const ends = clients.map(({ receives }, index) => {
    const socket = sockets[index];
    if (socket === undefined) throw new RangeError('a client without a connection');
    return endOf(socket, !receives);
  });
  console.log(JSON.stringify(await Promise.all(ends)));
  process.exit(0);
}
