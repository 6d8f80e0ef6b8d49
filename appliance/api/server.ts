/**
 * The control API: HTTP/1.1 and JSON over a Unix socket (RFC 9112, RFC 8259).
 * Routing and body limits are fastify's; listening is done here on the http.Server
 * itself, because fastify's own listen() binds some ticks later and the umask of
 * the socket file must hold for exactly that call.
 *
 * Invariant: every answer but a stream is JSON (or YAML where asked for), and every
 * refusal is an `ErrorBody` with the status of contract.ts.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import Fastify, { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import { BODY_LIMIT_BYTES } from './contract.js';
import { errorBody, errorResponse } from './error-body.js';
import { Gate } from './identity.js';
import { Peers } from './peers.js';
import type { DaemonPort, Log } from './port.js';
import { decodeBody } from './requests.js';
import { addRoutes } from './routes.js';
import { listenOnSocketFile, type SocketFileOptions } from './socket-file.js';
import { StreamHub } from './stream.js';

export interface ApiOptions {
  readonly log: Log;
  /** Default 5000. */
  readonly heartbeatMs?: number;
  readonly now?: () => number;
  /** Whose peers are the console. */
  readonly consoleUser?: string | null;
}

/** How long requests in progress may take to finish once close() was called. */
const CLOSE_GRACE_MS = 2000;
/** Enough for every script on the unit; a runaway one must not exhaust descriptors. */
const MAX_CONNECTIONS = 512;
/** Longer than any name: 63 of a pool, 48 of `[IPv6]:port`, and their percent-encoding. */
const MAX_PARAMETER_LENGTH = 512;
const YAML_TYPES = ['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml'];

export class ApiServer {
  readonly #app: FastifyInstance;
  readonly #server: Server;
  readonly #hub: StreamHub;
  readonly #log: Log;

  constructor(app: FastifyInstance, server: Server, hub: StreamHub, log: Log) {
    this.#app = app;
    this.#server = server;
    this.#hub = hub;
    this.#log = log;
  }

  /** Errors: SocketFileError (in use, no socket, path too long, cannot listen). */
  async listen(path: string, options: Partial<SocketFileOptions> = {}): Promise<void> {
    await this.#app.ready();
    const { group = 'weir', mode = 0o660 } = options;
    await listenOnSocketFile(this.#server, path, { group, mode }, this.#log);
    this.#server.on('error', (err) => this.#log.error({ err }, 'The API socket failed.'));
    this.#log.info({ socket: path }, 'The API answers.');
  }

  /** Ends the streams, lets requests in progress finish, and removes the socket file. */
  async close(): Promise<void> {
    this.#hub.close();
    if (this.#server.listening) {
      const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
      this.#server.closeIdleConnections();
      const patience = setTimeout(() => this.#server.closeAllConnections(), CLOSE_GRACE_MS);
      await closed;
      clearTimeout(patience);
    }
    await this.#app.close();
  }
}

export function createApi(daemon: DaemonPort, options: ApiOptions): ApiServer {
  const { log } = options;
  let server: Server | undefined;
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    // The daemon's own patience with a request decides, and close() ends what is left.
    forceCloseConnections: false,
    return503OnClosing: true,
    // What the router itself refuses (a path that is no URL) never meets the error handler.
    frameworkErrors(error, _request, reply) {
      const { status, body } = errorResponse(error);
      reply.hijack();
      reply.raw
        .writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
        .end(JSON.stringify(body));
    },
    clientErrorHandler(error, socket) {
      refuseGarbage(error, socket, log);
    },
    serverFactory(handler) {
      server = createServer({ keepAliveTimeout: 60_000 }, handler);
      return server;
    },
  });
  if (server === undefined) throw new Error('fastify did not ask for its server');
  server.maxConnections = MAX_CONNECTIONS;
  // There may be a key in what has come, which would stay in node's own buffer until a request that is
  // as long. With a listener each piece has a buffer of its own, and it was parsed before this hears of it.
  server.on('connection', (socket: Socket) => {
    socket.on('data', (piece: Buffer) => piece.fill(0));
  });

