/**
 * DER by node-forge (X.690): the few forms that certificates need, between forge's binary strings
 * and buffers. Only what is public passes through here as a string; private keys do not.
 */
import forge from 'node-forge';

export type Node = forge.asn1.Asn1;

const { asn1 } = forge;
const { Class, Type } = asn1;

export function sequence(...children: Node[]): Node {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, children);
}

export function set(...children: Node[]): Node {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, children);
}

export function oid(dotted: string): Node {
  return asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(dotted).getBytes());
}

export function nothing(): Node {
  return asn1.create(Class.UNIVERSAL, Type.NULL, false, '');
}

export function truth(): Node {
  return asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, '\u00ff');
}

/** Content octets of a positive integer: the first bit must be clear. */
export function integer(bytes: Uint8Array): Node {
  return asn1.create(Class.UNIVERSAL, Type.INTEGER, false, text(bytes));
}

export function octets(bytes: Uint8Array): Node {
  return asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, text(bytes));
}

/** With `unused` bits at its end. */
export function bits(bytes: Uint8Array, unused = 0): Node {
  return asn1.create(
    Class.UNIVERSAL,
    Type.BITSTRING,
    false,
    String.fromCharCode(unused) + text(bytes),
  );
}

export function utf8(value: string): Node {
  return asn1.create(Class.UNIVERSAL, Type.UTF8, false, text(Buffer.from(value)));
}

export function printable(value: string): Node {
  return asn1.create(Class.UNIVERSAL, Type.PRINTABLESTRING, false, value);
}

/** `[tag]` around others (explicit) or in the place of their own tag (implicit). */
export function context(tag: number, content: Node[] | Uint8Array): Node {
  return Array.isArray(content)
    ? asn1.create(Class.CONTEXT_SPECIFIC, tag, true, content)
    : asn1.create(Class.CONTEXT_SPECIFIC, tag, false, text(content));
}

/** UTCTime to 2049, then GeneralizedTime (RFC 5280 §4.1.2.5). */
export function time(milliseconds: number): Node {
  const date = new Date(milliseconds);
  return date.getUTCFullYear() < 2050
    ? asn1.create(Class.UNIVERSAL, Type.UTCTIME, false, asn1.dateToUtcTime(date))
    : asn1.create(Class.UNIVERSAL, Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date));
}

export function encode(node: Node): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
}

/** @throws Error when it is no DER, or goes on behind its end */
export function decode(der: Uint8Array): Node {
  return asn1.fromDer(text(der), true);
}

/** Parts of a constructed value. @throws Error when it is a plain one */
export function parts(node: Node | undefined): Node[] {
  if (node === undefined || !Array.isArray(node.value)) throw new Error('a sequence is missing');
  return node.value;
}

/** Content octets of a plain value. @throws Error when it is a constructed one */
export function content(node: Node | undefined): Buffer {
  if (node === undefined || typeof node.value !== 'string') throw new Error('a value is missing');
  return Buffer.from(node.value, 'latin1');
}

export function dotted(node: Node | undefined): string {
  return asn1.derToOid(forge.util.createBuffer(content(node).toString('latin1')));
}

export function isContext(node: Node | undefined, tag: number): boolean {
  return (
    node !== undefined && node.tagClass === Class.CONTEXT_SPECIFIC && Number(node.type) === tag
  );
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
