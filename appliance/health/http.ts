/**
 * The http and https monitors: one HTTP/1.1 request (RFC 9112) on a connection of its own, over TLS
 * for https; alive when the status is expected, the message arrives whole and, where asked, its
 * body contains a text.
 *
 * Invariants: see connection.ts. At most MOST_HEADER_BYTES of header are accepted, and at most
 * MOST_ANSWER_BYTES of body are read: what lies beyond no longer matters for the verdict.
 */
import { request, type IncomingMessage } from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import { formatDuration } from '../config/units-of-measure.js';
import type { MonitorSettings } from '../config/schema.js';
import type { Cancellation } from './cancellation.js';
import { probeConnection } from './connection.js';
import type { ProbeResult } from './state-machine.js';
import { secureSocket, type TlsSettings } from './tls.js';
import { failureOf, MOST_ANSWER_BYTES, type Endpoint, type Finish } from './verdict.js';

const MOST_HEADER_BYTES = 16 * 1024;

export type HttpSettings = Pick<
  Extract<MonitorSettings, { type: 'http' }>,
  'timeout' | 'source' | 'path' | 'method' | 'host' | 'expect' | 'headers' | 'body'
>;

/** What makes it https. `trust`: PEM certificates to trust instead of the unit's. */
export type Secure = Pick<TlsSettings, 'server-name' | 'verify'> & { readonly trust?: string };

/** One probe, over TLS where `secure` is given. Never rejects. */
export function probeHttp(
  endpoint: Endpoint,
  settings: HttpSettings,
  cancelled: Cancellation,
  secure?: Secure,
): Promise<ProbeResult> {
  const progress = { connected: false, secured: secure === undefined, status: 0 };
  const late = (): string => {
    const within = `within ${formatDuration(settings.timeout)}`;
    if (!progress.connected) return `no answer ${within}`;
    if (!progress.secured) return `connected, but no TLS handshake ${within}`;
    if (progress.status === 0) return `connected, but no answer ${within}`;
    return `status ${progress.status}, but not the whole answer ${within}`;
  };
  return probeConnection(
    endpoint,
    settings,
    cancelled,
    (socket, finish) => {
      const report = (status: number): unknown => (progress.status = status);
      socket.on('connect', () => (progress.connected = true));
      if (secure === undefined) {
        ask(socket, endpoint, 80, settings, finish, report);
        return;
      }
      const wrapped = secureSocket(socket, endpoint, secure, finish, secure.trust);
      // The request waits for the handshake: a failed one is then never told as a failed request.
      wrapped.on('secureConnect', () => {
        progress.secured = true;
        ask(wrapped, endpoint, 443, settings, finish, report);
      });
    },
    late,
  );
}

function ask(
  socket: Socket,
  endpoint: Endpoint,
  defaultPort: number,
  settings: HttpSettings,
  finish: Finish,
  onStatus: (status: number) => void,
): void {
  const client = request({
    createConnection: () => socket,
    maxHeaderSize: MOST_HEADER_BYTES,
    method: settings.method,
    path: settings.path,
    headers: {
      'User-Agent': 'weir-monitor',
      Accept: '*/*',
      ...settings.headers,
      Host: settings.host ?? authority(endpoint, defaultPort),
      Connection: 'close',
    },
  });
  client.on('error', (error) => {
    const { outcome, reason } = requestFailure(error);
    finish(outcome, reason);
  });
  client.on('response', (response) => {
    onStatus(response.statusCode ?? 0);
    judge(response, settings, finish);
  });
  client.on('upgrade', () => finish('fail', 'the member switched protocols without being asked'));
  client.end();
}

function judge(response: IncomingMessage, settings: HttpSettings, finish: Finish): void {
  const status = response.statusCode ?? 0;
  if (!settings.expect.some(([from, to]) => status >= from && status <= to)) {
    finish('fail', `status ${status}, expected ${describeRanges(settings.expect)}`);
    return;
  }
  const wanted = settings.body === undefined ? null : Buffer.from(settings.body);
  const parts: Buffer[] = [];
  let length = 0;
  const conclude = (): void => {
    const found =
      wanted === null || Buffer.concat(parts).subarray(0, MOST_ANSWER_BYTES).includes(wanted);
    if (found) finish('pass', `status ${status}`);
    else finish('fail', `status ${status}, but the body lacks the expected text`);
  };
  response.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (wanted !== null) parts.push(chunk);
    if (length >= MOST_ANSWER_BYTES) conclude();
  });
  // Before node's own listener, which would close the connection with a FIN and leave a TIME_WAIT.
  response.prependListener('end', conclude);
  response.on('error', () =>
    finish('fail', `status ${status}, but the connection broke in the middle of the answer`),
  );
}

/** Node's own words for what the HTTP parser or the connection met. */
function requestFailure(error: Error & { readonly code?: unknown }): ProbeResult {
  const code = typeof error.code === 'string' ? error.code : '';
  if (code === 'HPE_HEADER_OVERFLOW') {
    return { outcome: 'fail', reason: `header larger than ${MOST_HEADER_BYTES / 1024} KiB` };
  }
  if (code.startsWith('HPE_')) return { outcome: 'fail', reason: 'the answer is not HTTP/1' };
  // A connection that ends cleanly too early has the same code as one that was reset.
  if (code === 'ECONNRESET' && error.message === 'socket hang up') {
    return { outcome: 'fail', reason: 'connection closed without an answer' };
  }
  return failureOf(error);
}

function authority({ address, port }: Endpoint, defaultPort: number): string {
  const host = isIPv6(address) ? `[${address}]` : address;
  return port === defaultPort ? host : `${host}:${port}`;
}

/** `200-299, 304`. */
export function describeRanges(ranges: readonly (readonly [number, number])[]): string {
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}
