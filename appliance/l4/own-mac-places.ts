/**
 * Where the fast path finds MAC addresses of the unit: each at the first byte of its product with a
 * factor, so that one look tells whether a frame's is among them (is_mine in native/bpf/weir.bpf.c).
 * Pure.
 */
import { OWN_MACS } from './layouts.js';

export interface OwnMacPlaces {
  readonly factor: bigint;
  /** OWN_MACS of 6 bytes; zeros where none is. */
  readonly macs: readonly Uint8Array[];
}

/** With more, a factor that keeps them apart would be long in coming. */
export const MOST_OWN_MACS = 64;
/** A hundred times what that many need on average. */
const MOST_TRIES = 300_000;
const NONE = new Uint8Array(6);
/** Of 2⁶⁴ and the golden ratio (Knuth, TAOCP vol. 3, §6.4), and MMIX's generator behind it (vol. 2, §3.3.4). */
const FIRST = 0x9e37_79b9_7f4a_7c15n;
const next = (factor: bigint): bigint =>
  BigInt.asUintN(64, factor * 0x5851_f42d_4c95_7f2dn + 0x1405_7b7e_f767_814fn) | 1n;

/** `factor`: that of now, which stays if it can. Null: there are too many, or none. */
export function placeOwnMacs(macs: readonly Uint8Array[], factor: bigint): OwnMacPlaces | null {
  if (macs.length === 0 || macs.length > MOST_OWN_MACS) return null;
  const numbers = macs.map((mac) => Buffer.from([...mac, 0, 0]).readBigUInt64LE());
  let tried = factor === 0n ? FIRST : factor;
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const places = numbers.map((one) => Number(BigInt.asUintN(64, one * tried) >> 56n));
    if (new Set(places).size === macs.length) {
      const table = new Array<Uint8Array>(OWN_MACS).fill(NONE);
      for (const [index, place] of places.entries()) table[place] = macs[index] ?? NONE;
      return { factor: tried, macs: table };
    }
    tried = next(tried);
  }
  return null;
}
