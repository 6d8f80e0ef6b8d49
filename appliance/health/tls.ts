/**
 * The tls monitor: alive when a TLS handshake succeeds (RFC 8446 §2), by the server name that the
 * settings give (RFC 6066 §3), and with a valid certificate where they ask for one.
 *
 * Invariants:
 * - See connection.ts: the TCP socket below is what ends, with a reset.
 * - A certificate is judged by the unit's own trust store, which `update-ca-certificates` makes,
 *   else by the one that came with node.
 */
import { readFileSync, statSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { formatDuration } from '../config/units-of-measure.js';
import type { MonitorSettings } from '../config/schema.js';
import type { Cancellation } from './cancellation.js';
import { probeConnection } from './connection.js';
import type { ProbeResult } from './state-machine.js';
import { failureOf, type Endpoint, type Finish, type SystemFailure } from './verdict.js';

const TRUST_STORE = '/etc/ssl/certs/ca-certificates.crt';

export type TlsSettings = Pick<
  Extract<MonitorSettings, { type: 'tls' }>,
  'timeout' | 'source' | 'server-name' | 'verify'
>;

/** One probe. Never rejects. `trust`: PEM certificates to trust instead of the unit's. */
export function probeTls(
  endpoint: Endpoint,
  settings: TlsSettings,
  cancelled: Cancellation,
  trust?: string,
): Promise<ProbeResult> {
  let connected = false;
  return probeConnection(
    endpoint,
    settings,
    cancelled,
    (socket, finish) => {
      socket.on('connect', () => (connected = true));
      const secure = secureSocket(socket, endpoint, settings, finish, trust);
      secure.on('secureConnect', () => {
        finish('pass', `handshake made, ${secure.getProtocol() ?? 'unknown version'}`);
      });
    },
    () => {
      const within = `within ${formatDuration(settings.timeout)}`;
      return connected ? `connected, but no TLS handshake ${within}` : `no answer ${within}`;
    },
  );
}

/** TLS over a connecting socket; whatever goes wrong in the handshake is the verdict. */
export function secureSocket(
  socket: Socket,
  endpoint: Endpoint,
  settings: Pick<TlsSettings, 'server-name' | 'verify'>,
  finish: Finish,
  trust?: string,
): TLSSocket {
  const name = settings['server-name'];
  const secure = connect({
    socket,
    secureContext: settings.verify ? verifyingContext(trust) : plainContext(),
    rejectUnauthorized: settings.verify,
    // An address is no server name (RFC 6066 §3).
    ...(name === undefined || isIP(name) !== 0 ? {} : { servername: name }),
    checkServerIdentity: (_, certificate) =>
      checkServerIdentity(name ?? endpoint.address, certificate),
  });
  secure.on('error', (error: Error) => {
    const { outcome, reason } = handshakeFailure(error);
    finish(outcome, reason);
  });
  return secure;
}

let plain: SecureContext | undefined;
/** Making a context costs more than the handshake, so each kind is made once. */
function plainContext(): SecureContext {
  return (plain ??= createSecureContext());
}

const verifying = new Map<string, SecureContext>();

function verifyingContext(trust: string | undefined): SecureContext {
  const key = trust ?? storeVersion();
  let context = verifying.get(key);
  if (context === undefined) {
    context =
      trust === undefined && key === ''
        ? createSecureContext()
        : createSecureContext({ ca: trust ?? readFileSync(TRUST_STORE, 'utf8') });
    verifying.clear();
    verifying.set(key, context);
  }
  return context;
}

/** Which contents the unit's trust store has; empty when there is none. */
function storeVersion(): string {
  const found = statSync(TRUST_STORE, { throwIfNoEntry: false });
  return found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeMs}`;
}

const certificateFaults: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'this unit does not trust the authority at the end of its chain',
  UNABLE_TO_GET_ISSUER_CERT: 'its issuer is unknown',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'this unit does not trust its issuer',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'this unit does not trust its issuer',
  CERT_REVOKED: 'it is revoked',
  INVALID_PURPOSE: 'it is no certificate of a server',
};

function handshakeFailure(error: SystemFailure & { readonly reason?: unknown }): ProbeResult {
  const code = typeof error.code === 'string' ? error.code : '';
  const fault = certificateFaults[code];
  if (fault !== undefined) return { outcome: 'fail', reason: `certificate refused: ${fault}` };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return { outcome: 'fail', reason: 'certificate refused: it is for another name' };
  }
  const detail = typeof error.reason === 'string' ? error.reason : '';
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || detail === 'wrong version number') {
    return { outcome: 'fail', reason: 'the answer is not TLS' };
  }
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') {
    return { outcome: 'fail', reason: `TLS handshake failed: ${detail || code}` };
  }
  if (code === 'ECONNRESET' && error.syscall === undefined) {
    return { outcome: 'fail', reason: 'connection closed in the TLS handshake' };
  }
  return failureOf(error);
}
