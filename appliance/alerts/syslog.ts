/**
 * Alerts to a collector of syslog: datagrams (RFC 5426), or a connection for each delivery with
 * octet counting (RFC 6587, RFC 5425). No collector acknowledges anything; what is known is said.
 */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { connect as secure } from 'node:tls';
import { counted, syslogMessage } from './syslog-message.js';
import {
  attempt,
  authoritiesOf,
  delivered,
  type Outcome,
  type Sender,
  type SettingsOf,
  type Transport,
} from './transport.js';

/** How long a collector may take to close its end, or a host to say that nobody listens. */
const CLOSE_MS = 1000;
const ICMP_MS = 200;

export function syslogPort({ port, transport }: SettingsOf<'syslog'>): number {
  return port ?? (transport === 'tls' ? 6514 : 514);
}

export function syslog(settings: SettingsOf<'syslog'>, { version }: Sender): Transport {
  const head = {
    ...{ facility: settings.facility, appName: settings['app-name'] },
    ...{ processId: process.pid, version },
  };
  return {
    most: 50,
    send: (alerts, signal) => {
      const messages = alerts.map((alert) => syslogMessage(alert, head));
      const by = settings.transport === 'udp' ? byDatagrams : byStream;
      return attempt(settings.timeout, signal, (limit) => by(settings, messages, limit));
    },
  };
}

async function byDatagrams(
  settings: SettingsOf<'syslog'>,
  messages: readonly Buffer[],
  signal: AbortSignal,
): Promise<Outcome> {
  const { address, family } = await orAbort(lookup(settings.server), signal);
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  const refusal = new Promise<never>((_, reject) => socket.once('error', reject));
  // Before somebody waits for it, too.
  refusal.catch(() => undefined);
  try {
    const connected = once(socket, 'connect', { signal });
    socket.connect(syslogPort(settings), address);
    await Promise.race([connected, refusal]);
    for (const message of messages) {
      await Promise.race([
        refusal,
        new Promise<void>((resolve, reject) => {
          socket.send(message, (error) => {
            if (error === null) resolve();
            else reject(error);
          });
        }),
      ]);
    }
    await Promise.race([refusal, quiet(ICMP_MS)]);
    return delivered('sent; nobody tells whether datagrams arrive');
  } finally {
    socket.close();
  }
}

async function byStream(
  settings: SettingsOf<'syslog'>,
  messages: readonly Buffer[],
  signal: AbortSignal,
): Promise<Outcome> {
  const { server: host, transport } = settings;
  const port = syslogPort(settings);
  const socket: Socket =
    transport === 'tls'
      ? secure({
          ...{ host, port, ...authoritiesOf(settings['ca-file']) },
          ...(isIP(host) === 0 ? { servername: host } : {}),
          minVersion: 'TLSv1.2',
        })
      : connect({ host, port });
  const abort = (): void => {
    socket.destroy(signal.reason instanceof Error ? signal.reason : new Error('given up'));
  };
  const broken = new Promise<never>((_, reject) => socket.once('error', reject));
  broken.catch(() => undefined);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    await Promise.race([broken, once(socket, transport === 'tls' ? 'secureConnect' : 'connect')]);
    socket.resume();
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const written = new Promise<void>((resolve) => {
      socket.end(Buffer.concat(messages.map(counted)), resolve);
    });
    await Promise.race([broken, written]);
    // A collector that breaks off instead of closing may not have read everything.
    await Promise.race([broken, closed, quiet(CLOSE_MS)]);
    return delivered('sent; collectors of syslog do not answer');
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

function quiet(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return Promise.race([
    work,
    once(signal, 'abort').then((): never => {
      throw signal.reason;
    }),
  ]);
}
