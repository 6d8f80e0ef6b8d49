/**
 * The choice of a member for each request: all algorithms, exact, over the counts of all workers.
 *
 * | algorithm | how |
 * | --- | --- |
 * | round-robin, weighted-round-robin | a smooth schedule that one cursor of all workers walks |
 * | least-connections, weighted | fewest requests under way by weight, the new one counted; equals in turn |
 * | ip-hash, maglev | the table of layer 4, by the client's hash |
 * | least-response-time | estimate × (requests under way + 1) ÷ weight |
 * | least-bandwidth | (bytes in the window + what those under way will bring) ÷ weight |
 * | random | slots by weight, as at layer 4: whoever wants load to count has least-connections, which sees all workers, so that a choice of two would be neither |
 * | custom | slots by weight, walked in golden steps by one cursor: near exact, and a table that costs little when weights move every second |
 *
 * Invariants:
 * - A member that was given has room taken for one request, and `end` gives it back.
 * - Who is ejected, full, or was just tried is passed over without changing the shares of the others.
 * - Nothing is allocated.
 */
import { usesWeights } from '../../balance/choice.js';
import type { LookupMember } from '../../balance/maglev.js';
import { buildCandidates } from '../../balance/schedules.js';
import type { L7Pool } from '../tables.js';
import { Ejection, endEjection, type EjectionListener } from './ejection.js';
import type { MemberState } from './members.js';
import type { BalanceMemory } from './memory.js';
import { decayed, EPOCH_BITS, epochsApart, leftOfEpoch, unitsInWindow } from './signals.js';
import { TagIndex } from './tag-index.js';
import { isSame, tableFor, ways, type Way } from './ways.js';

/** Turns of a schedule or slots of a table that are tried before everybody is asked. */
const TURNS = 64;
/** 2^32 ÷ the golden ratio, odd: multiples of it are spread as evenly as can be. */
const GOLDEN = 0x9e37_79b9 | 0;
/** How often the least busy is looked for again, when others took its room meanwhile. */
const LOOKS = 4;

/** What a pool needs beside its members. */
export interface BalancerOptions {
  readonly memory: BalanceMemory;
  /** Row of the pool in shared memory. */
  readonly row: number;
  /** For `random`: different in each worker. */
  readonly seed: number;
  /** Of the snapshot before: a table that would be the same is taken from it. */
  readonly previous?: Balancer | null;
  readonly ejections: EjectionListener;
}

export class Balancer {
  /** After `pick` gave null: whether somebody would serve if it had room, so that waiting helps. */
  full = false;
  readonly ejection: Ejection | null;
  readonly #way: Way;
  readonly #memory: BalanceMemory;
  readonly #cursors: Int32Array;
  readonly #cursor: number;
  /** Slot to index; and for tables of a power of two of slots how many bits of a hash are not used. */
  readonly #table: Uint32Array;
  readonly #shift: number;
  /** What the table was made of. */
  readonly #lookup: readonly LookupMember[];
  /** Who takes new requests, by key. */
  readonly #takers: readonly MemberState[];
  readonly #rows: Int32Array;
  readonly #weights: Float64Array;
  readonly #shares: Float64Array;
  readonly #heaviest: number;
  readonly #tags: TagIndex;
  /** Where the next search among equals begins. */
  #turn = 0;
  readonly #random: Int32Array;
  /** Mean of the known estimates of response times, for members without one. */
  readonly #mean = Float64Array.of(1);

