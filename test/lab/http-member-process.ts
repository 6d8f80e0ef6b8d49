/**
 * An HTTP member of the proxy's tests, in a process of its own so that SIGKILL is a real death:
 * Node's server on 8080, with a WebSocket echo. What it does is in the path of the request.
 *
 * Invariant: it ends when its standard input closes, so it never outlives the lab.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocketServer } from 'ws';
import { Pattern } from './pattern.js';

export const memberPort = 8080;

/** What `/echo` says of a request. */
export interface Echo {
  readonly member: string;
  readonly method: string;
  readonly url: string;
  readonly version: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  readonly bytes: number;
  readonly sha256: string;
  /** Who opened the connection. */
  readonly peer: string;
}

const name = process.argv[2] ?? '';

/** Sends `/pattern/BYTES`, as fast as the other side takes it. */
async function sendPattern(response: ServerResponse, bytes: number): Promise<void> {
  for (const piece of new Pattern(bytes)) {
    if (response.destroyed) return;
    if (response.write(piece)) continue;
    await Promise.race([once(response, 'drain'), once(response, 'close')]);
  }
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  request.on('data', (piece: Buffer) => {
    bytes += piece.length;
    hash.update(piece);
  });
  await once(request, 'end');
  const said: Echo = {
    member: name,
    method: request.method ?? '',
    url: request.url ?? '',
    version: request.httpVersion,
    headers: request.headers as Record<string, string>,
    trailers: request.trailers as Record<string, string>,
    bytes,
    sha256: hash.digest('hex'),
    peer: request.socket.remoteAddress ?? '',
  };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(said));
}

/** Ways to die in the middle of an answer: what was written on the connection before. */
const lastWords: Readonly<Record<string, string>> = {
  nothing: '',
  head: 'HTTP/1.1 200 OK\r\nContent-Type: text/pl',
  body: 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot all of it',
  chunk: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n100\r\nnot all',
};

function die(socket: Socket, where: string): void {
  const words = lastWords[where] ?? '';
  if (words === '') socket.destroy();
  else socket.write(words, () => socket.destroy());
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = ''] = (request.url ?? '').split('?');
  const [, what = '', value = ''] = path.split('/');
  response.setHeader('x-member', name);
  switch (what) {
    case 'pattern':
      response.setHeader('content-length', value);
      await sendPattern(response, Number(value));
      response.end();
      return;
    case 'chunked':
      response.setHeader('trailer', 'x-bytes');
      await sendPattern(response, Number(value));
      response.addTrailers({ 'x-bytes': value });
      response.end();
      return;
    case 'echo':
      await echo(request, response);
      return;
    case 'status':
      response.statusCode = Number(value);
      response.end(Number(value) === 204 || Number(value) === 304 ? '' : `${name}\n`);
      return;
    case 'slow':
      setTimeout(() => response.end(`${name}\n`), Number(value));
      return;
    case 'die':
      die(request.socket, value);
      return;
    case 'flaky':
      response.statusCode = value === name ? 500 : 200;
      response.end(`${name}\n`);
      return;
    case 'login':
      response.setHeader('set-cookie', `SESSION=${value}; Path=/`);
      response.end(`${name}\n`);
      return;
    case 'fields':
      response.setHeader('x-secret', 'inside');
      response.setHeader('x-kept', 'kept');
      response.end(`${name}\n`);
      return;
    default:
      request.resume();
      response.end(`${name}\n`);
  }
}

async function main(): Promise<void> {
  process.stdin.resume().once('close', () => process.exit(0));
  const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.error(error);
      response.destroy();
    });
  });
  const sockets = new WebSocketServer({ server, path: '/ws' });
  sockets.on('connection', (socket) => {
    socket.on('message', (data, binary) => {
      socket.send(data, { binary });
    });
    // A client that resets takes its connection with it, and nothing else.
    socket.on('error', () => {
      socket.terminate();
    });
  });
  server.listen({ port: memberPort, host: '::', backlog: 4096 });
  await once(server, 'listening');
  console.log('ready');
}

if (process.argv[1]?.endsWith('http-member-process.js') === true) await main();
