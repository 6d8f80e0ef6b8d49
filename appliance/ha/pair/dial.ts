/** Reaches the other unit: a TLS 1.3 connection, whose other end the caller judges by its pin. */
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { PairError } from './errors.js';

/** Until the handshake is over. */
const CONNECT_MS = 5000;

/** Resolves after the handshake. `signal` ends the attempt. @throws PairError (unavailable) */
export function dial(
  address: string,
  port: number,
  context: SecureContext,
  signal?: AbortSignal,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address,
      port,
      secureContext: context,
      // Certificates have no issuer here: whoever calls compares the key.
      rejectUnauthorized: false,
    });
    const give = (reason: string): void => {
      socket.destroy();
      over();
      reject(new PairError('unavailable', `Cannot reach ${address}, port ${port}: ${reason}.`));
    };
    const patience = setTimeout(() => {
      give(`no answer in ${CONNECT_MS / 1000} s`);
    }, CONNECT_MS);
    const failed = (error: Error): void => {
      give(error.message);
    };
    const aborted = (): void => {
      give('it is no longer wanted');
    };
    const closed = (): void => {
      give('it closed the connection');
    };
    const over = (): void => {
      clearTimeout(patience);
      signal?.removeEventListener('abort', aborted);
      socket.off('close', closed);
      socket.off('error', failed);
      // Of one that is given up.
      if (socket.destroyed) socket.on('error', () => undefined);
    };
    socket.on('error', failed);
    socket.on('close', closed);
    signal?.addEventListener('abort', aborted);
    socket.once('secureConnect', () => {
      over();
      resolve(socket);
    });
  });
}
