/**
 * How a unit proves that it knows the code: HMAC-SHA256, keyed by the secret, over its role, the public
 * keys of both units and the exporter of this very TLS connection (RFC 9266).
 *
 * Who sits in the middle has two connections with two exporters and cannot show either unit the other's
 * key, so no proof that it hears is one that it can pass on. What it hears it may try codes against, at
 * leisure: with 95 bits that is hopeless, which is why this needs no PAKE (those are for codes of a few
 * digits).
 */
import { createHash, createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { CodeSecret } from './code.js';

export type PairingRole = 'inviter' | 'joiner';

const LABEL = 'weir pair 1';
/** RFC 9266 §4. */
const EXPORTER = 'EXPORTER-Channel-Binding';
const EXPORTED_BYTES = 32;

export interface Transcript {
  /** SHA-256 of the SPKI. */
  readonly inviter: Buffer;
  readonly joiner: Buffer;
  readonly exported: Buffer;
}

export function proofOf(secret: CodeSecret, role: PairingRole, transcript: Transcript): Buffer {
  const { inviter, joiner, exported } = transcript;
  return createHmac('sha256', secret)
    .update(`${LABEL}\0${role}\0`)
    .update(inviter)
    .update(joiner)
    .update(exported)
    .digest();
}

/** In constant time. */
export function proves(
  proof: Buffer,
  secret: CodeSecret,
  role: PairingRole,
  transcript: Transcript,
): boolean {
  const right = proofOf(secret, role, transcript);
  return proof.length === right.length && timingSafeEqual(proof, right);
}

/** What only the two ends of this TLS connection know. */
export function exporterOf(socket: TLSSocket): Buffer {
  return socket.exportKeyingMaterial(EXPORTED_BYTES, EXPORTER, Buffer.alloc(0));
}

/** SHA-256 of the SPKI (RFC 7469 §2.4). */
export function pinOf(key: KeyObject): Buffer {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

/** Hexadecimal with colons, as people compare it. */
export function pinText(pin: Buffer): string {
  return (pin.toString('hex').toUpperCase().match(/../g) ?? []).join(':');
}
