/**
 * Clients of a proxy that fails over, in the client's namespace: each holds a connection that was
 * answered once, or whose answer never ends, or is under way, and says what becomes of it.
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
  /** Has a request under way, and asks again when that fails: `TRIES answered`. */
  readonly asks?: boolean;
}

export interface StrayEnd {
  /** The error's code, `closed` without one, `answered`, or `hangs`. */
  readonly how: string;
  /** From its last word, or from when it was told to look, in milliseconds. */
  readonly took: number;
}

const PATIENCE_MS = 20_000;
const PROBE_MS = 1000;

async function open({ address, port, tls }: StrayClient): Promise<Socket> {
  const socket = tls
    ? connectTls({ host: address, port, servername: 'shop.example', rejectUnauthorized: false })
    : connect({ host: address, port });
  await once(socket, tls ? 'secureConnect' : 'connect');
  return socket;
}

function request(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: shop.example\r\n\r\n`;
}

async function hold(client: StrayClient): Promise<Socket> {
  const socket = await open(client);
  if (client.receives) socket.setKeepAlive(true, PROBE_MS);
  socket.write(request(client.receives ? '/stream' : '/'));
  await once(socket, 'data');
  return socket;
}

/** Sends a request that takes its time, as often as it takes until one is answered. */
async function ask(client: StrayClient, under: Socket): Promise<StrayEnd> {
  const begun = performance.now();
  const took = (): number => Math.round(performance.now() - begun);
  for (let [socket, tries] = [under, 1]; ; tries += 1) {
    socket.setKeepAlive(true, PROBE_MS);
    socket.write(request('/slow'));
    try {
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      const well = answer.toString().startsWith('HTTP/1.1 200');
      return {
        how: `${tries} ${well ? 'answered' : answer.toString().slice(0, 40)}`,
        took: took(),
      };
    } catch (error) {
      if (took() > PATIENCE_MS) return { how: `${tries} ${String(error)}`, took: took() };
    }
    socket = await open(client);
  }
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
    socket.write(request('/'));
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const clients = JSON.parse(process.argv[2] ?? '') as StrayClient[];
  const sockets = await Promise.all(clients.map(hold));
  for (const socket of sockets) socket.on('error', () => undefined);
  const asked = clients.map((client, index) => {
    const socket = sockets[index];
    if (socket === undefined) throw new RangeError('a client without a connection');
    if (client.asks === true) return ask(client, socket);
    socket.resume();
    return null;
  });
  process.stdin.once('close', () => process.exit(0));
  const told = once(process.stdin, 'data');
  console.log('ready');
  await told;
  const ends = clients.map(({ receives }, index) => {
    const [socket, under] = [sockets[index], asked[index]];
    if (under !== null && under !== undefined) return under;
    if (socket === undefined) throw new RangeError('a client without a connection');
    return endOf(socket, !receives);
  });
  console.log(JSON.stringify(await Promise.all(ends)));
  process.exit(0);
}
