/**
 * Session tickets that any worker can open (RFC 5077, RFC 8446 §4.6.1): the keys come from outside.
 * OpenSSL asks for a key with SSL_CTX_set_tlsext_ticket_key_evp_cb(3), in handshakes alone.
 *
 * Invariant: tickets are made with the first key; those of the others are taken, and replaced by a
 * new one. So are all of TLS 1.3, which clients use but once (RFC 8446 §C.4).
 */
import { callback, pointerTo, type Pointer, raw } from './openssl-raw.js';
import { TLS1_3 } from './tls-versions.js';

/** Bytes of a key: its name, the key of AES-256-CBC, that of HMAC-SHA-256. */
export const TICKET_KEY_BYTES = 16 + 32 + 32;

const NAME = 16;
const IV = 16;

interface TicketKey {
  readonly name: Buffer;
  readonly cipher: Buffer;
  readonly mac: Buffer;
}

/**
 * OSSL_PARAM(3): { "digest", OSSL_PARAM_UTF8_STRING, "SHA256", 6, unmodified }, and the end. What the
 * block points to is kept beside it, or it would be collected.
 */
const digest = (() => {
  const name = Buffer.from('digest\0');
  const value = Buffer.from('SHA256\0');
  const block = Buffer.alloc(80);
  block.writeBigUInt64LE(BigInt(pointerTo(name)), 0);
  block.writeUInt32LE(4, 8);
  block.writeBigUInt64LE(BigInt(pointerTo(value)), 16);
  block.writeBigUInt64LE(6n, 24);
  block.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 32);
  return { block, kept: [name, value] };
})();

let keys: readonly TicketKey[] = [];
const scratch = Buffer.alloc(NAME);
const scratchAddress = pointerTo(scratch);

/** Sets the keys of all contexts of this process, each of TICKET_KEY_BYTES; they are copied. */
export function setTicketKeys(given: readonly Uint8Array[]): void {
  const old = keys;
  keys = given.map((bytes) => {
    if (bytes.length !== TICKET_KEY_BYTES) throw new RangeError('a ticket key of another length');
    const copy = Buffer.from(bytes);
    return { name: copy.subarray(0, 16), cipher: copy.subarray(16, 48), mac: copy.subarray(48) };
  });
  for (const { cipher, mac } of old) {
    cipher.fill(0);
    mac.fill(0);
  }
}

const FAILED = -1;
const UNKNOWN = 0;
const TAKEN = 1;
const TAKEN_AND_RENEW = 2;

function ticketKey(
  ssl: number,
  name: number,
  iv: number,
  cipher: number,
  mac: number,
  encrypting: number,
): number {
  const aes = raw.EVP_aes_256_cbc();
  if (encrypting === 1) {
    const key = keys[0];
    // Without keys there are no tickets.
    if (key === undefined) return UNKNOWN;
    raw.memcpy(name, pointerTo(key.name), NAME);
    if (raw.RAND_bytes(iv, IV) !== 1) return FAILED;
    const set = raw.EVP_EncryptInit_ex(cipher, aes, 0, key.cipher, iv);
    return set === 1 && raw.EVP_MAC_init(mac, key.mac, 32, digest.block) === 1 ? TAKEN : FAILED;
  }
  raw.memcpy(scratchAddress, name, NAME);
  const place = keys.findIndex((one) => one.name.equals(scratch));
  const key = keys[place];
  if (key === undefined) return UNKNOWN;
  if (raw.EVP_MAC_init(mac, key.mac, 32, digest.block) !== 1) return FAILED;
  if (raw.EVP_DecryptInit_ex(cipher, aes, 0, key.cipher, iv) !== 1) return FAILED;
  return place === 0 && raw.SSL_version(ssl) !== TLS1_3 ? TAKEN : TAKEN_AND_RENEW;
}

let registered: Pointer = 0;

export function ticketCallback(): Pointer {
  registered ||= callback(
    'int WeirTicketKey(int64 ssl, int64 name, int64 iv, int64 cipher, int64 mac, int encrypting)',
    ticketKey,
  );
  return registered;
}