  const hub = new StreamHub(daemon, log, {
    heartbeatMs: options.heartbeatMs ?? 5000,
    now: options.now ?? Date.now,
    version: async () => (await daemon.status()).version,
  });
  addBodies(app);
  addErrors(app, log);
  const peers = new Peers(options.consoleUser ?? null, log);
  const gate = new Gate(daemon.users, (request) => peers.originOf(request));
  gate.addTo(app, log);
  addRoutes(app, {
    daemon,
    hub,
    gate,
    authorOf: (request) => gate.identityOf(request).author,
    isProven: (request) => gate.identityOf(request).proven,
  });
  return new ApiServer(app, server, hub, log);
}

function addBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    parseInto(done, 'json', body);
  });
  app.addContentTypeParser(YAML_TYPES, { parseAs: 'buffer' }, (_request, body, done) => {
    parseInto(done, 'yaml', body);
  });
  // Certificates and keys; whatever expects a document refuses it.
  app.addContentTypeParser(
    'application/octet-stream',
    async (request: FastifyRequest, payload: IncomingMessage) =>
      wholeOctets(payload, request.routeOptions.bodyLimit ?? BODY_LIMIT_BYTES),
  );
}

/** All octets of a body; the pieces that they came in are wiped, since there may be a key in them. */
async function wholeOctets(payload: IncomingMessage, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    // Who sends too much is still to hear of it.
    const rest: AsyncIterable<Buffer> = payload.iterator({ destroyOnReturn: false });
    for await (const piece of rest) {
      pieces.push(piece);
      size += piece.length;
      if (size > limit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
    }
    return Buffer.concat(pieces);
  } finally {
    for (const piece of pieces) piece.fill(0);
  }
}

function parseInto(
  done: (error: Error | null, body?: unknown) => void,
  format: 'json' | 'yaml',
  body: string | Buffer,
): void {
  try {
    done(null, decodeBody(format, typeof body === 'string' ? Buffer.from(body) : body));
  } catch (error) {
    done(error instanceof Error ? error : new Error(String(error)));
  }
}

function addErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((error, request, reply) => {
    const { status, body, retryAfterMs, unexpected } = errorResponse(error);
    const where = { method: request.method, path: request.url };
    if (unexpected) log.error({ ...where, err: error }, 'A request failed unexpectedly.');
    else log.debug({ ...where, status, err: error }, 'A request was refused.');
    if (status === 401) reply.header('www-authenticate', 'Bearer');
    if (retryAfterMs !== null) reply.header('retry-after', Math.ceil(retryAfterMs / 1000));
    return reply.status(status).send(body);
  });
  const routes: { method: string; path: RegExp }[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    const path = new RegExp(`^${url.replace(/:[a-z]+/g, '[^/]+')}$`);
    for (const name of [method].flat()) if (name !== 'HEAD') routes.push({ method: name, path });
  });
  app.setNotFoundHandler((request, reply) => {
    const asked = request.url.split('?')[0] ?? '';
    const allowed = routes.filter(({ path }) => path.test(asked)).map(({ method }) => method);
    const path = `${request.method} ${request.url}`;
    if (allowed.length === 0) {
      return reply.status(404).send(errorBody('not-found', `There is no ${path} in this API.`));
    }
    return reply
      .status(405)
      .header('allow', allowed.join(', '))
      .send(errorBody('method-not-allowed', `${path}: use ${allowed.join(' or ')}.`));
  });
}

/** What is not even HTTP gets a proper refusal, and the connection ends. */
function refuseGarbage(error: NodeJS.ErrnoException, socket: Socket, log: Log): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  log.debug({ err: error }, 'A client does not speak HTTP.');
  const body = JSON.stringify(errorBody('bad-request', 'This is not an HTTP/1.1 request.'));
  socket.end(
    'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n' +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
