/**
 * A unit's key and certificate for the link: ECDSA P-256, self-signed. The other unit pins the key, so
 * neither dates nor names in the certificate decide anything.
 *
 * Invariant: the private key is encrypted at rest, and its octets are wiped once OpenSSL has them.
 */
import { createPrivateKey } from 'node:crypto';
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { wipingFreed } from '../../../native/ffi/heap.js';
import { makeCertificate } from '../../tls/issue.js';
import { makeKey, pkcs8Of } from '../../tls/keys.js';
import type { MachineKey } from '../../tls/machine-key.js';
import { writePem } from '../../tls/pem.js';
import { readCertificate } from '../../tls/x509.js';
import { PairError } from './errors.js';
import { pinOf } from './proof.js';
import type { PairStore } from './store.js';

/** What the key is bound to in its encryption; no certificate has such a name. */
const SEALED_AS = 'link of the pair';
const LIFETIME_MS = 36_500 * 86_400_000;

export interface Identity {
  readonly context: SecureContext;
  readonly pin: Buffer;
}

/** The stored one. @throws PairError (unavailable) */
export function loadIdentity(store: PairStore, machineKey: MachineKey): Identity | null {
  const stored = store.identity();
  if (stored === undefined) return null;
  let plain: Buffer;
  try {
    plain = machineKey.unseal(SEALED_AS, stored.key);
  } catch (cause) {
    throw new PairError(
      'unavailable',
      'The key of the link cannot be decrypted: it was encrypted with another machine key. Restore the file machine-key and restart the daemon, or run "weir pair leave" on both units and pair them anew.',
      cause,
    );
  }
  try {
    return identityOf(plain, stored.certificate);
  } finally {
    plain.fill(0);
  }
}

/** The stored one, or a new one. @throws PairError (unavailable) */
export async function needIdentity(
  store: PairStore,
  machineKey: MachineKey,
  unit: string,
): Promise<Identity> {
  const known = loadIdentity(store, machineKey);
  if (known !== null) return known;
  const key = await makeKey('ecdsa-p256');
  const certificate = await makeCertificate(
    key,
    { names: [], subject: `CN=${unit}`, clientAuth: true },
    { now: Date.now(), lifetimeMs: LIFETIME_MS },
  );
  const plain = pkcs8Of(key);
  try {
    store.putIdentity({ key: machineKey.seal(SEALED_AS, plain), certificate });
    return identityOf(plain, certificate);
  } finally {
    plain.fill(0);
  }
}

function identityOf(pkcs8: Buffer, certificate: Buffer): Identity {
  const facts = readCertificate(certificate);
  const key = wipingFreed(() => createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  if (!facts.x509.checkPrivateKey(key)) {
    throw new PairError('unavailable', 'The key of the link is damaged: run "weir pair leave".');
  }
  const pem = writePem('PRIVATE KEY', pkcs8);
  try {
    const context = wipingFreed(() =>
      createSecureContext({
        key: pem,
        cert: writePem('CERTIFICATE', certificate),
        minVersion: 'TLSv1.3',
        sigalgs: 'ecdsa_secp256r1_sha256',
      }),
    );
    return { context, pin: pinOf(facts.publicKey) };
  } finally {
    pem.fill(0);
  }
}

/** The pin of who is at the other end, which proved in the handshake to have that key; null: nobody says. */
export function peerPin(socket: TLSSocket): Buffer | null {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? null : pinOf(certificate.publicKey);
}
