/**
 * How often a file asks for its passphrase to be hashed (RFC 8018, RFC 7292): looked at before
 * anything is decrypted, because OpenSSL cannot be stopped while it does.
 */
import { decode, type Node } from './asn1.js';
import { CertificateError } from './errors.js';
import forge from 'node-forge';

/** Seconds on a slow core; OpenSSL writes 2,048, password managers up to a million. */
const MOST = 10_000_000;
/** PKCS#12 packs structures into octet strings; deeper ones than its own are none of it. */
const DEEPEST = 4;

/** @throws CertificateError when it asks for too many, Error when it is no DER */
export function checkIterations(der: Uint8Array): void {
  look(decode(der), DEEPEST);
}

function look(node: Node, deeper: number): void {
  const { Class, Type } = forge.asn1;
  if (!Array.isArray(node.value)) {
    const bytes = Buffer.from(node.value, 'latin1');
    if (deeper > 0 && isOctets(node) && bytes[0] === 0x30) lookInto(bytes, deeper - 1);
    return;
  }
  for (const [index, child] of node.value.entries()) {
    const before = node.value[index - 1];
    if (
      before !== undefined &&
      isOctets(before) &&
      child.tagClass === Class.UNIVERSAL &&
      child.type === Type.INTEGER &&
      typeof child.value === 'string'
    ) {
      // A salt, and then how often.
      const digits = Buffer.from(child.value, 'latin1').toString('hex');
      if (digits.length > 16 || Number.parseInt(digits || '0', 16) > MOST) {
        throw new CertificateError(
          'invalid',
          `What was given is encrypted with more than ${MOST} iterations: encrypt it anew with fewer.`,
        );
      }
    }
    look(child, deeper);
  }
}

function isOctets(node: Node): boolean {
  return node.tagClass === forge.asn1.Class.UNIVERSAL && node.type === forge.asn1.Type.OCTETSTRING;
}

function lookInto(bytes: Buffer, deeper: number): void {
  let inner: Node;
  try {
    inner = decode(bytes);
  } catch {
    // Octets that only begin like a structure: a salt, or something encrypted.
    return;
  }
  look(inner, deeper);
}
