/**
 * Makes certificates (RFC 5280) and requests for them (PKCS#10, RFC 2986): node-forge puts the
 * ASN.1 together, node:crypto makes keys and signatures, because forge knows no elliptic curves.
 *
 * Invariant: serial numbers are 127 random bits, and a certificate is valid from an hour ago, so
 * that clients whose clock is behind take it.
 */
import { createHash, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import { readAddress } from '../config/address-codec.js';
import {
  bits,
  context,
  encode,
  integer,
  nothing,
  octets,
  oid,
  sequence,
  set,
  time,
  truth,
  decode,
  content,
  parts,
  type Node,
} from './asn1.js';
import { CertificateError } from './errors.js';
import { describeKey } from './keys.js';
import { subjectName } from './subject.js';
import type { CertificateFacts } from './x509.js';

/** For clocks that are behind. */
const BACKDATED_MS = 3_600_000;

export interface Subject {
  /** DNS names and addresses. */
  readonly names: readonly string[];
  /** `CN=…, O=…`; left out: the first name as CN. */
  readonly subject?: string | undefined;
  /** Whether it shall also be taken from a client. */
  readonly clientAuth?: boolean | undefined;
}

export interface Validity {
  readonly lifetimeMs: number;
  readonly now: number;
}

/** Who signs: an authority with its key. */
export interface Signer {
  readonly certificate: CertificateFacts;
  readonly key: KeyObject;
}

/** A certificate of a server: signed by its own key, or by an authority. DER. */
export function makeCertificate(
  key: KeyObject,
  subject: Subject,
  validity: Validity,
  signer?: Signer,
): Promise<Buffer> {
  const publicKey = createPublicKey(key);
  const own = keyId(publicKey);
  const name = nameOf(subject);
  const { notBefore, notAfter } = period(validity, signer);
  const authorityId =
    signer === undefined
      ? own
      : (signer.certificate.subjectKeyId ?? keyId(signer.certificate.publicKey));
  return signed(signer?.key ?? key, (algorithm) =>
    sequence(
      context(0, [integer(Buffer.of(2))]),
      integer(serial()),
      algorithm,
      signer === undefined ? name : decode(signer.certificate.subjectDer),
      sequence(time(notBefore), time(notAfter)),
      name,
      decode(publicKey.export({ type: 'spki', format: 'der' })),
      context(3, [
        sequence(
          extension('2.5.29.19', true, sequence()),
          ...purposes(publicKey, subject),
          extension('2.5.29.14', false, octets(own)),
          extension('2.5.29.35', false, sequence(context(0, authorityId))),
        ),
      ]),
    ),
  );
}

/** An authority of the unit's own, which signs certificates of servers and no further authorities. */
export function makeAuthority(
  key: KeyObject,
  subject: string,
  validity: Validity,
): Promise<Buffer> {
  const publicKey = createPublicKey(key);
  const own = keyId(publicKey);
  const name = subjectName(subject);
  const { notBefore, notAfter } = period(validity);
  return signed(key, (algorithm) =>
    sequence(
      context(0, [integer(Buffer.of(2))]),
      integer(serial()),
      algorithm,
      name,
      sequence(time(notBefore), time(notAfter)),
      name,
      decode(publicKey.export({ type: 'spki', format: 'der' })),
      context(3, [
        sequence(
          extension('2.5.29.19', true, sequence(truth(), integer(Buffer.of(0)))),
          // keyCertSign and cRLSign.
          extension('2.5.29.15', true, bits(Buffer.of(0b0000_0110), 1)),
          extension('2.5.29.14', false, octets(own)),
          extension('2.5.29.35', false, sequence(context(0, own))),
        ),
      ]),
    ),
  );
}

/** A request for a certificate. DER. */
export function makeRequest(key: KeyObject, subject: Subject): Promise<Buffer> {
  const publicKey = createPublicKey(key);
  return signed(key, () =>
    sequence(
      integer(Buffer.of(0)),
      nameOf(subject),
      decode(publicKey.export({ type: 'spki', format: 'der' })),
      context(0, [
        sequence(oid('1.2.840.113549.1.9.14'), set(sequence(...purposes(publicKey, subject)))),
      ]),
    ),
  );
}

/** Key usage, extended key usage and names. */
function purposes(publicKey: KeyObject, subject: Subject): Node[] {
  // digitalSignature; keyEncipherment for RSA, which TLS 1.2 may exchange keys by.
  const usage =
    describeKey(publicKey).type === 'rsa'
      ? bits(Buffer.of(0b1010_0000), 5)
      : bits(Buffer.of(0b1000_0000), 7);
  const uses = [oid('1.3.6.1.5.5.7.3.1')];
  if (subject.clientAuth === true) uses.push(oid('1.3.6.1.5.5.7.3.2'));
  const names = subject.names.map((name) => {
    const address = readAddress(name);
    return address === null
      ? context(2, Buffer.from(name, 'latin1'))
      : context(7, Buffer.from(address.family === 4 ? address.bytes.slice(-4) : address.bytes));
  });
  const bare = parts(nameOf(subject)).length === 0;
  return [
    extension('2.5.29.15', true, usage),
    extension('2.5.29.37', false, sequence(...uses)),
    // Without a subject the names are all that there is (RFC 5280 §4.2.1.6).
    ...(names.length === 0 ? [] : [extension('2.5.29.17', bare, sequence(...names))]),
  ];
}

function nameOf({ subject, names }: Subject): Node {
  if (subject !== undefined) return subjectName(subject);
  const first = names.find((name) => name.length <= 64);
  return subjectName(first === undefined ? '' : `CN=${first}`);
}

function extension(type: string, critical: boolean, value: Node): Node {
  return sequence(oid(type), ...(critical ? [truth()] : []), octets(encode(value)));
}

/** No longer than its authority. */
function period(
  { now, lifetimeMs }: Validity,
  signer?: Signer,
): { readonly notBefore: number; readonly notAfter: number } {
  const second = Math.floor(now / 1000) * 1000;
  const notAfter = Math.min(second + lifetimeMs, signer?.certificate.notAfter ?? Infinity);
  if (notAfter <= second) {
    throw new CertificateError(
      'invalid',
      'The authority has expired: make a new one, and sign by that.',
    );
  }
  const earliest = signer?.certificate.notBefore ?? -Infinity;
  return { notBefore: Math.max(second - BACKDATED_MS, earliest), notAfter };
}

function serial(): Buffer {
  const bytes = randomBytes(16);
  // Positive, and of 16 octets whatever comes.
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

/** The first 160 bits of SHA-256 over the key (RFC 7093 §2, method 1). */
function keyId(publicKey: KeyObject): Buffer {
  const spki = decode(publicKey.export({ type: 'spki', format: 'der' }));
  return createHash('sha256').update(keyBits(spki)).digest().subarray(0, 20);
}

function keyBits(spki: Node): Buffer {
  const node = parts(spki)[1];
  if (node === undefined) throw new Error('a public key is missing');
  // forge may have read the bits as what they hold; their octets begin behind "no unused bits".
  if (!Array.isArray(node.value)) return content(node).subarray(1);
  return Buffer.concat(node.value.map(encode));
}

/** `SIGNED{…}` of X.509: what is signed, the algorithm, the signature. */
async function signed(key: KeyObject, content: (algorithm: Node) => Node): Promise<Buffer> {
  const { algorithm, hash } = algorithmOf(key);
  const body = content(algorithm);
  const signature = await new Promise<Buffer>((resolve, reject) => {
    sign(hash, encode(body), key, (error, made) => {
      if (error === null) resolve(made);
      else reject(error);
    });
  });
  return encode(sequence(body, algorithm, bits(signature)));
}

/** RFC 8017 §A.2.4, RFC 5758 §3.2, RFC 8410 §3. */
function algorithmOf(key: KeyObject): { readonly algorithm: Node; readonly hash: string | null } {
  const { type, curve } = describeKey(key);
  if (type === 'rsa') {
    return { algorithm: sequence(oid('1.2.840.113549.1.1.11'), nothing()), hash: 'sha256' };
  }
  if (type === 'ed25519') return { algorithm: sequence(oid('1.3.101.112')), hash: null };
  const strength = { 'P-384': 3, 'P-521': 4 }[curve ?? ''] ?? 2;
  const hash = { 2: 'sha256', 3: 'sha384', 4: 'sha512' }[strength] ?? 'sha256';
  return { algorithm: sequence(oid(`1.2.840.10045.4.3.${strength}`)), hash };
}
