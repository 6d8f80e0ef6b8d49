/**
 * Keys of limits as 64 bits: HalfSipHash-2-4 with 64 bits of output (Aumasson and Bernstein,
 * "SipHash: a fast short-input PRF", and the 32-bit variant of their reference).
 *
 * Clients choose hosts, paths and header values. With a secret seed they cannot choose which of
 * them share a place in a table. The 32-bit variant needs no BigInt, so nothing goes to the heap.
 *
 * Invariant: the same bytes and seed give the same hash in every worker.
 */

/** A seed, or a hash: two words. */
export type Words = Int32Array;

/** ASCII letters of upper case as lower case: hosts are compared so (RFC 9110 §4.2.3). */
function lower(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
}

function word(bytes: Uint8Array, at: number, count: number, fold: boolean): number {
  let value = 0;
  for (let i = 0; i < count; i += 1) {
    const octet = bytes[at + i] ?? 0;
    value |= (fold ? lower(octet) : octet) << (8 * i);
  }
  return value;
}

/** Hashes bytes[start, end) with the seed (low, high); `out` gets the hash. */
export function hashKey(
  bytes: Uint8Array,
  start: number,
  end: number,
  fold: boolean,
  low: number,
  high: number,
  out: Words,
): void {
  const length = end - start;
  const whole = length >> 2;
  let v0 = low;
  let v1 = high ^ 0xee;
  let v2 = 0x6c796765 ^ low;
  let v3 = 0x74656462 ^ high;
  // All words, the one with the length, and the two parts of the result: one loop, since the
  // rounds are the same.
  for (let step = 0; step < whole + 3; step += 1) {
    let message = 0;
    let rounds = 2;
    if (step < whole) message = word(bytes, start + 4 * step, 4, fold);
    else if (step === whole) {
      message = word(bytes, start + 4 * step, length & 3, fold) | (length << 24);
    } else {
      rounds = 4;
      if (step === whole + 1) v2 ^= 0xee;
      else v1 ^= 0xdd;
    }
    v3 ^= message;
    for (; rounds > 0; rounds -= 1) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    v0 ^= message;
    if (step === whole + 1) out[0] = v1 ^ v3;
  }
  out[1] = v1 ^ v3;
}

/** A seed of its own for each limit, so that its keys lie elsewhere than another one's. */
export function seedOf(name: string, low: number, high: number): Words {
  const bytes = new TextEncoder().encode(name);
  const seed = new Int32Array(2);
  hashKey(bytes, 0, bytes.length, false, low, high, seed);
  return seed;
}
