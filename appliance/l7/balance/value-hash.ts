/**
 * A hash of 64 bits, as two words, of the octets by which a client is known: 32-bit arithmetic in two
 * lanes, each with the finaliser of MurmurHash3.
 *
 * Invariant: keyed, and scopes are part of the key, so the same value in two services or pools is two
 * different clients. It is no defence against somebody who looks for collisions, and need not be:
 * who shares another's entry is sent to the same member, no more.
 */
import { createHash } from 'node:crypto';

/** Filled in by one call, read right after it. Never two zeros. */
export class ValueHash {
  low = 0;
  high = 0;
  readonly #seedLow: number;
  readonly #seedHigh: number;

  /** @param scope what the values belong to */
  constructor(scope: string) {
    const seed = createHash('sha256').update(scope).digest();
    this.#seedLow = seed.readInt32LE(0);
    this.#seedHigh = seed.readInt32LE(4);
  }

  of(bytes: Uint8Array, start: number, end: number): void {
    let a = this.#seedLow;
    let b = this.#seedHigh;
    for (let i = start; i < end; i += 1) {
      const octet = bytes[i] as number;
      a = Math.imul(a ^ octet, 0x0100_0193);
      b = Math.imul((b << 5) ^ (b >>> 27) ^ octet, 0x85eb_ca6b);
    }
    this.#finish(a, b, end - start);
  }

  /** The first `bits` of 16 octets. */
  ofPrefix(bytes: Uint8Array, bits: number): void {
    let a = this.#seedLow;
    let b = this.#seedHigh;
    for (let i = 0; i < 16; i += 1) {
      const left = bits - i * 8;
      const octet =
        left >= 8 ? (bytes[i] as number) : left > 0 ? (bytes[i] as number) & (0xff00 >> left) : 0;
      a = Math.imul(a ^ octet, 0x0100_0193);
      b = Math.imul((b << 5) ^ (b >>> 27) ^ octet, 0x85eb_ca6b);
    }
    this.#finish(a, b, bits);
  }

  #finish(a: number, b: number, length: number): void {
    const low = mix(a ^ length ^ Math.imul(b, 0x9e37_79b1));
    const high = mix(b ^ Math.imul(low, 0xcc9e_2d51));
    this.low = low;
    this.high = high === 0 && low === 0 ? 1 : high;
  }
}

function mix(word: number): number {
  let x = word ^ (word >>> 16);
  x = Math.imul(x, 0x85eb_ca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2_ae35);
  return x ^ (x >>> 16);
}
