/**
 * The two things that issuing writes in DER: a request for a certificate (RFC 2986) and the
 * certificate that answers tls-alpn-01 (RFC 8737 §3, RFC 5280).
 *
 * node-forge gives the encoding. It signs and asks for RSA only, so node:crypto signs; the private
 * key never passes through node-forge, whose bytes are strings.
 *
 * Invariant: names are ASCII host names, which the caller has checked.
 */
import { createHash, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import forge from 'node-forge';

const { asn1 } = forge;
type Node = forge.asn1.Asn1;

const OID = {
  commonName: '2.5.4.3',
  subjectAltName: '2.5.29.17',
  extensionRequest: '1.2.840.113549.1.9.14',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  ecdsaWithSha384: '1.2.840.10045.4.3.3',
  sha256WithRsa: '1.2.840.113549.1.1.11',
  acmeIdentifier: '1.3.6.1.5.5.7.1.31',
} as const;

const universal = asn1.Class.UNIVERSAL;
const leaf = (type: forge.asn1.Type, bytes: string): Node =>
  asn1.create(universal, type, false, bytes);
const sequence = (...parts: Node[]): Node =>
  asn1.create(universal, asn1.Type.SEQUENCE, true, parts);
const setOf = (part: Node): Node => asn1.create(universal, asn1.Type.SET, true, [part]);
const tagged = (tag: number, parts: Node[]): Node =>
  asn1.create(asn1.Class.CONTEXT_SPECIFIC, tag, true, parts);
const octets = (bytes: string): Node => leaf(asn1.Type.OCTETSTRING, bytes);
const oid = (dotted: string): Node => leaf(asn1.Type.OID, asn1.oidToDer(dotted).getBytes());
const bits = (bytes: Buffer): Node => leaf(asn1.Type.BITSTRING, `\0${bytes.toString('latin1')}`);
const bytesOf = (node: Node): string => asn1.toDer(node).getBytes();
const buffer = (node: Node): Buffer => Buffer.from(bytesOf(node), 'latin1');

/** The public half of a key, as certificates carry it (SubjectPublicKeyInfo). */
function publicKey(key: KeyObject): Node {
  const der = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return asn1.fromDer(der.toString('latin1'));
}

interface Signing {
  readonly hash: 'sha256' | 'sha384';
  readonly algorithm: Node;
}

function signing(key: KeyObject): Signing {
  if (key.asymmetricKeyType === 'rsa') {
    const none = leaf(asn1.Type.NULL, '');
    return { hash: 'sha256', algorithm: sequence(oid(OID.sha256WithRsa), none) };
  }
  return key.asymmetricKeyDetails?.namedCurve === 'secp384r1'
    ? { hash: 'sha384', algorithm: sequence(oid(OID.ecdsaWithSha384)) }
    : { hash: 'sha256', algorithm: sequence(oid(OID.ecdsaWithSha256)) };
}

/** A body, the algorithm and the signature of the body: the frame of both. */
function signed(body: Node, { hash, algorithm }: Signing, key: KeyObject): Buffer {
  return buffer(sequence(body, algorithm, bits(sign(hash, buffer(body), key))));
}

function alternativeNames(names: readonly string[]): Node {
  const dns = names.map((name) => asn1.create(asn1.Class.CONTEXT_SPECIFIC, 2, false, name));
  return sequence(oid(OID.subjectAltName), octets(bytesOf(sequence(...dns))));
}

/** A request for a certificate for these names. Its subject is empty: names are alternative names (RFC 8555 §7.4). */
export function certificateRequest(names: readonly string[], key: KeyObject): Buffer {
  const extensions = sequence(oid(OID.extensionRequest), setOf(sequence(alternativeNames(names))));
  const version = leaf(asn1.Type.INTEGER, '\0');
  const body = sequence(version, sequence(), publicKey(key), tagged(0, [extensions]));
  return signed(body, signing(key), key);
}

/** The certificate that answers a tls-alpn-01 challenge for a name; signed by its own key. */
export function challengeCertificate(
  name: string,
  keyAuthorization: string,
  key: KeyObject,
  now: number,
): Buffer {
  const how = signing(key);
  const common = leaf(asn1.Type.UTF8, 'ACME challenge');
  const subject = sequence(setOf(sequence(oid(OID.commonName), common)));
  const digest = createHash('sha256').update(keyAuthorization).digest().toString('latin1');
  const identifier = sequence(
    oid(OID.acmeIdentifier),
    leaf(asn1.Type.BOOLEAN, '\xff'), // critical, as §3 demands
    octets(bytesOf(octets(digest))),
  );
  // Positive and without a needless leading zero.
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const day = 24 * 60 * 60_000;
  const body = sequence(
    tagged(0, [leaf(asn1.Type.INTEGER, '\x02')]),
    leaf(asn1.Type.INTEGER, serial.toString('latin1')),
    how.algorithm,
    subject,
    sequence(time(now - day), time(now + 7 * day)),
    subject,
    publicKey(key),
    tagged(3, [sequence(alternativeNames([name]), identifier)]),
  );
  return signed(body, how, key);
}

/** UTCTime until 2049 and GeneralizedTime from 2050 (RFC 5280 §4.1.2.5). */
function time(at: number): Node {
  const date = new Date(at);
  return date.getUTCFullYear() < 2050
    ? leaf(asn1.Type.UTCTIME, asn1.dateToUtcTime(date))
    : leaf(asn1.Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date));
}
