/**
 * `GET /v1/stream`: events and counter deltas as they happen, one JSON object a line
 * (NDJSON). One subscription to the daemon feeds all readers, and each line is
 * serialised once.
 *
 * Invariant: a reader costs at most `BUFFER_LIMIT_BYTES` and one line. Who has not
 * read that much is disconnected, because a stream with holes would lie, and memory
 * that grows with the slowest reader would take the unit down.
 */
import type { ServerResponse } from 'node:http';
import type { StreamMessage } from './contract.js';
import { type DaemonPort, type Log, type Observation, PortError } from './port.js';

export const BUFFER_LIMIT_BYTES = 1024 * 1024;
export const MAX_READERS = 64;

export type Topic = 'events' | 'counters';

export interface StreamOptions {
  /** A line comes at least this often, so that a reader can tell quiet from dead. */
  readonly heartbeatMs: number;
  readonly version: () => Promise<string>;
  readonly now: () => number;
}

interface Reader {
  readonly response: ServerResponse;
  readonly topics: ReadonlySet<Topic>;
  /** Whether who is reading still may. */
  readonly may: () => boolean;
}

export class StreamHub {
  readonly #daemon: DaemonPort;
  readonly #log: Log;
  readonly #options: StreamOptions;
  readonly #readers = new Set<Reader>();
  #unsubscribe: (() => void) | null = null;
  #heartbeat: NodeJS.Timeout | null = null;

  constructor(daemon: DaemonPort, log: Log, options: StreamOptions) {
    this.#daemon = daemon;
    this.#log = log;
    this.#options = options;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Errors: unavailable when there are too many readers. Headers are sent by this. */
  async add(
    response: ServerResponse,
    topics: ReadonlySet<Topic>,
    may: () => boolean,
  ): Promise<void> {
    if (this.#readers.size >= MAX_READERS) {
      throw new PortError(
        'unavailable',
        `${MAX_READERS} streams are open already: close one and try again.`,
      );
    }
    const version = await this.#options.version();
    if (response.destroyed) return;
    response.writeHead(200, {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
    });
    const reader: Reader = { response, topics, may };
    response.once('close', () => this.#remove(reader));
    // A broken pipe is the reader's business; 'close' follows.
    response.on('error', (error) => this.#log.debug({ err: error }, 'A stream reader went away.'));
    this.#readers.add(reader);
    this.#start();
    this.#send(reader, line({ type: 'hello', time: this.#options.now(), version }));
  }

  /** Ends every stream properly. */
  close(): void {
    for (const reader of [...this.#readers]) this.#end(reader);
  }

  #end(reader: Reader): void {
    reader.response.end();
    this.#remove(reader);
  }

  #start(): void {
    this.#unsubscribe ??= this.#daemon.subscribe((observation) => this.#publish(observation));
    if (this.#heartbeat === null) {
      this.#heartbeat = setInterval(() => {
        const bytes = line({ type: 'heartbeat', time: this.#options.now() });
        for (const reader of [...this.#readers]) {
          if (reader.may()) this.#send(reader, bytes);
          else this.#end(reader);
        }
      }, this.#options.heartbeatMs);
      this.#heartbeat.unref();
    }
  }

  #publish(observation: Observation): void {
    const topic: Topic = observation.type === 'event' ? 'events' : 'counters';
    let bytes: Buffer | null = null;
    for (const reader of [...this.#readers]) {
      if (!reader.topics.has(topic)) continue;
      bytes ??= line(observation);
      this.#send(reader, bytes);
    }
  }

  #send(reader: Reader, bytes: Buffer): void {
    const waiting = reader.response.writableLength;
    if (waiting > BUFFER_LIMIT_BYTES) {
      this.#log.warn({ waiting }, 'A stream reader does not keep up and is disconnected.');
      reader.response.destroy();
      this.#remove(reader);
      return;
    }
    reader.response.write(bytes);
  }

  #remove(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    this.#heartbeat = null;
  }
}

function line(message: StreamMessage): Buffer {
  return Buffer.from(`${JSON.stringify(message)}\n`);
}
