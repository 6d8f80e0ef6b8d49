/**
 * Who is at the other end of the API's socket, asked once for each connection.
 */
import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { peerCredentials, userName } from '../../native/ffi/peer-credentials.js';
import type { Origin } from './identity.js';
import { type Log, PortError } from './port.js';

/** Node keeps a socket's descriptor in its handle, which its types do not mention. */
interface WithHandle {
  readonly _handle?: { readonly fd?: number } | null;
}

export class Peers {
  readonly #consoleUser: string | null;
  readonly #log: Log;
  readonly #known = new WeakMap<Socket, Origin>();

  constructor(consoleUser: string | null, log: Log) {
    this.#consoleUser = consoleUser;
    this.#log = log;
  }

  /** Errors: unavailable. Nobody is let through whom nobody knows. */
  originOf(request: FastifyRequest): Origin {
    const { socket } = request.raw;
    let origin = this.#known.get(socket);
    if (origin === undefined) {
      const uid = this.#peerOf(socket);
      const name = userName(uid);
      origin = { uid, name, console: name === this.#consoleUser };
      this.#known.set(socket, origin);
    }
    return origin;
  }

  #peerOf(socket: Socket & WithHandle): number {
    const fd = socket._handle?.fd;
    if (fd === undefined || fd < 0) {
      throw new PortError('unavailable', 'The connection is gone: nobody is asking any more.');
    }
    try {
      return peerCredentials(fd).uid;
    } catch (cause) {
      this.#log.error({ err: cause }, 'The peer of the API socket is not known.');
      throw new PortError('unavailable', 'The kernel does not say who is asking.', { cause });
    }
  }
}
