/**
 * Serves metrics by HTTP on the addresses that the unit's configuration names: GET and HEAD of
 * /metrics, nothing else.
 *
 * Invariants: what listens off-box asks every client for the token; a client from elsewhere than
 * `allow` says is not even read. Connections, scrapes at one time and their durations are bounded. An
 * address that cannot be had is tried again, and is said meanwhile.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { BlockList, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import type { Alarm, MetricsView } from '../api/contract.js';
import type { Log } from '../api/port.js';
import { parseEndpoint } from '../config/addresses.js';
import { FAMILIES } from './families.js';
import { CONTENT_TYPES, exposition, type Format } from './format.js';
import { acceptsGzip, formatFor } from './negotiate.js';
import { Collector, type MetricsSource, type Snapshot } from './snapshot.js';
import { Slices } from './slices.js';
import { hasToken, readToken, TokenError } from './token.js';

export interface MetricsSettings {
  /** Each `ADDRESS:PORT`. */
  readonly listen: readonly string[];
  readonly 'token-file'?: string | undefined;
  /** Prefixes of clients; left out: all. */
  readonly allow?: readonly string[] | undefined;
}

export interface MetricsServerOptions {
  /** Null: not yet. */
  readonly source: () => MetricsSource | null;
  readonly log: Pick<Log, 'debug' | 'info' | 'warn' | 'error'>;
  /** After an address could not be had; default 5 s. */
  readonly retryMs?: number;
  /** The longest that a client may take for an answer; default 30 s. */
  readonly answerMs?: number;
}

const RETRY_MS = 5000;
const ANSWER_MS = 30_000;
const MAX_CONNECTIONS = 32;
const MAX_SCRAPES = 2;

interface Listener {
  readonly server: Server;
  /** Null while it listens. */
  problem: string | null;
  since: number;
}

