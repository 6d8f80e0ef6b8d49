/**
 * A member's servers, in one process of their own so that SIGKILL is a real death:
 * HTTP on 8080, a TCP line echo on 9000, UDP on 5353. Each answer names the member.
 *
 * UDP needs one socket per address, because an answer must leave from the address that
 * the question came to, and Node does not tell a wildcard socket which one that was.
 *
 * Invariant: it ends when its standard input closes, so it never outlives the lab.
 */
import { createSocket } from 'node:dgram';
import { createHash } from 'node:crypto';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { once } from 'node:events';

export const httpPort = 8080;
export const tcpPort = 9000;
export const udpPort = 5353;

export interface ServerSettings {
  readonly name: string;
  /** Every address that UDP is served at: the member's own and those on its lo. */
  readonly udpAddresses: readonly string[];
  /** How long every answer over HTTP takes, probes included, in milliseconds. */
  readonly delay?: number;
}

/** How long /slow takes, and how often /stream says something, in milliseconds. */
const slowAnswer = 1000;
const streamBeat = 20;

/** What /large answers: 4 MiB in which no part is like another. */
export function largeBody(): string {
  return Array.from({ length: 1 << 18 }, (_, at) => at.toString(16).padStart(15, '0')).join('\n');
}

/** Sends as much as the other side takes, to its end. */
function flood(response: ServerResponse): void {
  const piece = Buffer.alloc(1 << 16, '.');
  const more = (): void => {
    while (!response.destroyed && response.write(piece));
  };
  response.on('drain', more);
  more();
}

async function serveHttp({ name, delay = 0 }: ServerSettings): Promise<void> {
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    if (delay > 0) setTimeout(() => answerHttp(name, request, response), delay);
    else answerHttp(name, request, response);
  });
  server.listen({ port: httpPort, host: '::', backlog: 4096 });
  await once(server, 'listening');
}

function answerHttp(name: string, request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('x-member', name);
  switch (request.url) {
    case '/large':
      response.end(largeBody());
      return;
    case '/flood':
      flood(response);
      return;
    case '/upload': {
      const hash = createHash('sha256');
      request.on('data', (bytes: Buffer) => hash.update(bytes));
      request.once('end', () => response.end(hash.digest('hex')));
      return;
    }
    case '/':
      response.end(`${name}\n`);
      return;
    case '/healthz':
      response.end('ok\n');
      return;
    case '/slow':
      setTimeout(() => response.end(`${name}\n`), slowAnswer);
      return;
    case '/stream': {
      const timer = setInterval(() => response.write(`${name}\n`), streamBeat);
      response.once('close', () => {
        clearInterval(timer);
      });
      return;
    }
    default:
      response.statusCode = 404;
      response.end('not here\n');
  }
}

/**
 * Answers each line with `NAME LINE`. `every MS` is answered by lines `NAME 0`, `NAME 1`, … so many
 * milliseconds apart, to the end of the connection: its client need not speak again.
 */
async function serveTcp(name: string): Promise<void> {
  const server = createTcpServer({ noDelay: true }, (socket) => {
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      if (lines.length > 0) socket.write(lines.map((line) => `${name} ${line}\n`).join(''));
      const period = /^every (\d+)$/.exec(lines.at(-1) ?? '')?.[1];
      if (period === undefined) return;
      let count = 0;
      const timer = setInterval(() => socket.write(`${name} ${count++}\n`), Number(period));
      socket.once('close', () => clearInterval(timer));
    });
    // A client that resets takes its connection with it, and nothing else.
    socket.on('error', () => socket.destroy());
  });
  server.listen({ port: tcpPort, host: '::', backlog: 4096 });
  await once(server, 'listening');
}

async function serveUdp(name: string, address: string): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message, from) => {
    socket.send(`${name} ${message.toString('utf8')}`, from.port, from.address);
  });
  socket.bind(udpPort, address);
  await once(socket, 'listening');
}

async function main(): Promise<void> {
  const settings = JSON.parse(process.argv[2] ?? '') as ServerSettings;
  process.stdin.resume().once('close', () => process.exit(0));
  await Promise.all([
    serveHttp(settings),
    serveTcp(settings.name),
    ...settings.udpAddresses.map((address) => serveUdp(settings.name, address)),
  ]);
  console.log('ready');
}

if (process.argv[1]?.endsWith('server-process.js') === true) await main();
