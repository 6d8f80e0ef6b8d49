/**
 * The values of the cookie that Weir sets, one for each member, and back from a value to the member.
 *
 * - `plain`: 8 octets of the SHA-256 of the member's id, in hexadecimal. Anybody who guesses ids can
 *   tell whose it is, and choose a member.
 * - `signed`: these 8 octets and 16 of an HMAC-SHA-256 (RFC 2104) over them, in base64url: readable
 *   in the same way, but nobody makes one without the key.
 * - `encrypted`: 18 octets of an HMAC-SHA-256 of the id under a key of its own, in base64url. All values
 *   that can be right are known beforehand, so nothing needs to be decrypted: a pseudo-random name
 *   tells as little as a ciphertext and is forged as hardly (2^144). As with any deterministic
 *   encryption, two clients of the same member can see that they are.
 *
 * Invariant: a value depends on the mode, the key and the member's id alone, so it is the same in all
 * workers, on both units of a pair and after a restart.
 */
import { createHash, createHmac } from 'node:crypto';
import type { L7Persistence } from '../tables.js';

export type CookieProtection = Extract<L7Persistence, { kind: 'cookie' }>['protection'];

const KEY_BYTES = 32;

/** Makes values, and remembers them from snapshot to snapshot. */
export class CookieMint {
  readonly #key: Buffer;
  #values = new Map<string, string>();

  /** @param key base64 of 32 octets; not asked for when plain */
  constructor(
    readonly protection: CookieProtection,
    key: string,
  ) {
    this.#key = Buffer.from(key, 'base64');
    if (protection !== 'plain' && this.#key.length !== KEY_BYTES) {
      throw new RangeError(
        `the key of a ${protection} cookie has ${this.#key.length} octets instead of ${KEY_BYTES}`,
      );
    }
  }

  /** Values of all these ids, in their order; others are forgotten. */
  values(ids: readonly string[]): string[] {
    const before = this.#values;
    this.#values = new Map(ids.map((id) => [id, before.get(id) ?? this.#value(id)]));
    return ids.map((id) => this.#values.get(id) ?? '');
  }

  #value(id: string): string {
    if (this.protection === 'encrypted') {
      const key = createHmac('sha256', this.#key).update('weir cookie: encrypted').digest();
      return createHmac('sha256', key).update(id).digest().subarray(0, 18).toString('base64url');
    }
    const name = createHash('sha256').update(id).digest().subarray(0, 8);
    if (this.protection === 'plain') return name.toString('hex');
    const proof = createHmac('sha256', this.#key)
      .update('weir cookie: signed')
      .update(name)
      .digest();
    return Buffer.concat([name, proof.subarray(0, 16)]).toString('base64url');
  }
}

/**
 * From a value's octets to the index of its member: open addressing, at most half full. Values are
 * compared whole, however early they differ, so that the time tells nothing of a right one.
 */
export class ValueIndex {
  readonly #length: number;
  readonly #values: Uint8Array;
  /** Index and one; 0: free. */
  readonly #slots: Int32Array;

  /** All of one length. */
  constructor(values: readonly string[]) {
    this.#length = values[0]?.length ?? 0;
    this.#values = Uint8Array.from(Buffer.from(values.join(''), 'latin1'));
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(values.length * 2 + 2)));
    const mask = this.#slots.length - 1;
    for (const index of values.keys()) {
      const at = index * this.#length;
      let slot = hash(this.#values, at, at + this.#length) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = index + 1;
    }
  }

  /** -1: it is none of them. */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (end - start !== this.#length || end === start) return -1;
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hash(bytes, start, end) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const index = (slots[slot] as number) - 1;
      if (this.#same(bytes, start, index * this.#length)) return index;
    }
    return -1;
  }

  #same(bytes: Uint8Array, start: number, at: number): boolean {
    const values = this.#values;
    let different = 0;
    for (let i = 0; i < this.#length; i += 1) {
      different |= (bytes[start + i] as number) ^ (values[at + i] as number);
    }
    return different === 0;
  }
}

/** FNV-1a, folded. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  let state = 0x811c_9dc5 | 0;
  for (let i = start; i < end; i += 1) {
    state = Math.imul(state ^ (bytes[i] as number), 0x0100_0193);
  }
  return state ^ (state >>> 15);
}
