/**
 * What members are told of a client's certificate, as field lines: made once a connection, for all its
 * requests.
 *
 * Invariant: what is told is of a certificate that was found to be valid, by this handshake or by that
 * of the session; lines have visible ASCII and spaces only, whatever the certificate says.
 */
import { createHash, X509Certificate } from 'node:crypto';
import {
  clientCertificate,
  type ClientCertificate,
  clientChain,
} from '../../../native/ffi/tls-client-certificates.js';
import { TlsError } from '../../../native/ffi/tls-error.js';
import { certificateFields, type CertificateWord } from '../http1/certificate-fields.js';
import { octets } from '../http1/octets.js';
import { noLines } from '../http1/peer.js';

/**
 * Octets of all lines. Half of the buffer that a head goes out in, so the client's own fields have the
 * other half; and what servers take by themselves (16 KiB of node, 8 KiB a line of Apache and nginx).
 */
export const LINES_MOST = 8192;

type Values = Readonly<Record<CertificateWord, () => readonly string[]>>;

/** A Byte Sequence, RFC 8941 §3.3.5. */
function byteSequence(der: Buffer): string {
  return `:${der.toString('base64')}:`;
}

/** `Nov 26 04:03:02 2026 GMT`, as OpenSSL writes it, in the words of RFC 3339. */
function time(text: string): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new TlsError(`a certificate has the time "${text}"`, '');
  return date.toISOString().replace('.000Z', 'Z');
}

/** One value for each field of a word; none: the fields are left out. */
function valuesOf({ der, subject, issuer }: ClientCertificate, ssl: number): Values {
  const { serialNumber, validFrom, validTo } = new X509Certificate(der);
  return {
    'client-cert': () => [byteSequence(der)],
    'client-cert-chain': () => {
      const chain = clientChain(ssl);
      return chain.length === 0 ? [] : [chain.map(byteSequence).join(', ')];
    },
    verify: () => ['SUCCESS'],
    subject: () => [subject],
    issuer: () => [issuer],
    serial: () => [serialNumber],
    fingerprint: () => [createHash('sha256').update(der).digest('hex')],
    validity: () => [time(validFrom), time(validTo)],
  };
}

/** For a client without a certificate. */
const none: Values = {
  'client-cert': () => [],
  'client-cert-chain': () => [],
  verify: () => ['NONE'],
  subject: () => [],
  issuer: () => [],
  serial: () => [],
  fingerprint: () => [],
  validity: () => [],
};

/** Lines for a client of whom a request came; null: they are longer than LINES_MOST. Throws TlsError. */
export function certificateLines(
  ssl: number,
  words: readonly CertificateWord[],
): Uint8Array | null {
  if (words.length === 0) return noLines;
  const shown = clientCertificate(ssl);
  const values = shown === null ? none : valuesOf(shown, ssl);
  const lines = words.flatMap((word) => {
    const fields = certificateFields[word];
    return values[word]().map((value, i) => `${fields[i] ?? ''}: ${value}\r\n`);
  });
  const text = lines.join('');
  return text.length > LINES_MOST ? null : octets(text);
}
