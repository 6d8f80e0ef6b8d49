/**
 * Where the inviter hears the other unit: one address and port.
 *
 * Invariant: strangers are few and do not stay. Who has not shown the other unit's key in time is
 * disconnected, and when there are too many, an address with most of them makes room, so that a crowd
 * from one host does not keep the other unit out.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';
import type { RefusalCounts } from './counts.js';
import { PairError } from './errors.js';
import { peerPin } from './identity.js';

const STRANGERS = 32;
const HANDSHAKE_MS = 5000;

export interface ListenerOptions {
  readonly address: string;
  readonly port: number;
  readonly context: SecureContext;
  readonly counts: RefusalCounts;
  /** Whether it is the other unit; a stranger's connection ends soon by itself. */
  readonly onConnection: (socket: TLSSocket, pin: Buffer, address: string) => boolean;
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  /** With the addresses that they came from, the oldest first. */
  readonly #strangers = new Map<Socket, string>();
  readonly #handshaking = new Set<Socket>();

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = createServer((raw) => {
      this.#accept(raw);
    });
  }

  /** @throws PairError (unavailable) */
  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    const server = listener.#server;
    const { address, port } = options;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        reject(new PairError('unavailable', whyNot(error, address, port), error));
      });
      server.listen({ host: address, port, exclusive: true }, resolve);
    });
    return listener;
  }

  /** Nobody new is heard. Connections whose handshake is over are those of whoever heard of them. */
  close(): void {
    this.#server.close();
    for (const raw of this.#handshaking) raw.destroy();
  }

  #accept(raw: Socket): void {
    this.#strangers.set(raw, raw.remoteAddress ?? '');
    if (this.#strangers.size > STRANGERS) this.#makeRoom();
    this.#handshaking.add(raw);
    const { context, counts, onConnection, address } = this.#options;
    const socket = new TLSSocket(raw, {
      isServer: true,
      secureContext: context,
      requestCert: true,
      // Certificates have no issuer here: the key in them is compared below.
      rejectUnauthorized: false,
    });
    let secure = false;
    const patience = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    // What ends a connection is in `close`, and a stranger's reasons are nobody's.
    socket.on('error', () => raw.destroy());
    raw.once('close', () => {
      clearTimeout(patience);
      this.#strangers.delete(raw);
      this.#handshaking.delete(raw);
      if (!secure) counts.foreign += 1;
    });
    socket.once('secure', () => {
      clearTimeout(patience);
      const pin = peerPin(socket);
      if (pin === null) {
        socket.destroy();
        return;
      }
      secure = true;
      this.#handshaking.delete(raw);
      if (onConnection(socket, pin, address)) this.#strangers.delete(raw);
    });
  }

  /** Ends the oldest of those from the address with most of them. */
  #makeRoom(): void {
    const counts = new Map<string, number>();
    for (const from of this.#strangers.values()) counts.set(from, (counts.get(from) ?? 0) + 1);
    const most = Math.max(...counts.values());
    for (const [raw, from] of this.#strangers) {
      if (counts.get(from) !== most) continue;
      this.#strangers.delete(raw);
      raw.destroy();
      return;
    }
  }
}

function whyNot(error: NodeJS.ErrnoException, address: string, port: number): string {
  switch (error.code) {
    case 'EADDRNOTAVAIL':
      return `Cannot listen at ${address}: it is no address of this unit.`;
    case 'EADDRINUSE':
      return `Cannot listen at ${address}: port ${port} is in use there.`;
    default:
      return `Cannot listen at ${address}, port ${port}: ${error.message}.`;
  }
}