  /** @param members in the order of `pool.members` */
  constructor(
    readonly pool: L7Pool,
    readonly members: readonly MemberState[],
    options: BalancerOptions,
  ) {
    this.#way = ways[pool.algorithm];
    this.#memory = options.memory;
    this.#cursors = options.memory.cursors;
    this.#cursor = options.memory.cursorAt(options.row);
    this.#random = Int32Array.of(options.seed | 0 || 1);
    const weighted = usesWeights(pool.algorithm);
    const lookup = members.map(({ key, weight, takes }) => ({
      key,
      weight: weighted || weight === 0 ? weight : 1,
      available: takes,
    }));
    const takers = buildCandidates(lookup);
    this.#takers = Array.from(takers, (index) => members[index] as MemberState);
    this.#weights = Float64Array.from(takers, (index) => lookup[index]?.weight ?? 0);
    this.#rows = Int32Array.from(this.#takers, ({ row }) => row);
    this.#shares = this.#weights.map((weight) => 1 / weight);
    this.#heaviest = this.#weights.reduce((most, weight) => Math.max(most, weight), 0);
    this.#lookup = lookup;
    const previous = options.previous ?? null;
    this.#table =
      previous !== null && previous.#way === this.#way && isSame(previous.#lookup, lookup)
        ? previous.#table
        : tableFor(this.#way, lookup);
    this.#shift = Math.clz32(this.#table.length) + 1;
    this.#tags = new TagIndex(members);
    const { ejection } = pool;
    this.ejection = ejection === null ? null : new Ejection(ejection, members, options.ejections);
    for (const member of members) {
      if (this.ejection === null) endEjection(member);
      else member.ejection = this.ejection;
    }
  }

  /**
   * A member for a new request, with room taken for it; null when nobody serves or nobody has room.
   *
   * @param hash a word (signed, so that it is no object) of the client's address, for hashed pools
   * @param tried the member that just failed: not given again while another can serve
   */
  pick(hash: number, now: number, tried: MemberState | null): MemberState | null {
    this.full = false;
    if (this.#takers.length === 0) return null;
    const member = this.#choose(hash, now, tried);
    if (member !== null || tried === null || !tried.takes || tried.weight === 0) return member;
    return this.#admits(tried, now, null) ? tried : null;
  }

  /** Takes room at a member that a client sticks to; false: it is down, ejected or full. */
  take(member: MemberState, now: number): boolean {
    return this.#serves(member, now) && member.admit();
  }

  /** Whether a client may stick to it: serving or draining, not ejected, with room. */
  usable(member: MemberState, now: number): boolean {
    if (!this.#serves(member, now)) return false;
    return member.maxConnections === 0 || member.active < member.maxConnections;
  }

  /** The member with these tags, or null. */
  find(tagLow: number, tagHigh: number): MemberState | null {
    const index = this.#tags.find(tagLow, tagHigh);
    return index < 0 ? null : (this.members[index] as MemberState);
  }

  /** Once a second: members whose ejection is over come back. */
  sweep(now: number): void {
    this.ejection?.sweep(now);
  }

  #serves(member: MemberState, now: number): boolean {
    return (member.alive || (member.takes && member.weight > 0)) && !this.#ejected(member, now);
  }

  #ejected(member: MemberState, now: number): boolean {
    if (!member.record.ejected) return false;
    return this.ejection === null || !this.ejection.returns(member, now);
  }

  #admits(member: MemberState, now: number, tried: MemberState | null): boolean {
    if (member === tried || this.#ejected(member, now)) return false;
    if (member.admit()) return true;
    this.full = true;
    return false;
  }

  #choose(hash: number, now: number, tried: MemberState | null): MemberState | null {
    switch (this.#way) {
      case 'cursor':
        return this.#bySchedule(now, tried);
      case 'hash':
        return this.#byHash(hash, now, tried);
      case 'golden':
        return this.#byGolden(now, tried);
      case 'random':
        return this.#byRandom(now, tried);
      default:
        return this.#byLoad(now, tried);
    }
  }

