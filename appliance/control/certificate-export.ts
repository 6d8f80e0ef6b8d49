/**
 * What of a certificate leaves the unit. Invariant: a key does for root, or an administrator
 * who logged in, and an event says so.
 */
import { createPrivateKey } from 'node:crypto';
import type { ExportCertificate } from '../api/certificate-port.js';
import { PortError } from '../api/port.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { CertificateStore } from '../tls/certificate-store.js';
import { CertificateError } from '../tls/errors.js';
import { writePem } from '../tls/pem.js';
import { writePkcs12 } from '../tls/pkcs12.js';
import { noSuch } from './certificate-checks.js';

/** @throws PortError, CertificateError */
export function exportCertificate(
  { store, events }: { readonly store: CertificateStore; readonly events: EventLog },
  request: ExportCertificate,
): Buffer {
  const { name, proven, author, format, passphrase } = request;
  const info = store.get(name);
  if (info === undefined) throw noSuch(name, false);
  const chain = store.chain(name);
  if (info.kind === 'request') {
    throw new PortError(
      'conflict',
      `${name} has no certificate yet, only a request: "weir cert show ${name}" prints it.`,
    );
  }
  if (!request.key) {
    if (format === 'pkcs12') {
      throw new PortError('invalid', 'A PKCS#12 file is for the key as well: ask for it (--key).');
    }
    return Buffer.concat(chain.map((der) => writePem('CERTIFICATE', der)));
  }
  if (!proven) {
    throw new PortError(
      'forbidden',
      'Private keys are given to root, or to an administrator who is logged in: run this as root.',
    );
  }
  if (format === 'pkcs12' && (passphrase === undefined || passphrase.length < 4)) {
    throw new PortError(
      'invalid',
      'A PKCS#12 file needs a passphrase of 4 characters or more (--passphrase-file).',
    );
  }
  const plain = store.privateKey(name);
  if (plain === undefined) throw new CertificateError('not-found', `${name} has no key.`);
  try {
    const bytes = withKey(name, chain, plain, format, passphrase);
    events.append({
      kind: 'certificate',
      severity: 'warning',
      message: `${author} exported the private key of certificate ${name}`,
      subject: { author, certificate: name },
    });
    return bytes;
  } finally {
    plain.fill(0);
  }
}

function withKey(
  name: string,
  chain: readonly Buffer[],
  plain: Buffer,
  format: 'pem' | 'pkcs12',
  passphrase: string | undefined,
): Buffer {
  if (format === 'pkcs12') {
    const key = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
    return writePkcs12(name, chain, key, passphrase ?? '');
  }
  const key = writePem('PRIVATE KEY', plain);
  try {
    return Buffer.concat([key, ...chain.map((der) => writePem('CERTIFICATE', der))]);
  } finally {
    key.fill(0);
  }
}
