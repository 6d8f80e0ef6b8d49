/**
 * What a certificate says (RFC 5280), read by OpenSSL through node:crypto; names, key identifiers
 * and the algorithm of its signature, which that does not give, by the ASN.1 itself.
 */
import { X509Certificate, type KeyObject } from 'node:crypto';
import { formatAddress } from '../config/address-codec.js';
import { content, decode, dotted, encode, isContext, parts, type Node } from './asn1.js';
import { CertificateError } from './errors.js';
import { describeKey, type KeyInfo } from './keys.js';

export interface CertificateFacts {
  readonly der: Buffer;
  readonly x509: X509Certificate;
  readonly publicKey: KeyObject;
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal, upper case. */
  readonly serial: string;
  /** DNS names and addresses that it is for, in lower case. */
  readonly names: readonly string[];
  readonly notBefore: number;
  readonly notAfter: number;
  /** SHA-256, hexadecimal with colons. */
  readonly fingerprint: string;
  readonly authority: boolean;
  readonly selfSigned: boolean;
  /** Algorithm of its signature, as a dotted object identifier. */
  readonly signature: string;
  /** DER of the subject's name. */
  readonly subjectDer: Buffer;
  readonly subjectKeyId: Buffer | null;
}

const SUBJECT_KEY_ID = '2.5.29.14';
const SUBJECT_NAMES = '2.5.29.17';

/** @throws CertificateError */
export function readCertificate(bytes: Uint8Array): CertificateFacts {
  try {
    return read(bytes);
  } catch (cause) {
    if (cause instanceof CertificateError) throw cause;
    throw new CertificateError(
      'invalid',
      'A certificate cannot be read: it is no X.509, or it is damaged. Copy it again from its issuer.',
      cause,
    );
  }
}

function read(bytes: Uint8Array): CertificateFacts {
  const x509 = new X509Certificate(bytes);
  const der = x509.raw;
  const [tbs, algorithm] = parts(decode(der));
  const fields = parts(tbs);
  const after = isContext(fields[0], 0) ? 1 : 0;
  const subjectDer = field(fields, after + 4);
  const extensions = extensionsOf(fields.slice(after + 6));
  const publicKey = x509.publicKey;
  return {
    der,
    x509,
    publicKey,
    subject: oneLine(x509.subject),
    issuer: oneLine(x509.issuer),
    serial: x509.serialNumber,
    names: namesIn(extensions.get(SUBJECT_NAMES)),
    notBefore: Date.parse(x509.validFrom),
    notAfter: Date.parse(x509.validTo),
    fingerprint: x509.fingerprint256,
    authority: x509.ca,
    // OpenSSL's own test also asks for keyCertSign, which a server's certificate does not have.
    selfSigned: subjectDer.equals(field(fields, after + 2)) && x509.verify(publicKey),
    signature: dotted(parts(algorithm)[0]),
    subjectDer,
    subjectKeyId: keyIdIn(extensions.get(SUBJECT_KEY_ID)),
  };
}

/** The key's kind. @throws CertificateError when no such key is served */
export function keyOf(facts: CertificateFacts): KeyInfo {
  return describeKey(facts.publicKey);
}

function field(fields: readonly Node[], index: number): Buffer {
  const node = fields[index];
  if (node === undefined) throw new Error('a field is missing');
  return encode(node);
}

/** Content of each extension by its identifier. */
function extensionsOf(fields: readonly Node[]): ReadonlyMap<string, Buffer> {
  const wrapper = fields.find((node) => isContext(node, 3));
  if (wrapper === undefined) return new Map();
  return new Map(
    parts(parts(wrapper)[0]).map((extension) => {
      const pieces = parts(extension);
      return [dotted(pieces[0]), content(pieces.at(-1))] as const;
    }),
  );
}

function namesIn(der: Buffer | undefined): string[] {
  if (der === undefined) return [];
  const found = parts(decode(der)).flatMap((name) => {
    if (isContext(name, 2)) return [content(name).toString('latin1').toLowerCase()];
    if (!isContext(name, 7)) return [];
    const address = content(name);
    if (address.length !== 4 && address.length !== 16) return [];
    return [formatAddress(address)];
  });
  return [...new Set(found)];
}

function keyIdIn(der: Buffer | undefined): Buffer | null {
  return der === undefined ? null : content(decode(der));
}

/** OpenSSL writes a line for each part of a name. */
function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ');
}