export class MetricsServer {
  readonly #options: MetricsServerOptions;
  readonly #collector = new Collector();
  readonly #listeners = new Map<string, Listener>();
  #settings: MetricsSettings | null = null;
  #allowed: BlockList | null = null;
  #tokenProblem: { readonly message: string; readonly since: number } | null = null;
  #scrapes = 0;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: MetricsServerOptions) {
    this.#options = options;
  }

  /** Goes by these from now on; null: nothing is served. */
  follow(settings: MetricsSettings | null): void {
    if (this.#closed || JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    this.#settings = settings;
    this.#allowed = settings?.allow === undefined ? null : allowList(settings.allow);
    this.#tokenProblem = null;
    const wanted = new Set(settings?.listen ?? []);
    for (const [address, listener] of [...this.#listeners]) {
      if (wanted.has(address)) {
        // Whoever was let in before may not be any more.
        listener.server.closeAllConnections();
        continue;
      }
      this.#listeners.delete(address);
      end(listener.server);
    }
    for (const address of wanted) if (!this.#listeners.has(address)) this.#listen(address);
    const file = settings?.['token-file'];
    if (file !== undefined) void this.#token(file);
  }

  /** Null: nothing is asked for. */
  view(): MetricsView | null {
    if (this.#settings === null) return null;
    const listening: string[] = [];
    const problems: string[] = this.#tokenProblem === null ? [] : [this.#tokenProblem.message];
    for (const [address, { server, problem }] of this.#listeners) {
      if (problem !== null) problems.push(problem);
      else if (server.listening) listening.push(`http://${address}/metrics`);
    }
    return { listening, token: this.#settings['token-file'] !== undefined, problems };
  }

  alarms(): Alarm[] {
    const found: { readonly message: string; readonly since: number }[] = [];
    for (const { problem, since } of this.#listeners.values()) {
      if (problem !== null) found.push({ message: problem, since });
    }
    if (this.#tokenProblem !== null) found.push(this.#tokenProblem);
    return found.map((one) => ({ code: 'metrics', severity: 'warning', ...one }));
  }

  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    for (const { server } of this.#listeners.values()) end(server);
    this.#listeners.clear();
    this.#collector.close();
  }

  #listen(address: string): void {
    const endpoint = parseEndpoint(address);
    if (!endpoint.ok) throw new RangeError(endpoint.message);
    const server = createServer(
      {
        ...{ headersTimeout: 5000, requestTimeout: 10_000, connectionsCheckingInterval: 1000 },
        ...{ keepAliveTimeout: 75_000, maxHeaderSize: 8192 },
      },
      (request, response) => void this.#answer(request, response),
    );
    server.maxConnections = MAX_CONNECTIONS;
    const listener: Listener = { server, problem: null, since: Date.now() };
    this.#listeners.set(address, listener);
    server.on('connection', (socket: Socket) => {
      if (!this.#admits(socket)) socket.destroy();
    });
    server.on('error', (error) => {
      if (this.#listeners.get(address) !== listener) return;
      listener.problem = `Metrics are not served at ${address}: ${error.message}.`;
      this.#options.log.warn({ err: error, address }, 'Metrics cannot be served; trying again.');
      this.#tryAgain();
    });
    server.on('listening', () => {
      listener.problem = null;
      this.#options.log.info({ address }, 'Metrics are served.');
    });
    const { address: host, port } = endpoint.value;
    server.listen({ host, port, ipv6Only: host.includes(':') });
  }

  #tryAgain(): void {
    if (this.#retry !== null || this.#closed) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      for (const [address, { problem, since }] of [...this.#listeners]) {
        if (problem === null) continue;
        this.#listen(address);
        const anew = this.#listeners.get(address);
        if (anew !== undefined) Object.assign(anew, { problem, since });
      }
    }, this.#options.retryMs ?? RETRY_MS);
    this.#retry.unref();
  }

  #admits({ remoteAddress, remoteFamily }: Socket): boolean {
    if (this.#allowed === null) return true;
    // A connection that ended already has no address.
    if (remoteAddress === undefined) return false;
    const [address = ''] = remoteAddress.split('%');
    return this.#allowed.check(address, remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4');
  }

  /** The token; null when there is none to be had, which is told once. */
  async #token(file: string): Promise<string | null> {
    try {
      const token = await readToken(file);
      this.#tokenProblem = null;
      return token;
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      if (this.#tokenProblem?.message !== error.message) {
        this.#tokenProblem = { message: error.message, since: Date.now() };
        this.#options.log.warn({ err: error }, 'Nobody gets metrics.');
      }
      return null;
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Nothing that is sent with a request is of interest.
    request.resume();
    response.on('error', (err) => this.#options.log.debug({ err }, 'A scrape broke off.'));
    const deadline = setTimeout(
      () => request.socket.destroy(),
      this.#options.answerMs ?? ANSWER_MS,
    );
    try {
      await this.#route(request, response);
    } catch (err) {
      if (response.destroyed || request.socket.destroyed) {
        this.#options.log.debug({ err }, 'A scrape broke off.');
      } else {
        this.#options.log.error({ err }, 'A scrape failed.');
        if (response.headersSent) request.socket.destroy();
        else refuse(response, 500, 'The metrics cannot be collected: see the log of the daemon.');
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const file = this.#settings?.['token-file'];
    if (file !== undefined) {
      const token = await this.#token(file);
      if (token === null) {
        refuse(response, 503, 'The token of this unit cannot be read: see weir status.');
        return;
      }
      if (!hasToken(request.headers.authorization, token)) {
        response.setHeader('www-authenticate', 'Bearer realm="weir metrics"');
        refuse(response, 401, 'Give the token of this unit: Authorization: Bearer TOKEN.');
        return;
      }
    }
    if (request.url?.split('?')[0] !== '/metrics') {
      refuse(response, 404, 'Only /metrics is here.');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      refuse(response, 405, 'Use GET or HEAD.');
      return;
    }
    const format = formatFor(request.headers.accept);
    response.setHeader('content-type', CONTENT_TYPES[format]);
    response.setHeader('vary', 'accept, accept-encoding');
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    if (this.#scrapes >= MAX_SCRAPES) {
      response.setHeader('retry-after', '1');
      refuse(response, 503, 'Others scrape just now: try again.');
      return;
    }
    this.#scrapes += 1;
    try {
      const packed = acceptsGzip(request.headers['accept-encoding']);
      await this.#send(response, format, packed);
    } finally {
      this.#scrapes -= 1;
    }
  }

  async #send(response: ServerResponse, format: Format, packed: boolean): Promise<void> {
    const source = this.#options.source();
    if (source === null) {
      refuse(response, 503, 'The daemon begins just now: try again.');
      return;
    }
    const snapshot = await this.#collector.collect(source);
    const text = Readable.from(pieces(snapshot, format), { objectMode: false });
    if (!packed) {
      await pipeline(text, response);
      return;
    }
    response.setHeader('content-encoding', 'gzip');
    await pipeline(text, createGzip({ level: constants.Z_BEST_SPEED }), response);
  }
}

/** Others have their turn in between. */
async function* pieces(snapshot: Snapshot, format: Format): AsyncGenerator<Buffer, void, void> {
  const slices = new Slices();
  for (const piece of exposition(FAMILIES, snapshot, format)) {
    if (piece !== '') yield Buffer.from(piece);
    if (slices.over) await slices.rest();
  }
}

function refuse(response: ServerResponse, status: number, sentence: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${sentence}\n`);
}

function end(server: Server): void {
  server.close();
  server.closeAllConnections();
}

function allowList(prefixes: readonly string[]): BlockList {
  const list = new BlockList();
  for (const prefix of prefixes) {
    const [address = '', length = ''] = prefix.split('/');
    list.addSubnet(address, Number(length), address.includes(':') ? 'ipv6' : 'ipv4');
  }
  return list;
}
