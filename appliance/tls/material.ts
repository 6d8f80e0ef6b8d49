/**
 * Makes of what somebody imports one certificate with its chain and key: picks the certificate that
 * the key belongs to, puts the chain in order, and refuses what no client would accept.
 *
 * Invariant: bytes of keys are never made into strings here. Errors never quote what was given.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { CertificateError } from './errors.js';
import { checkIterations } from './iterations.js';
import { describeKey } from './keys.js';
import { readPkcs12 } from './pkcs12.js';
import { readCertificate, type CertificateFacts } from './x509.js';

export interface Material {
  /** DER, the certificate itself first. */
  readonly chain: readonly Buffer[];
  /** PKCS#8, the caller wipes it; null: the key is the one that `known` named. */
  readonly key: Buffer | null;
  readonly warnings: readonly string[];
}

export interface MaterialOptions {
  readonly passphrase?: string | undefined;
  /** Public keys (DER of SPKI) whose private keys the store has for this name. */
  readonly known: readonly Buffer[];
  readonly now: number;
  /** Whether an authority is expected, which is to sign others. */
  readonly authority: boolean;
}

export const MAX_IMPORT_BYTES = 1024 * 1024;
const MOST_CERTIFICATES = 20;
const BEGIN = '-----BEGIN ';
/** MD2, MD5 and SHA-1, with RSA, DSA and ECDSA. */
const BROKEN = new Set([
  '1.2.840.113549.1.1.2',
  '1.2.840.113549.1.1.3',
  '1.2.840.113549.1.1.4',
  '1.2.840.113549.1.1.5',
  '1.2.840.10040.4.3',
  '1.2.840.10045.4.1',
  '1.3.14.3.2.29',
]);

/** @param bytes PEM (RFC 7468), several files one after the other, or PKCS#12 (RFC 7292) @throws CertificateError */
export function readMaterial(bytes: Buffer, options: MaterialOptions): Material {
  if (bytes.length > MAX_IMPORT_BYTES) {
    throw refused('What was given is larger than 1 MiB: give one certificate with its chain.');
  }
  if (bytes.length === 0) throw refused('There is nothing to import: what was given is empty.');
  const found =
    bytes[0] === 0x30 ? readPkcs12(bytes, options.passphrase) : readPem(bytes, options.passphrase);
  return put(found.certificates, found.keys, options);
}

interface Found {
  readonly certificates: readonly Buffer[];
  readonly keys: readonly KeyObject[];
}

function readPem(bytes: Buffer, passphrase: string | undefined): Found {
  const certificates: Buffer[] = [];
  const keys: KeyObject[] = [];
  for (const { label, block } of blocks(bytes)) {
    if (label === 'CERTIFICATE' || label === 'X509 CERTIFICATE') {
      certificates.push(readCertificate(block).der);
    } else if (label === 'TRUSTED CERTIFICATE') {
      throw refused(
        'A certificate is in the form "TRUSTED CERTIFICATE" of OpenSSL: write it again with "openssl x509".',
      );
    } else if (label.endsWith('CERTIFICATE REQUEST')) {
      throw refused(
        'This is a request for a certificate: send it to an authority, and import what it sends back.',
      );
    } else if (label.endsWith('PRIVATE KEY')) {
      keys.push(readKey(block, label, passphrase));
    }
  }
  if (certificates.length === 0 && keys.length === 0) {
    throw refused(
      'There is no certificate in what was given: PEM with "-----BEGIN CERTIFICATE-----" or PKCS#12 is expected.',
    );
  }
  return { certificates, keys };
}

function* blocks(bytes: Buffer): Generator<{ readonly label: string; readonly block: Buffer }> {
  let at = bytes.indexOf(BEGIN);
  while (at >= 0) {
    const dashes = bytes.indexOf('-----', at + BEGIN.length);
    const label = bytes.toString('latin1', at + BEGIN.length, Math.max(dashes, at));
    if (dashes < 0 || label.length > 64 || /[^A-Z0-9 ]/.test(label)) {
      throw refused('A line "-----BEGIN" is damaged: copy the file again.');
    }
    const end = `-----END ${label}-----`;
    const last = bytes.indexOf(end, dashes);
    const next = bytes.indexOf(BEGIN, dashes);
    if (last < 0 || (next >= 0 && next < last)) {
      throw refused(`"-----BEGIN ${label}-----" has no end: the file was cut off, copy it again.`);
    }
    yield { label, block: bytes.subarray(at, last + end.length) };
    at = next;
  }
}

function readKey(block: Buffer, label: string, passphrase: string | undefined): KeyObject {
  if (label === 'OPENSSH PRIVATE KEY') {
    throw refused('The key is in the form of OpenSSH: give it as PEM or PKCS#12.');
  }
  const locked = label.startsWith('ENCRYPTED') || block.includes('Proc-Type: 4,ENCRYPTED');
  if (locked && passphrase === undefined) {
    throw refused('The private key is encrypted: give its passphrase (--passphrase-file).');
  }
  try {
    if (label === 'ENCRYPTED PRIVATE KEY') checkIterations(octetsOf(block));
    return createPrivateKey({
      key: block,
      format: 'pem',
      ...(locked ? { passphrase } : {}),
    });
  } catch (cause) {
    if (cause instanceof CertificateError) throw cause;
    throw refused(
      locked
        ? 'The private key cannot be decrypted: the passphrase is wrong, or the key is damaged.'
        : 'The private key cannot be read: it is damaged, or of a kind that is not known.',
      cause,
    );
  }
}

