/**
 * Certificates and private keys as OpenSSL holds them, made from DER. Where node was started with
 * `--secure-heap`, private numbers lie in memory that is locked and left out of core dumps.
 *
 * Invariant: what is made here is counted by OpenSSL; close() gives back our own count, contexts that
 * use it keep theirs.
 */
import { holding } from './memory.js';
import { pointerTo, type Pointer, raw } from './openssl-raw.js';
import { failure } from './tls-error.js';

/** d2i functions read from where a pointer points to, and move it. */
function parse(
  make: (out: number, from: number, length: number) => Pointer,
  der: Uint8Array,
  what: string,
): Pointer {
  const where = new BigUint64Array([BigInt(pointerTo(der))]);
  const words = new Uint8Array(where.buffer);
  const made = holding([der, words], () => make(0, pointerTo(words), der.length));
  if (made === 0) throw failure(what);
  return made;
}

export class X509 {
  #pointer: Pointer;

  /** Throws TlsError. */
  constructor(der: Uint8Array) {
    this.#pointer = parse(raw.d2i_X509, der, 'this is no certificate');
  }

  get pointer(): Pointer {
    return this.#pointer;
  }

  close(): void {
    raw.X509_free(this.#pointer);
    this.#pointer = 0;
  }
}

export class PrivateKey {
  #pointer: Pointer;

  /** From PKCS#8 or the traditional forms; the caller wipes `der`. Throws TlsError. */
  constructor(der: Uint8Array) {
    this.#pointer = parse(raw.d2i_AutoPrivateKey, der, 'this is no private key');
  }

  get pointer(): Pointer {
    return this.#pointer;
  }

  close(): void {
    raw.EVP_PKEY_free(this.#pointer);
    this.#pointer = 0;
  }
}
