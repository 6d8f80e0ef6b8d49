/**
 * The key of an account, and what is signed by it in JWS (RFC 7515, RFC 7638).
 *
 * Invariant: a private key is a Buffer of PKCS#8 or node's KeyObject; never a string, so that none
 * is logged by accident.
 */
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  sign,
  type KeyObject,
} from 'node:crypto';

import { pkcs8Of } from '../keys.js';

/** The public half as a JWK, members in the order that RFC 7638 §3 hashes them in. */
interface PublicJwk {
  readonly crv: 'P-256';
  readonly kty: 'EC';
  readonly x: string;
  readonly y: string;
}

const encode = (value: unknown): string =>
  Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');

/** A key on P-256, which every authority must accept (RFC 8555 §6.2: ES256). */
export class AccountKey {
  readonly #key: KeyObject;
  readonly #jwk: PublicJwk;

  /** Throws when it is no PKCS#8 of a P-256 key. */
  constructor(key: Buffer | KeyObject) {
    this.#key = Buffer.isBuffer(key)
      ? createPrivateKey({ key, format: 'der', type: 'pkcs8' })
      : key;
    const { crv, x, y } = createPublicKey(this.#key).export({ format: 'jwk' });
    if (crv !== 'P-256' || x === undefined || y === undefined) {
      throw new Error('the key of the ACME account is not of the kind ECDSA P-256');
    }
    this.#jwk = { crv, kty: 'EC', x, y };
  }

  pkcs8(): Buffer {
    return pkcs8Of(this.#key);
  }

  /** What proves that a challenge is answered for this account (RFC 8555 §8.1). */
  authorize(token: string): string {
    const thumbprint = createHash('sha256').update(JSON.stringify(this.#jwk)).digest('base64url');
    return `${token}.${thumbprint}`;
  }

  /** A flattened JWS; a payload of null is POST-as-GET (§6.3). Without account URL it carries the key. */
  sign(url: string, payload: unknown, nonce: string, account: string | null): string {
    const who = account === null ? { jwk: this.#jwk } : { kid: account };
    const protectedPart = encode({ alg: 'ES256', ...who, nonce, url });
    const payloadPart = payload === null ? '' : encode(payload);
    const signature = sign('sha256', Buffer.from(`${protectedPart}.${payloadPart}`), {
      key: this.#key,
      dsaEncoding: 'ieee-p1363',
    }).toString('base64url');
    return JSON.stringify({ protected: protectedPart, payload: payloadPart, signature });
  }

  /** The binding to an account that the authority knows from elsewhere (§7.3.4). */
  bind(url: string, keyId: string, hmacKey: Buffer): object {
    const protectedPart = encode({ alg: 'HS256', kid: keyId, url });
    const payload = encode(this.#jwk);
    const signature = createHmac('sha256', hmacKey)
      .update(`${protectedPart}.${payload}`)
      .digest('base64url');
    return { protected: protectedPart, payload, signature };
  }
}