/** What a block of PEM holds; only of what is encrypted, since it passes through a string. */
function octetsOf(block: Buffer): Buffer {
  const lines = block.toString('latin1').split(/\r?\n/).slice(1, -1);
  return Buffer.from(lines.join(''), 'base64');
}

function put(
  ders: readonly Buffer[],
  given: readonly KeyObject[],
  options: MaterialOptions,
): Material {
  const all = distinct(ders).map(readCertificate);
  if (all.length === 0) throw refused('There is a key, but no certificate: give both.');
  if (all.length > MOST_CERTIFICATES) {
    throw refused(
      `There are more than ${MOST_CERTIFICATES} certificates: give one with its own chain, not a list of authorities.`,
    );
  }
  const keys = given.filter((key, index) => !given.slice(0, index).some((one) => one.equals(key)));
  if (keys.length > 1)
    throw refused('There is more than one private key: give that of the certificate.');
  const [key] = keys;
  const leaf = leafOf(all, key, options);
  const chain = chainFrom(leaf, all);
  const left = all.filter((one) => !chain.includes(one));
  const second = left.find((one) => !one.authority);
  if (second !== undefined) {
    throw refused(
      `There is a second certificate (${second.subject || second.names.join(', ')}): import each under its own name.`,
    );
  }
  describeKey(leaf.publicKey);
  if (BROKEN.has(leaf.signature) && !(options.authority && leaf.selfSigned)) {
    throw refused(
      'The certificate is signed with SHA-1 or MD5, which no client accepts: have it issued again.',
    );
  }
  if (options.authority && !leaf.authority) {
    throw refused('This certificate is not that of an authority: import it without --authority.');
  }
  return {
    chain: chain.map(({ der }) => der),
    key: key === undefined ? null : key.export({ type: 'pkcs8', format: 'der' }),
    warnings: [
      ...warningsOf(leaf, chain, options),
      ...left.map(({ subject }) => `left out: ${subject} is no part of the chain`),
    ],
  };
}

/** The certificate that is served: the one that there is a key for, which only authorities need not have. */
function leafOf(
  all: readonly CertificateFacts[],
  key: KeyObject | undefined,
  { known, authority }: MaterialOptions,
): CertificateFacts {
  if (key !== undefined) {
    const leaf = all.find(({ x509 }) => x509.checkPrivateKey(key));
    if (leaf !== undefined) return leaf;
    throw refused(
      'The private key does not belong to the certificate: give the key that it was made with.',
    );
  }
  const leaf = all.find(({ publicKey }) => {
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    return known.some((one) => one.equals(spki));
  });
  if (leaf !== undefined) return leaf;
  // To trust an authority, its certificate is enough.
  const trusted = authority ? all.find((one) => one.authority) : undefined;
  if (trusted !== undefined) return trusted;
  throw refused(
    known.length === 0
      ? 'There is no private key: give it together with the certificate.'
      : 'There is no private key, and the one that waits in the store belongs to another certificate: give the right one.',
  );
}

/** From the leaf to where no further issuer was given. */
function chainFrom(
  leaf: CertificateFacts,
  all: readonly CertificateFacts[],
): readonly CertificateFacts[] {
  const chain = [leaf];
  for (let last: CertificateFacts | undefined = leaf; last !== undefined && !last.selfSigned;) {
    const { x509 }: CertificateFacts = last;
    last = all.find(
      (one) => !chain.includes(one) && x509.checkIssued(one.x509) && x509.verify(one.publicKey),
    );
    if (last !== undefined) chain.push(last);
  }
  return chain;
}

function warningsOf(
  leaf: CertificateFacts,
  chain: readonly CertificateFacts[],
  { now, authority }: MaterialOptions,
): string[] {
  const warnings: string[] = [];
  const day = (time: number): string => new Date(time).toISOString().slice(0, 10);
  for (const one of chain) {
    const which = one === leaf ? 'the certificate' : `${one.subject} of the chain`;
    if (one.notAfter <= now) warnings.push(`${which} expired on ${day(one.notAfter)}`);
    if (one.notBefore > now) warnings.push(`${which} is not valid before ${day(one.notBefore)}`);
    if (one !== leaf && !one.selfSigned && BROKEN.has(one.signature)) {
      warnings.push(`${which} is signed with SHA-1 or MD5: clients may refuse it`);
    }
  }
  if (authority) return warnings;
  if (leaf.names.length === 0) {
    warnings.push('the certificate names no host (subjectAltName): browsers do not accept it');
  }
  if (chain.length === 1 && !leaf.selfSigned) {
    warnings.push(
      `there is no intermediate certificate: clients that do not know ${leaf.issuer} refuse this one`,
    );
  }
  return warnings;
}

function distinct(ders: readonly Buffer[]): Buffer[] {
  return ders.filter((der, index) => !ders.slice(0, index).some((one) => one.equals(der)));
}

function refused(message: string, cause?: unknown): CertificateError {
  return new CertificateError('invalid', message, cause);
}
