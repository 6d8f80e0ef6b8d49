/**
 * The hash that picks a slot of a pool's lookup table for a flow: exactly what the fast path
 * computes (native/bpf/lookup.h describes it), so that the daemon can say where a flow goes.
 * Finaliser: 32-bit finaliser of MurmurHash3.
 *
 * Invariant: equal to hash_flow in native/bpf/lookup.h for every input; 32-bit arithmetic only.
 */

/** Numbers of IPPROTO_TCP and IPPROTO_UDP. */
export type FlowProtocol = 6 | 17;

/** What of a flow is hashed. */
export type HashChoice = 'flow-hash' | 'source-hash' | 'source-destination-hash';

export interface FlowTuple {
  /** 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: FlowProtocol;
}

const WORD = 0xcc9e2d51;
const STATE = 0x1b873593;
const FOLD = 0x85ebca77;
const PROTOCOL = 0x9e3779b1;
const FINAL_1 = 0x85ebca6b;
const FINAL_2 = 0xc2b2ae35;

function mix(state: number, word: number): number {
  const mixed = state ^ Math.imul(word, WORD);
  return Math.imul((mixed << 15) | (mixed >>> 17), STATE);
}

function fold(word: number, other: number): number {
  const folded = Math.imul(other, FOLD);
  return word ^ ((folded << 13) | (folded >>> 19));
}

/** The words of an address into the state, `last` in place of the last one. */
function mixAddress(state: number, bytes: Uint8Array, last: number): number {
  if (isMapped(bytes)) return mix(state, last);
  const first = mix(state, fold(wordAt(bytes, 0), wordAt(bytes, 1)));
  return mix(first, fold(wordAt(bytes, 2), last));
}

/** Four bytes as the program loads them: little endian. */
function wordAt(bytes: Uint8Array, index: number): number {
  const at = index * 4;
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}

/** A port's two bytes as they stand in the packet, read little endian. */
function portWord(port: number): number {
  return ((port & 0xff) << 8) | (port >>> 8);
}

/** An IPv4 address is its last word alone: the rest is the same for all. */
function isMapped(bytes: Uint8Array): boolean {
  const zeros = bytes.subarray(0, 10).every((byte) => byte === 0);
  return zeros && bytes[10] === 0xff && bytes[11] === 0xff;
}

/** The hash, 0 … 2^32 − 1. `seed` is the unit's hash seed, the same on both units of a pair. */
export function hashFlow(flow: FlowTuple, seed: number, choice: HashChoice = 'flow-hash'): number {
  let a = mixAddress(seed | 0, flow.source, wordAt(flow.source, 3));
  if (choice !== 'source-hash') {
    let b = seed | 0;
    let end = wordAt(flow.destination, 3);
    if (choice === 'flow-hash') {
      b ^= Math.imul(flow.protocol, PROTOCOL);
      end = fold(end, portWord(flow.sourcePort) | (portWord(flow.destinationPort) << 16));
    }
    a = mix(a, mixAddress(b, flow.destination, end));
  }
  a ^= a >>> 16;
  a = Math.imul(a, FINAL_1);
  a ^= a >>> 13;
  a = Math.imul(a, FINAL_2);
  return (a ^ (a >>> 16)) >>> 0;
}

/**
 * The slot that a hash picks: (hash × slots) ÷ 2^32, rounded down. Exact for up to 2^36 slots:
 * the product is taken in two halves because it may exceed what a number holds.
 */
export function slotOf(hash: number, slots: number): number {
  const low = Math.floor(((hash & 0xffff) * slots) / 65536);
  return Math.floor(((hash >>> 16) * slots + low) / 65536);
}
