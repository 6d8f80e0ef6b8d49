/**
 * Private keys: kinds, making, describing, and what is refused. Keys are KeyObjects, whose octets
 * OpenSSL holds and wipes, or buffers of PKCS#8 (RFC 5958) that their holder wipes.
 */
import { generateKeyPair, type KeyObject } from 'node:crypto';
import { wipingFreed } from '../../native/ffi/heap.js';
import { CertificateError } from './errors.js';

export const KEY_KINDS = ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

export interface KeyInfo {
  readonly type: 'rsa' | 'ecdsa' | 'ed25519';
  /** Of RSA. */
  readonly bits?: number;
  /** Of ECDSA: `P-256`, `P-384`, `P-521`. */
  readonly curve?: string;
}

const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};
const LEAST_RSA_BITS = 2048;

/** In the threads of node's pool: RSA takes up to seconds. */
export function makeKey(kind: KeyKind): Promise<KeyObject> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, _public: KeyObject, key: KeyObject): void => {
      if (error === null) resolve(key);
      else reject(error);
    };
    switch (kind) {
      case 'ecdsa-p256':
      case 'ecdsa-p384':
        generateKeyPair('ec', { namedCurve: kind === 'ecdsa-p256' ? 'P-256' : 'P-384' }, done);
        return;
      default:
        generateKeyPair('rsa', { modulusLength: Number(kind.slice('rsa-'.length)) }, done);
    }
  });
}

/** What a key of a kind will be. */
export function infoOf(kind: KeyKind): KeyInfo {
  const [type, size = ''] = kind.split('-');
  return type === 'rsa'
    ? { type, bits: Number(size) }
    : { type: 'ecdsa', curve: size.replace('p', 'P-') };
}

/** What a key, public or private, is. @throws CertificateError when it is none that is served */
export function describeKey(key: KeyObject): KeyInfo {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') {
    const bits = details?.modulusLength ?? 0;
    if (bits >= LEAST_RSA_BITS) return { type, bits };
    throw new CertificateError(
      'invalid',
      `The RSA key has ${bits} bits, too few to be safe: make one of 2048 bits or more, or an ECDSA key.`,
    );
  }
  if (type === 'ec') {
    const curve = CURVES[details?.namedCurve ?? ''];
    if (curve !== undefined) return { type: 'ecdsa', curve };
    throw new CertificateError(
      'invalid',
      `The key is on the curve ${details?.namedCurve ?? 'without a name'}, which browsers do not know: use P-256 or P-384.`,
    );
  }
  if (type === 'ed25519') return { type };
  throw new CertificateError(
    'invalid',
    `Keys of type ${type ?? 'unknown'} are not served: use ECDSA or RSA.`,
  );
}

/** The kind that a described key is of; undefined for one that is not made here. */
export function kindOf({ type, bits, curve }: KeyInfo): KeyKind | undefined {
  const name = type === 'rsa' ? `rsa-${bits ?? 0}` : `ecdsa-${(curve ?? '').replace('-', '')}`;
  return KEY_KINDS.find((kind) => kind === name.toLowerCase());
}

/** `ecdsa P-256`, `rsa 2048`. */
export function keyText({ type, bits, curve }: KeyInfo): string {
  return [type, curve ?? bits].filter((part) => part !== undefined).join(' ');
}

/** PKCS#8 in DER, which the caller wipes. */
export function pkcs8Of(key: KeyObject): Buffer {
  return wipingFreed(() => key.export({ type: 'pkcs8', format: 'der' }));
}
