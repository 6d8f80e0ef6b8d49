/**
 * Maglev hashing, weighted, with one addition of ours: the table is built over every
 * configured member first, and only the slots of members that cannot serve are then
 * handed to those that can. So a member that goes moves its own share and nothing
 * else, and when it returns every slot is what it was before, on every unit, without
 * any history. (Plain Maglev rebuilds over the survivors and moves some per cent of
 * their slots too.)
 *
 * Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
 * Balancer", NSDI 2016, §3.4.
 *
 * Invariant: the result depends on the members' keys, weights and availability alone,
 * not on their order.
 */

export interface LookupMember {
  /** Names the member for ever: its permutation is drawn from this. */
  readonly key: string;
  /** Share of the slots, 0 or more; 0 takes no new flows. */
  readonly weight: number;
  /** false: configured, and its slots go to the others for now. Default true. */
  readonly available?: boolean;
}

/** Primes, so that every step is coprime to the size and walks all slots. */
const SIZES = [
  { members: 32, slots: 4093 },
  { members: 128, slots: 16_381 },
  { members: Infinity, slots: 65_521 },
] as const;

/** Slots for a pool of so many configured members: at least 125 a member of equal weight. */
export function lookupSlots(members: number): number {
  for (const size of SIZES) if (members <= size.members) return size.slots;
  return SIZES[SIZES.length - 1]!.slots;
}

const NOBODY = 0xffff_ffff;

/**
 * Slot to index in `members`.
 *
 * @param slots a prime, more than the number of members
 * @returns `slots` entries; none when no member is available with a weight above 0
 */
export function buildLookup(members: readonly LookupMember[], slots: number): Uint32Array {
  const able = members.filter((member) => member.weight > 0);
  if (!able.some((member) => member.available !== false)) return new Uint32Array(0);

  const lookup = new Uint32Array(slots).fill(NOBODY);
  const turns = permutations(members, slots);
  fill(
    lookup,
    turns.filter((turn) => turn.weight > 0),
  );

  const gone = turns.filter((turn) => turn.weight > 0 && !turn.available);
  if (gone.length > 0) {
    const leaving = new Set(gone.map((turn) => turn.index));
    for (let slot = 0; slot < slots; slot++) if (leaving.has(lookup[slot]!)) lookup[slot] = NOBODY;
    fill(
      lookup,
      turns.filter((turn) => turn.weight > 0 && turn.available),
    );
  }
  return lookup;
}

interface Turn {
  readonly index: number;
  readonly key: string;
  readonly weight: number;
  readonly available: boolean;
  readonly offset: number;
  readonly skip: number;
}

function permutations(members: readonly LookupMember[], slots: number): Turn[] {
  return (
    members
      .map((member, index) => ({
        index,
        key: member.key,
        weight: member.weight,
        available: member.available !== false,
        offset: hashText(member.key, 0x9e37_79b9) % slots,
        skip: (hashText(member.key, 0x85eb_ca6b) % (slots - 1)) + 1,
      }))
      // Whoever asks first wins a contested slot, so the order must not be the file's.
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  );
}

/**
 * Members take free slots in turn, each the next one of its own permutation. In every
 * round a member earns weight ÷ greatest weight, and one slot whenever that adds up to
 * a whole one, until it holds its share.
 */
function fill(lookup: Uint32Array, turns: readonly Turn[]): void {
  const slots = lookup.length;
  let free = 0;
  for (let slot = 0; slot < slots; slot++) if (lookup[slot] === NOBODY) free++;
  const heaviest = turns.reduce((most, turn) => Math.max(most, turn.weight), 0);
  const left = apportion(
    free,
    turns.map((turn) => turn.weight),
  );
  const position = new Uint32Array(turns.length);
  const credit = new Float64Array(turns.length);
  for (let i = 0; i < turns.length; i++) position[i] = turns[i]!.offset;

  while (free > 0) {
    for (let i = 0; i < turns.length; i++) {
      if (left[i] === 0) continue;
      const turn = turns[i]!;
      credit[i] = credit[i]! + turn.weight;
      if (credit[i]! < heaviest) continue;
      credit[i] = credit[i]! - heaviest;
      let slot = position[i]!;
      while (lookup[slot] !== NOBODY) slot = (slot + turn.skip) % slots;
      lookup[slot] = turn.index;
      position[i] = (slot + turn.skip) % slots;
      left[i] = left[i]! - 1;
      free--;
    }
  }
}

/**
 * Shares of `total` by weight, in whole numbers, each less than one away from the exact
 * share (largest remainders; earlier entries win ties).
 */
function apportion(total: number, weights: readonly number[]): Uint32Array {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const shares = Uint32Array.from(weights, (weight) => Math.floor((total * weight) / sum));
  const rest = total - shares.reduce((all, share) => all + share, 0);
  weights
    .map((weight, index) => ({ index, remainder: (total * weight) % sum }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index)
    .slice(0, rest)
    .forEach(({ index }) => {
      shares[index] = shares[index]! + 1;
    });
  return shares;
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
