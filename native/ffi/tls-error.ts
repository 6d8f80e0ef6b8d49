/** Failures of OpenSSL as errors, with its own short reason. */
import { raw } from './openssl-raw.js';

export class TlsError extends Error {
  /** OpenSSL's reason, such as `no shared cipher`; empty when it gave none. */
  readonly reason: string;

  constructor(what: string, reason: string) {
    super(reason === '' ? what : `${what}: ${reason}`);
    this.name = 'TlsError';
    this.reason = reason;
  }
}

/**
 * Why a handshake fails.
 * - `gone`: the peer ended before it was over, or took too long
 * - `alert`: the peer refused, and said so
 * - `incompatible`: no version, cipher, group, signature or protocol in common
 * - `certificate`: that of the peer is missing or not valid
 * - `name`: a name that no certificate is for
 */
export type TlsFailure = 'gone' | 'alert' | 'incompatible' | 'certificate' | 'name' | 'other';

/** Reasons of the alerts that a peer sent are their descriptions and this: SSL_AD_REASON_OFFSET. */
const ALERTS = 1000;
const ALERTS_END = ALERTS + 256;
const REASON = 0x7f_ffff;

/** OpenSSL's words for other kinds of failure. */
const kinds: ReadonlyMap<string, TlsFailure> = new Map([
  ...[
    'unsupported protocol',
    'unknown protocol',
    'wrong ssl version',
    'version too low',
    'no protocols available',
    'inappropriate fallback',
    'no shared cipher',
    'no shared groups',
    'no suitable groups',
    'no suitable key share',
    'no suitable signature algorithm',
    'no shared signature algorithms',
    'no application protocol',
  ].map((words) => [words, 'incompatible'] as const),
  ...['certificate verify failed', 'peer did not return a certificate'].map(
    (words) => [words, 'certificate'] as const,
  ),
]);

/** The failure just now, the first that was noted; forgets all that were. */
export function takeFailure(): { readonly reason: string; readonly kind: TlsFailure } {
  const code = raw.ERR_get_error();
  if (code === 0) return { reason: '', kind: 'other' };
  const reason = raw.ERR_reason_error_string(code) ?? `error ${code}`;
  raw.ERR_clear_error();
  const number = code & REASON;
  const alerted = number >= ALERTS && number < ALERTS_END;
  return { reason, kind: alerted ? 'alert' : (kinds.get(reason) ?? 'other') };
}

/** The error for a call that just failed. */
export function failure(what: string): TlsError {
  return new TlsError(what, takeFailure().reason);
}
