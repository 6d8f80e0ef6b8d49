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
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { once } from 'node:events';

export const httpPort = 8080;
export const tcpPort = 9000;
export const udpPort = 5353;

export interface ServerSettings {
  readonly name: string;
  /** Every address that UDP is served at: the member's own and those on its lo. */
  readonly udpAddresses: readonly string[];
}

/** How long /slow takes, and how often /stream says something, in milliseconds. */
const slowAnswer = 1000;
const streamBeat = 20;

async function serveHttp(name: string): Promise<void> {
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    response.setHeader('x-member', name);
    switch (request.url) {
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
  });
  server.listen({ port: httpPort, host: '::', backlog: 4096 });
  await once(server, 'listening');
}

/** Answers each line with `NAME LINE`. */
async function serveTcp(name: string): Promise<void> {
  const server = createTcpServer({ noDelay: true }, (socket) => {
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      if (lines.length > 0) socket.write(lines.map((line) => `${name} ${line}\n`).join(''));
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
    serveHttp(settings.name),
    serveTcp(settings.name),
    ...settings.udpAddresses.map((address) => serveUdp(settings.name, address)),
  ]);
  console.log('ready');
}

if (process.argv[1]?.endsWith('server-process.js') === true) await main();
