/**
 * An API on a socket of its own in a fresh folder, a log that remembers, and a bare
 * HTTP client. `withApi` removes all of it, also when the test fails.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../../../appliance/api/port.js';
import { type ApiServer, createApi } from '../../../appliance/api/server.js';
import { FakeDaemon } from './fake-daemon.js';

export interface LogLine {
  readonly level: keyof Log;
  readonly fields: object;
  readonly message: string;
}

export class MemoryLog implements Log {
  readonly lines: LogLine[] = [];
  debug(fields: object, message: string): void {
    this.lines.push({ level: 'debug', fields, message });
  }
  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', fields, message });
  }
  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', fields, message });
  }
  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', fields, message });
  }
  messages(level: keyof Log): string[] {
    return this.lines.filter((line) => line.level === level).map(({ message }) => message);
  }
}

export interface Fixture {
  readonly daemon: FakeDaemon;
  readonly log: MemoryLog;
  readonly api: ApiServer;
  readonly socket: string;
  readonly folder: string;
}

export async function withFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-api-'));
  try {
    await act(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export async function withApi(
  act: (fixture: Fixture) => Promise<void>,
  options: {
    readonly heartbeatMs?: number;
    readonly consoleUser?: string;
  } = {},
): Promise<void> {
  await withFolder(async (folder) => {
    const daemon = new FakeDaemon();
    const log = new MemoryLog();
    const api = createApi(daemon, { log, ...options });
    const socket = join(folder, 'weir.sock');
    try {
      await api.listen(socket);
      await act({ daemon, log, api, socket, folder });
    } finally {
      await api.close();
    }
  });
}

export interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  json(): unknown;
}

/** The response as it begins; its body is the caller's. */
export function open(socketPath: string, sent: Sent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath,
        method: sent.method ?? 'GET',
        path: sent.path,
        headers: { ...sent.headers },
        agent: false,
      },
      resolve,
    );
    outgoing.on('error', reject);
    outgoing.end(sent.body);
  });
}

export async function call(socketPath: string, sent: Sent): Promise<Answer> {
  const response = await open(socketPath, sent);
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    json: () => JSON.parse(text) as unknown,
  };
}

export const YAML = { 'content-type': 'application/yaml' } as const;
export const JSON_TYPE = { 'content-type': 'application/json' } as const;

/** Waits for a condition that some event will bring about; says what never came. */
export async function eventually(
  what: string,
  condition: () => boolean,
  limitMs = 10_000,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
