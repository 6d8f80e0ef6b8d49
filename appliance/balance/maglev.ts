/**
 * Maglev hashing, weighted, with two additions of ours.
 *
 * The table is built over every configured member first, and only the slots of members that
 * cannot serve are then handed to those that can. So a member that goes moves its own share
 * and nothing else, and when it returns every slot is what it was before, on every unit,
 * without any history. (Plain Maglev rebuilds over the survivors and moves some per cent of
 * their slots too.)
 *
 * Tables have a power of two of slots, and a bigger one is refined out of the smaller: slot i
 * of the bigger lies in slot i >> 2 of the smaller and has the same owner, except for the few
 * that make the shares exact at the finer grain. So a pool that outgrows a table does not
 * shuffle its flows.
 *
 * Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
 * Balancer", NSDI 2016, §3.4.
 *
 * Invariant: the result depends on the members' keys, weights and availability alone,
 * not on their order.
 */
import { apportion } from './shares.js';

export interface LookupMember {
  /** Names the member for ever: its permutation is drawn from this. */
  readonly key: string;
  /** Share of the slots, a whole number from 0 to 65,535; 0 takes no new flows. */
  readonly weight: number;
  /** false: configured, and its slots go to the others for now. Default true. */
  readonly available?: boolean;
}

/** Each four times the one before. */
const SIZES = [
  { members: 32, slots: 4096 },
  { members: 128, slots: 16_384 },
  { members: Infinity, slots: 65_536 },
] as const;
const COARSEST = SIZES[0].slots;
const LARGEST = SIZES[2].slots;
const FINER = 4;

/** Slots for a pool of so many configured members: at least 128 a member of equal weight, up to 512 members. */
export function lookupSlots(members: number): number {
  return SIZES.find((size) => members <= size.members)?.slots ?? LARGEST;
}

const NOBODY = 0xffff_ffff;

/**
 * Slot to index in `members`.
 *
 * @param slots 4096, 16,384 or 65,536, as by `lookupSlots`
 * @returns `slots` entries; none when no member is available with a weight above 0
 */
export function buildLookup(members: readonly LookupMember[], slots: number): Uint32Array {
  if (!SIZES.some((size) => size.slots === slots)) {
    throw new RangeError(`a lookup table has 4096, 16384 or 65536 slots, not ${slots}`);
  }
  const turns = permutations(members).filter((turn) => turn.weight > 0);
  if (!turns.some((turn) => turn.available)) return new Uint32Array(0);

  let lookup = new Uint32Array(COARSEST).fill(NOBODY);
  fill(lookup, turns, shareOf(lookup.length, turns));
  while (lookup.length < slots) lookup = refine(lookup, turns);

  const leaving = new Set(turns.filter((turn) => !turn.available).map((turn) => turn.index));
  if (leaving.size > 0) {
    const staying = turns.filter((turn) => turn.available);
    let free = 0;
    lookup.forEach((owner, slot) => {
      if (!leaving.has(owner)) return;
      lookup[slot] = NOBODY;
      free++;
    });
    fill(lookup, staying, shareOf(free, staying));
  }
  return lookup;
}

interface Turn {
  readonly index: number;
  readonly key: string;
  readonly weight: number;
  readonly available: boolean;
  /** 32 bits each; a table uses as many as it has slots. */
  readonly offset: number;
  /** Odd, so that it walks through every slot of any power of two. */
  readonly skip: number;
}

function permutations(members: readonly LookupMember[]): Turn[] {
  return (
    members
      .map(({ key, weight, available }, index) => ({
        index,
        key,
        weight,
        available: available !== false,
        offset: hashText(key, 0x9e37_79b9),
        skip: (hashText(key, 0x85eb_ca6b) | 1) >>> 0,
      }))
      // Whoever asks first wins a contested slot, so the order must not be the file's.
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  );
}

function shareOf(total: number, turns: readonly Turn[]): Uint32Array {
  return apportion(
    total,
    turns.map((turn) => turn.weight),
  );
}

/**
 * Members take free slots in turn, each the next one of its own permutation. In every
 * round a member earns its share ÷ the greatest share, and one slot whenever that adds up
 * to a whole one, until it holds what is its due. All free slots are taken when the shares
 * add up to them.
 */
function fill(lookup: Uint32Array, turns: readonly Turn[], shares: Uint32Array): void {
  const mask = lookup.length - 1;
  const most = shares.reduce((largest, share) => Math.max(largest, share), 0);
  interface Taker {
    readonly index: number;
    readonly skip: number;
    readonly share: number;
    left: number;
    credit: number;
    position: number;
  }
  let takers = turns.flatMap(({ index, skip, offset }, turn): Taker[] => {
    const share = shares[turn] ?? 0;
    if (share === 0) return [];
    return [{ index, skip, share, left: share, credit: 0, position: offset & mask }];
  });
  while (takers.length > 0) {
    for (const taker of takers) {
      taker.credit += taker.share;
      if (taker.credit < most) continue;
      taker.credit -= most;
      let slot = taker.position;
      while (lookup[slot] !== NOBODY) slot = (slot + taker.skip) & mask;
      lookup[slot] = taker.index;
      taker.position = (slot + taker.skip) & mask;
      taker.left--;
    }
    takers = takers.filter(({ left }) => left > 0);
  }
}

/** Four slots out of each; then those who hold too much leave slots to those who hold too little. */
function refine(coarse: Uint32Array, turns: readonly Turn[]): Uint32Array<ArrayBuffer> {
  const fine = new Uint32Array(coarse.length * FINER);
  const held = new Map<number, number>();
  coarse.forEach((owner, slot) => {
    fine.fill(owner, slot * FINER, (slot + 1) * FINER);
    held.set(owner, (held.get(owner) ?? 0) + FINER);
  });
  const mask = fine.length - 1;
  const lacking = shareOf(fine.length, turns).map((share, turn) => {
    const { index = NOBODY, offset = 0, skip = 1 } = turns[turn] ?? {};
    let surplus = (held.get(index) ?? 0) - share;
    if (surplus <= 0) return -surplus;
    for (let slot = offset & mask; surplus > 0; slot = (slot + skip) & mask) {
      if (fine[slot] !== index) continue;
      fine[slot] = NOBODY;
      surplus--;
    }
    return 0;
  });
  fill(fine, turns, lacking);
  return fine;
}

/** FNV-1a over UTF-16 code units, then a murmur3 finaliser: 32 bits, unsigned. */
function hashText(text: string, seed: number): number {
  let hash = 0x811c_9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85eb_ca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
