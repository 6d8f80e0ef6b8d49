/**
 * Speaks HTTP to the daemon over its Unix socket. Node's own http does, since the
 * CLI starts for every Tab that somebody presses and each import is felt.
 *
 * Invariant: every failure becomes a `CliError` that says what to do; what comes
 * back is the daemon's answer unchanged, which is why `--json` is stable.
 */
import { request, type Agent, type IncomingMessage } from 'node:http';
import {
  BACKUP_LIMIT_BYTES,
  BODY_LIMIT_BYTES,
  type ErrorBody,
  type StreamMessage,
} from '../api/contract.js';
import { CliError, EXIT, refusal } from './exit-codes.js';

export interface Call {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** With its leading `/v1`; parts from people are encoded with `encodeURIComponent`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as YAML. */
  readonly yaml?: string;
  /** Sent as they are. */
  readonly octets?: Buffer;
  /** Of a key, in a header of its own. */
  readonly passphrase?: string;
  readonly accept?: string;
  readonly ifMatch?: number | undefined;
}

export class Client {
  readonly socket: string;
  /** Of a session or token; null: asks as whoever runs this. */
  secret: string | null = null;
  readonly #timeoutMs: number;
  readonly #agent: Agent | false;

  /**
   * `timeoutMs` is the longest silence of the daemon; applying a large document takes a while.
   * `agent` keeps connections for those who ask every second.
   */
  constructor(socket: string, timeoutMs = 60_000, agent: Agent | false = false) {
    this.socket = socket;
    this.#timeoutMs = timeoutMs;
    this.#agent = agent;
  }

  /** The answer's JSON. `T` is what contract.ts promises for this path. */
  async json<T>(call: Call): Promise<T> {
    const text = await this.text(call);
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new CliError(
        EXIT.failure,
        `What answers on ${this.socket} is not a Weir daemon: ${call.path} gave no JSON.`,
        undefined,
        cause,
      );
    }
  }

  async text(call: Call): Promise<string> {
    return (await this.octets(call)).toString('utf8');
  }

  /** The answer's octets. */
  async octets(call: Call): Promise<Buffer> {
    const response = await this.#send(call);
    const octets = await this.#collect(response);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return octets;
    throw this.#refused(status, octets.toString('utf8'));
  }

  /** Hears every line of a stream until it ends or `signal` aborts. */
  async stream<T = StreamMessage>(
    call: Call,
    onMessage: (message: T) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const response = await this.#send(call, signal);
    const status = response.statusCode ?? 0;
    if (status !== 200) {
      throw this.#refused(status, (await this.#collect(response)).toString('utf8'));
    }
    response.setEncoding('utf8');
    // The unfinished line, in pieces: joining them once keeps long lines linear.
    let pieces: string[] = [];
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const lines = chunk.split('\n');
        const last = lines.pop() ?? '';
        for (const end of lines) {
          const line = pieces.join('') + end;
          pieces = [];
          if (line !== '') onMessage(JSON.parse(line) as T);
        }
        if (last !== '') pieces.push(last);
      }
    } catch (error) {
      if (signal?.aborted === true) return;
      if (error instanceof Error && 'code' in error && error.code === 'ECONNRESET') {
        throw new CliError(
          EXIT.unreachable,
          'The stream broke off: the daemon died, or this reader was too slow.',
          undefined,
          error,
        );
      }
      throw error;
    }
  }

  #send(call: Call, signal?: AbortSignal): Promise<IncomingMessage> {
    const body = call.yaml ?? (call.json === undefined ? undefined : JSON.stringify(call.json));
    const bytes = call.octets ?? (body === undefined ? undefined : Buffer.from(body));
    const most = call.octets === undefined ? BODY_LIMIT_BYTES : BACKUP_LIMIT_BYTES;
    if (bytes !== undefined && bytes.length > most) {
      const message = `The document has ${bytes.length} bytes; the daemon takes at most ${most}.`;
      return Promise.reject(refusal({ error: { code: 'too-large', message } }));
    }
    const headers: Record<string, string | number> = { accept: call.accept ?? 'application/json' };
    if (bytes !== undefined) {
      headers['content-type'] =
        call.octets !== undefined
          ? 'application/octet-stream'
          : call.yaml === undefined
            ? 'application/json'
            : 'application/yaml';
      headers['content-length'] = bytes.length;
    }
    if (call.passphrase !== undefined) {
      headers['weir-passphrase'] = Buffer.from(call.passphrase).toString('base64');
    }
    if (this.secret !== null) headers['authorization'] = `Bearer ${this.secret}`;
    if (call.ifMatch !== undefined) headers['if-match'] = `"${call.ifMatch}"`;
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: this.socket,
          host: 'weir',
          method: call.method ?? 'GET',
          path: call.path + queryString(call.query ?? {}),
          headers,
          agent: this.#agent,
          timeout: this.#timeoutMs,
          ...(signal === undefined ? {} : { signal }),
        },
        resolve,
      );
      outgoing.on('timeout', () => {
        outgoing.destroy(
          new CliError(
            EXIT.unreachable,
            `The daemon on ${this.socket} has been silent for ${this.#timeoutMs / 1000} s.`,
          ),
        );
      });
      outgoing.on('error', (error) => reject(this.#unreachable(error)));
      outgoing.end(bytes);
    });
  }

  async #collect(response: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch (error) {
      throw this.#unreachable(error instanceof Error ? error : new Error(String(error)));
    }
    return Buffer.concat(chunks);
  }

  #refused(status: number, text: string): CliError {
    const body = parseErrorBody(text);
    if (body !== null) return refusal(body);
    return new CliError(
      EXIT.failure,
      `What answers on ${this.socket} is not a Weir daemon: it said HTTP ${status}.`,
    );
  }

  #unreachable(error: NodeJS.ErrnoException): CliError {
    if (error instanceof CliError) return error;
    return new CliError(EXIT.unreachable, reason(error, this.socket), undefined, error);
  }
}

function reason(error: NodeJS.ErrnoException, socket: string): string {
  switch (error.code) {
    case 'ENOENT':
      return `No daemon: there is no socket ${socket}. Start it with 'weir daemon', or name another with --socket or WEIR_SOCKET.`;
    case 'ECONNREFUSED':
      return `No daemon: nobody answers on ${socket}. Start it with 'weir daemon'.`;
    case 'EACCES':
    case 'EPERM':
      return `Not permitted to use ${socket}: be root, or join the group 'weir' and log in again.`;
    case 'ENOTSOCK':
      return `${socket} is not a socket: name the daemon's with --socket or WEIR_SOCKET.`;
    default:
      return `The daemon on ${socket} broke off: ${error.message}.`;
  }
}

function queryString(query: Readonly<Record<string, string | number | undefined>>): string {
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) given.set(key, String(value));
  }
  return given.size === 0 ? '' : `?${given.toString()}`;
}

function parseErrorBody(text: string): ErrorBody | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not JSON, so not the daemon's words: the caller says so.
    return null;
  }
  if (typeof value !== 'object' || value === null || !('error' in value)) return null;
  const { error } = value;
  if (typeof error !== 'object' || error === null) return null;
  if (!('code' in error) || typeof error.code !== 'string') return null;
  if (!('message' in error) || typeof error.message !== 'string') return null;
  return value as ErrorBody;
}
