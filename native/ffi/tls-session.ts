/** Sessions of clients, SSL_set_session(3): whoever keeps one frees it once. */
import { type Pointer, raw } from './openssl-raw.js';
import { TLS1_3 } from './tls-versions.js';

/**
 * A connection that is about to begin goes on with this session, if the server agrees. Whether another
 * one may, too: those of TLS 1.3 are used but once (RFC 8446 §C.4), which OpenSSL insists on.
 */
export function useSession(ssl: Pointer, session: Pointer): boolean {
  if (raw.SSL_SESSION_is_resumable(session) !== 1) return false;
  raw.SSL_set_session(ssl, session);
  return raw.SSL_SESSION_get_protocol_version(session) !== TLS1_3;
}

export function freeSession(session: Pointer): void {
  raw.SSL_SESSION_free(session);
}
