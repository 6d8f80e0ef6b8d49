/**
 * PKCS#12 (RFC 7292) by node-forge, both what OpenSSL 3 writes (PBES2, AES, SHA-256) and the older
 * forms (3DES, RC2). forge works on binary strings, so here alone a private key is one for a
 * moment; imports run in a thread of their own, whose memory goes away with it.
 */
import { createHmac, createPrivateKey, randomBytes, type KeyObject } from 'node:crypto';
import forge from 'node-forge';
import { context, encode, integer, nothing, octets, oid, sequence, set } from './asn1.js';
import { CertificateError } from './errors.js';
import { checkIterations } from './iterations.js';
import { readCertificate } from './x509.js';

const ITERATIONS = 10_000;
const SHA256_BYTES = 32;
const DATA = '1.2.840.113549.1.7.1';
const BAGS = '1.2.840.113549.1.12.10.1';

/** @throws CertificateError */
export function readPkcs12(
  bytes: Buffer,
  passphrase: string | undefined,
): { readonly certificates: Buffer[]; readonly keys: KeyObject[] } {
  checkPassphrase(passphrase ?? '');
  try {
    checkIterations(bytes);
    const file = forge.pkcs12.pkcs12FromAsn1(
      forge.asn1.fromDer(bytes.toString('latin1')),
      false,
      passphrase ?? '',
    );
    const certificates: Buffer[] = [];
    const keys: KeyObject[] = [];
    for (const bag of file.safeContents.flatMap(({ safeBags }) => safeBags)) {
      if (bag.type === forge.pki.oids['certBag']) {
        certificates.push(readCertificate(certificateOf(bag)).der);
      } else if (
        bag.type === forge.pki.oids['keyBag'] ||
        bag.type === forge.pki.oids['pkcs8ShroudedKeyBag']
      ) {
        const der = keyOf(bag);
        try {
          keys.push(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
        } finally {
          der.fill(0);
        }
      }
    }
    return { certificates, keys };
  } catch (cause) {
    if (cause instanceof CertificateError) throw cause;
    const said = cause instanceof Error ? cause.message : '';
    throw new CertificateError(
      'invalid',
      /MAC|password|decrypt/i.test(said)
        ? passphrase === undefined
          ? 'The PKCS#12 file is encrypted: give its passphrase (--passphrase-file).'
          : 'The PKCS#12 file cannot be decrypted: the passphrase is wrong, or the file is damaged.'
        : 'What was given is neither PEM nor a PKCS#12 file that can be read.',
      cause,
    );
  }
}

/** Programs disagree on how others are encoded (RFC 7292 appendix B.1), forge among them. */
function checkPassphrase(passphrase: string): void {
  if (/^[\x20-\x7e]*$/.test(passphrase)) return;
  throw new CertificateError(
    'invalid',
    'The passphrase of a PKCS#12 file may have printable ASCII characters only: choose another one.',
  );
}

/** What forge cannot read, such as certificates of elliptic curves, it leaves as it was. */
function certificateOf(bag: forge.pkcs12.Bag): Buffer {
  const asn1 = bag.cert ? forge.pki.certificateToAsn1(bag.cert) : bag.asn1;
  return Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'latin1');
}

function keyOf(bag: forge.pkcs12.Bag): Buffer {
  const asn1 = bag.key
    ? forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(bag.key))
    : bag.asn1;
  return Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'latin1');
}

/** A file for other programs: certificates in the clear, the key by PBES2 with AES-256. */
export function writePkcs12(
  name: string,
  chain: readonly Buffer[],
  key: KeyObject,
  passphrase: string,
): Buffer {
  checkPassphrase(passphrase);
  const id = set(
    sequence(oid('1.2.840.113549.1.9.21'), set(octets(Buffer.from('weir')))),
    sequence(oid('1.2.840.113549.1.9.20'), set(friendly(name))),
  );
  const certificates = chain.map((der, index) =>
    sequence(
      oid(`${BAGS}.3`),
      context(0, [sequence(oid('1.2.840.113549.1.9.22.1'), context(0, [octets(der)]))]),
      // Only the first is the key's.
      ...(index === 0 ? [id] : []),
    ),
  );
  const locked = key.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase });
  const shrouded = sequence(
    oid(`${BAGS}.2`),
    context(0, [forge.asn1.fromDer(locked.toString('latin1'))]),
    id,
  );
  const data = (content: Buffer) => sequence(oid(DATA), context(0, [octets(content)]));
  const safe = encode(
    sequence(data(encode(sequence(...certificates))), data(encode(sequence(shrouded)))),
  );
  const salt = randomBytes(16);
  return encode(
    sequence(
      integer(Buffer.of(3)),
      data(safe),
      sequence(
        sequence(
          sequence(oid('2.16.840.1.101.3.4.2.1'), nothing()),
          octets(mac(safe, salt, passphrase)),
        ),
        octets(salt),
        integer(Buffer.of(ITERATIONS >> 8, ITERATIONS & 0xff)),
      ),
    ),
  );
}

function friendly(name: string): forge.asn1.Asn1 {
  const { Class, Type } = forge.asn1;
  const text = Buffer.from(name, 'utf16le').swap16().toString('latin1');
  return forge.asn1.create(Class.UNIVERSAL, Type.BMPSTRING, false, text);
}

/** RFC 7292 §4 and appendix B: the third kind of key. */
function mac(safe: Buffer, salt: Buffer, passphrase: string): Buffer {
  const key = forge.pkcs12.generateKey(
    passphrase,
    forge.util.createBuffer(salt.toString('latin1')),
    3,
    ITERATIONS,
    SHA256_BYTES,
    forge.md.sha256.create(),
  );
  return createHmac('sha256', Buffer.from(key.getBytes(), 'latin1')).update(safe).digest();
}