  /** A member that is passed over has had its turn: so the others' shares stay what they are. */
  #bySchedule(now: number, tried: MemberState | null): MemberState | null {
    const table = this.#table;
    const turns = Math.min(table.length, TURNS);
    for (let i = 0; i < turns; i += 1) {
      const turn = Atomics.add(this.#cursors, this.#cursor, 1) >>> 0;
      const member = this.members[table[turn % table.length] as number] as MemberState;
      if (this.#admits(member, now, tried)) return member;
    }
    return this.#anybody(now, tried);
  }

  #byHash(hash: number, now: number, tried: MemberState | null): MemberState | null {
    const table = this.#table;
    const mask = table.length - 1;
    const slot = hash >>> this.#shift;
    for (let i = 0; i < TURNS; i += 1) {
      const member = this.members[table[(slot + i) & mask] as number] as MemberState;
      if (this.#admits(member, now, tried)) return member;
    }
    return this.#anybody(now, tried);
  }

  #byGolden(now: number, tried: MemberState | null): MemberState | null {
    const table = this.#table;
    for (let i = 0; i < TURNS; i += 1) {
      const turn = Math.imul(Atomics.add(this.#cursors, this.#cursor, 1), GOLDEN);
      const member = this.members[table[turn >>> this.#shift] as number] as MemberState;
      if (this.#admits(member, now, tried)) return member;
    }
    return this.#anybody(now, tried);
  }

  #byRandom(now: number, tried: MemberState | null): MemberState | null {
    const table = this.#table;
    for (let i = 0; i < TURNS; i += 1) {
      const member = this.members[table[this.#draw() >>> this.#shift] as number] as MemberState;
      if (this.#admits(member, now, tried)) return member;
    }
    return this.#anybody(now, tried);
  }

  /** The least busy, as long as it has room. */
  #byLoad(now: number, tried: MemberState | null): MemberState | null {
    for (let look = 0; look < LOOKS; look += 1) {
      const index = this.#least(now, tried);
      if (index < 0) return null;
      const member = this.#takers[index] as MemberState;
      if (!member.admit()) continue;
      this.#turn = index + 1;
      return member;
    }
    return this.#anybody(now, tried);
  }

  #least(now: number, tried: MemberState | null): number {
    switch (this.#way) {
      case 'response':
        return this.#leastResponse(now, tried);
      case 'bandwidth':
        return this.#leastBandwidth(now, tried);
      default:
        return this.#leastConnections(now, tried);
    }
  }

  /** Whether to look at the load of a member, which has so many requests. */
  #competes(member: MemberState, active: number, now: number, tried: MemberState | null): boolean {
    if (member === tried || this.#ejected(member, now)) return false;
    if (member.maxConnections === 0 || active < member.maxConnections) return true;
    this.full = true;
    return false;
  }

  #leastConnections(now: number, tried: MemberState | null): number {
    const takers = this.#takers;
    const rows = this.#rows;
    const weights = this.#weights;
    const { counts } = this.#memory;
    const length = rows.length;
    let best = -1;
    let bestActive = 0;
    let bestWeight = 0;
    let index = this.#turn < length ? this.#turn : 0;
    for (let i = 0; i < length; i += 1) {
      const active = counts[rows[index] as number] as number;
      const weight = weights[index] as number;
      const at = index;
      index = index + 1 < length ? index + 1 : 0;
      // By products, since quotients that should be equal need not be.
      if (best >= 0 && (active + 1) * bestWeight >= bestActive * weight) continue;
      if (!this.#competes(takers[at] as MemberState, active, now, tried)) continue;
      best = at;
      bestActive = active + 1;
      bestWeight = weight;
      if (active === 0 && weight === this.#heaviest) break;
    }
    return best;
  }

  #leastResponse(now: number, tried: MemberState | null): number {
    const takers = this.#takers;
    const rows = this.#rows;
    const shares = this.#shares;
    const { counts, latency, latencyAt, clockOffset } = this.#memory;
    const at = (now + clockOffset) | 0;
    const length = rows.length;
    const mean = this.#mean[0] as number;
    let best = -1;
    let bestCost = 0;
    let known = 0;
    let sum = 0;
    let index = this.#turn < length ? this.#turn : 0;
    for (let i = 0; i < length; i += 1) {
      const row = rows[index] as number;
      const active = counts[row] as number;
      const share = shares[index] as number;
      const here = index;
      index = index + 1 < length ? index + 1 : 0;
      let estimate = latency[row] as number;
      if (estimate > 0) {
        estimate *= decayed((at - (latencyAt[row] as number)) | 0);
        if (estimate < 1) estimate = 1;
        known += 1;
        sum += estimate;
      } else estimate = mean;
      const cost = estimate * (active + 1) * share;
      if (best >= 0 && cost >= bestCost) continue;
      if (!this.#competes(takers[here] as MemberState, active, now, tried)) continue;
      best = here;
      bestCost = cost;
    }
    if (known > 0) this.#mean[0] = sum / known;
    return best;
  }

  #leastBandwidth(now: number, tried: MemberState | null): number {
    const takers = this.#takers;
    const rows = this.#rows;
    const shares = this.#shares;
    const { counts, clockOffset, meanUnits, transferred, thisMark, lastMark, epochs } =
      this.#memory;
    const at = (now + clockOffset) | 0;
    const epoch = at >> EPOCH_BITS;
    const left = leftOfEpoch(at);
    const length = rows.length;
    let best = -1;
    let bestCost = 0;
    let index = this.#turn < length ? this.#turn : 0;
    for (let i = 0; i < length; i += 1) {
      const row = rows[index] as number;
      const active = counts[row] as number;
      const here = index;
      const sent = unitsInWindow(
        epochsApart(epoch, epochs[row] as number),
        transferred[row] as number,
        thisMark[row] as number,
        lastMark[row] as number,
        left,
      );
      const cost = (sent + active * (meanUnits[row] as number)) * (shares[index] as number);
      index = index + 1 < length ? index + 1 : 0;
      if (best >= 0 && cost >= bestCost) continue;
      if (!this.#competes(takers[here] as MemberState, active, now, tried)) continue;
      best = here;
      bestCost = cost;
    }
    return best;
  }

  /** The next one that can serve at all; where almost nobody can, shares mean little. */
  #anybody(now: number, tried: MemberState | null): MemberState | null {
    const takers = this.#takers;
    for (let i = 0; i < takers.length; i += 1) {
      const index = this.#turn < takers.length ? this.#turn : 0;
      this.#turn = index + 1;
      const member = takers[index] as MemberState;
      if (this.#admits(member, now, tried)) return member;
    }
    return null;
  }

  /** xorshift32 (Marsaglia 2003). */
  #draw(): number {
    let x = this.#random[0] as number;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random[0] = x;
    return x;
  }
}
