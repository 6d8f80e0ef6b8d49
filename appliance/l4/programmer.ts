/**
 * Makes the kernel's tables match the compiled ones, by diff. At start it adopts what
 * is pinned: rows are found again by member identity and service key, so that
 * established flows and counters go on through a restart or an upgrade.
 *
 * Invariant, make before break: a row is written before a lookup slot names it, a
 * lookup table before a service points at it, and nothing is freed while anything
 * still points there. At every instant a packet finds a consistent path.
 */
import type { L4Pool, L4Service, L4Tables } from '../control/tables.js';
import { ChunkAllocator, type ChunkRange } from './chunks.js';
import type { KernelTables } from './kernel-tables.js';
import { CHUNK_SLOTS } from './layouts.js';
import { MemberRows } from './member-rows.js';
import { ProtectionRows } from './protection-rows.js';
import { QuicServers } from './quic-servers.js';
import { ReplySources } from './reply-sources.js';
import { ServiceRows } from './service-rows.js';
import {
  SLOT_WORDS,
  contestedSlots,
  dropPrevious,
  expectEntry,
  fillSlots,
  forgetPrevious,
  growSlots,
  keepEntries,
  moveSlots,
  settlePrevious,
} from './slots.js';
import { isHash, limitsFlows, tracksAll } from './tracking.js';
import { UnitSettings, type UnitSettingsOptions } from './unit-settings.js';

/** The fast path's tables cannot hold what was asked for; nothing was changed. */
export class CapacityError extends Error {
  override readonly name = 'CapacityError';
  readonly code = 'capacity';
}

export interface ProgramReport {
  readonly servicesWritten: number;
  readonly servicesRemoved: number;
  readonly membersWritten: number;
  readonly slotsWritten: number;
}

interface PlacedPool {
  readonly pool: L4Pool;
  /** Row of each member, by index. */
  readonly rows: Uint32Array;
  /** Null while the pool never had a member that could serve. */
  readonly range: ChunkRange | null;
  /** Of the table in the range: at least as many as the pool's own has. */
  readonly slots: number;
  /** When the table was last changed, by performance.now(). */
  readonly changed: number;
}

export type ProgrammerOptions = UnitSettingsOptions;

export class Programmer {
  readonly members: MemberRows;
  readonly services: ServiceRows;
  readonly #replySources: ReplySources;
  readonly #quicServers: QuicServers;
  readonly #unit: UnitSettings;
  readonly #protection: ProtectionRows;
  readonly #chunks: ChunkAllocator;
  readonly #pools = new Map<string, PlacedPool>();
  /** Pools that may have slots with a former member. */
  readonly #contested = new Set<string>();
  /** When a slot of a pool was last made to look for entries of the other unit's flows. */
  readonly #expecting = new Map<string, number>();
  /** Ranges that adopted services still use, until the first programming has moved them. */
  #adoptedRanges: ChunkRange[];
  /** Ranges that nothing will point at once the services are programmed. */
  readonly #leaving: ChunkRange[] = [];

  constructor(
    readonly kernel: KernelTables,
    readonly options: ProgrammerOptions,
  ) {
    this.#chunks = new ChunkAllocator(Math.floor(kernel.lookup.length / CHUNK_WORDS));
    this.members = new MemberRows(
      kernel.members,
      kernel.memberCounters,
      kernel.memberActive,
      kernel.limits.members,
    );
    this.services = new ServiceRows(kernel, kernel.limits.services);
    this.#replySources = new ReplySources(kernel.replySources);
    this.#quicServers = new QuicServers(kernel.quicServers);
    this.#unit = new UnitSettings(kernel, options);
    this.#protection = new ProtectionRows(kernel, kernel.limits);
    this.#adoptedRanges = [];
    const seen = new Set<string>();
    for (const placed of this.services.placements()) {
      const range = chunksOf(placed.firstChunk, placed.slots);
      const name = `${range.first}+${range.count}`;
      if (range.count === 0 || seen.has(name)) continue;
      seen.add(name);
      if (this.#chunks.claim(range)) this.#adoptedRanges.push(range);
    }
  }

  /**
   * Throws `CapacityError` when `tables` would not fit beside what is there now: old and new
   * stand side by side until the last packet of the old has found its way.
   */
  checkCapacity(tables: L4Tables): void {
    const { limits } = this.kernel;
    const fit = (what: string, needed: number, room: number): void => {
      if (needed <= room) return;
      throw new CapacityError(
        `${needed} ${what} do not fit: the fast path holds ${room}, and what goes counts until what comes is in place; ` +
          'make the change in smaller steps, or use a hardware profile with more',
      );
    };
    const services = tables.services.values();
    fit('services', this.services.used + this.services.missing(services), limits.services - 1);
    fit('members', this.members.used + this.members.missing(tables.pools), limits.members - 1);
    fit('sources of replies', this.#replySources.needed(tables), limits.replySources);
    fit('entries of access lists', this.#protection.needed(tables.protection), limits.access);
    let chunks = this.#chunks.used;
    for (const [name, pool] of tables.pools) {
      const placed = this.#pools.get(name);
      const count = chunksOf(0, slotsFor(pool, placed)).count;
      if (placed?.range?.count !== count && !this.#adoptable(count)) chunks += count;
    }
    fit('chunks of lookup tables', chunks, this.#chunks.total);
  }

  /** Whether the program looks for probes of members and their answers. */
  setProbing(probing: boolean): void {
    this.#unit.setProbing(probing);
  }

  /** Which ports full nat takes: 0, the even ones, or 1, the odd ones. */
  get natHalf(): number {
    return this.#unit.natHalf;
  }

  setNatHalf(half: 0 | 1): void {
    this.#unit.setNatHalf(half);
  }

  setOwnMacs(macs: readonly Uint8Array[]): void {
    this.#unit.setOwnMacs(macs);
  }

  /** Whether the program tells the other unit of flows, and in which pass; 0: not. */
  setMirror(pass: number): void {
    this.#unit.setMirror(pass);
  }

  /** Before the first programming most tables find the place that they had. */
  #adoptable(count: number): boolean {
    return this.#adoptedRanges.some((range) => range.count === count);
  }

  /** Brings the kernel to `tables`. Throws when the kernel refuses; calling again goes on from there. */
  program(tables: L4Tables): ProgramReport {
    this.checkCapacity(tables);
    const changed: string[] = [];
    try {
      return this.#program(tables, changed);
    } catch (error) {
      // What was half done must not be taken for done by the next attempt.
      for (const name of changed) {
        const placed = this.#pools.get(name);
        if (placed === undefined) continue;
        const unknown: L4Pool = { ...placed.pool, members: [], lookup: new Uint32Array(0) };
        this.#pools.set(name, { ...placed, pool: unknown, rows: new Uint32Array(0) });
      }
      throw error;
    }
  }

  #program(tables: L4Tables, changed: string[]): ProgramReport {
    const before = new Map<string, PlacedPool>();
    const users = poolUsers(tables);
    let slotsWritten = 0;

    for (const [name, pool] of tables.pools) {
      const placed = this.#pools.get(name);
      if (placed?.pool === pool) continue;
      changed.push(name);
      if (placed !== undefined) before.set(name, placed);
      const rows = this.members.place(name, pool.members);
      this.#pools.set(name, {
        pool,
        rows,
        range: placed?.range ?? null,
        slots: placed?.slots ?? 0,
        changed: placed?.changed ?? performance.now(),
      });
    }
    const membersWritten = this.members.flush();

    for (const name of changed) {
      const placed = this.#pools.get(name)!;
      const place = this.#placeFor(placed, before.get(name), users.get(name) ?? []);
      if (placed.range !== null && placed.range !== place?.range) this.#leaving.push(placed.range);
      const next = { ...placed, range: place?.range ?? null, slots: place?.slots ?? 0 };
      this.#pools.set(name, next);
      if (place !== null && isHash(placed.pool.choice)) this.#contested.add(name);
      const written = place === null ? 0 : this.#writeLookup(next, before.get(name), place.fresh);
      if (written > 0) this.#pools.set(name, { ...next, changed: performance.now() });
      slotsWritten += written;
    }

    const natServices = [...tables.services.values()].filter(rewrites).length;
    // Replies must be recognised before the first request can cause one, and as long as one can come.
    this.#replySources.add(tables);
    this.#unit.write(tables.unit, Math.max(natServices, this.#unit.natServices));
    // What protects a service must be there before the service says that it is on.
    this.#protection.add(
      tables,
      (service) => this.services.place(service),
      memberRows(tables, this.members),
    );
    const { written, removed } = this.services.program(
      [...tables.services.values()].map((service) => {
        const placed = this.#pools.get(service.pool);
        const pool = placed?.pool ?? NO_POOL;
        const countsFlows = limitsFlows(tables, service);
        const tracked = tracksAll(service, pool.choice, countsFlows);
        // Its flows stay where their entries say, which packets do not look for otherwise.
        if (!tracked && this.services.tracked(service) === true) this.#keepEntries(service.pool);
        return {
          service,
          pool,
          countsFlows,
          firstChunk: placed?.range?.first ?? 0,
          slots: placed?.slots ?? 0,
          protect: ProtectionRows.flags(tables.protection?.services.get(service.name), tracked),
        };
      }),
    );
    this.#unit.write(tables.unit, natServices);
    this.#replySources.removeOthers();
    this.#quicServers.program(this.services, this.members, tables);
    this.#protection.removeOthers(tables, (row) => this.services.owner(row) !== undefined);

    for (const [name, placed] of this.#pools) {
      if (tables.pools.has(name)) continue;
      this.#pools.delete(name);
      if (placed.range !== null) this.#leaving.push(placed.range);
    }
    for (const range of this.#leaving.splice(0)) this.#chunks.release(range);
    for (const range of this.#adoptedRanges.splice(0)) this.#chunks.release(range);
    const freed = this.members.releaseOthers(tables.pools);
    return {
      servicesWritten: written,
      servicesRemoved: removed,
      membersWritten: membersWritten + freed,
      slotsWritten,
    };
  }

  /** Row of a member, for its counters. */
  memberRow(pool: string, key: string): number | undefined {
    return this.members.row(pool, key);
  }

  /** Entries of access lists in the fast path now. */
  get accessUsed(): number {
    return this.#protection.access.used;
  }

  get chunksUsed(): number {
    return this.#chunks.used;
  }

  get chunksTotal(): number {
    return this.#chunks.total;
  }

  /** Where a pool's table goes. `fresh`: no packet looks there yet. */
  #placeFor(
    placed: PlacedPool,
    before: PlacedPool | undefined,
    users: readonly L4Service[],
  ): Place | null {
    const held = before?.range ?? null;
    // A pool without a member keeps its place.
    if (placed.pool.lookup.length === 0) {
      if (held !== null) return { range: held, slots: before?.slots ?? 0, fresh: false };
      return this.#adoptRange(users, null);
    }
    const slots = slotsFor(placed.pool, before);
    const { count } = chunksOf(0, slots);
    if (held?.count === count) return { range: held, slots, fresh: false };
    if (before === undefined) {
      const adopted = this.#adoptRange(users, placed.pool);
      if (adopted !== null) return adopted;
    }
    const range = this.#chunks.allocate(count);
    if (range === null) {
      throw new CapacityError(
        `no ${count} lookup chunks in a row are free; remove pools, or use a hardware profile with more`,
      );
    }
    return { range, slots, fresh: true };
  }

  /** The place that one of a pool's services had before a restart, if the pool's table fits it. */
  #adoptRange(users: readonly L4Service[], pool: L4Pool | null): Place | null {
    for (const user of users) {
      const placed = this.services.adopted(user);
      if (placed === undefined) continue;
      const { firstChunk, slots } = placed;
      const range = chunksOf(firstChunk, slots);
      const index = this.#adoptedRanges.findIndex(
        (held) => held.first === range.first && held.count === range.count,
      );
      if (index < 0 || (pool !== null && slotsFor(pool, { slots }) !== slots)) continue;
      const adopted = this.#adoptedRanges.splice(index, 1)[0];
      return adopted === undefined ? null : { range: adopted, slots, fresh: false };
    }
    return null;
  }

  #writeLookup(placed: PlacedPool, before: PlacedPool | undefined, fresh: boolean): number {
    const { pool, rows, range, slots } = placed;
    const { lookup } = pool;
    if (range === null || slots === 0) return 0;
    if (
      before?.range === range &&
      before.pool.lookup === lookup &&
      before.pool.choice === pool.choice &&
      sameRows(before.rows, rows)
    ) {
      return 0;
    }
    const words = this.#words(range);
    const hash = isHash(pool.choice);
    // A table that is larger than the pool's own names each of its members several times.
    const factor = slots / lookup.length;
    // Without a member for new flows, those that are under way go on with members that drain.
    const wanted = (slot: number): number =>
      lookup.length === 0 ? 0 : rows[lookup[Math.floor(slot / factor)]!]!;
    if (!fresh) {
      const written = moveSlots(words, slots, wanted, hash);
      const alive = new Set(rows);
      forgetPrevious(words, slots, (row) => alive.has(row));
      return written;
    }
    const former = before?.range ?? null;
    if (hash && former !== null && before !== undefined && isHash(before.pool.choice)) {
      const alive = new Set(rows);
      const written = growSlots(this.#words(former), words, slots, slots / before.slots, wanted);
      forgetPrevious(words, slots, (row) => alive.has(row));
      return written;
    }
    return fillSlots(words, slots, wanted);
  }

  /** The words of a range's slots; a store is seen by the next packet. */
  #words(range: ChunkRange): Uint32Array {
    return this.kernel.lookup.subarray(
      range.first * CHUNK_WORDS,
      (range.first + range.count) * CHUNK_WORDS,
    );
  }

  /** Slots whose packets look for an entry, over all pools. */
  contested(): number {
    let count = 0;
    for (const name of this.#contested) {
      const placed = this.#pools.get(name);
      const slots =
        placed === undefined || placed.range === null
          ? 0
          : contestedSlots(this.#words(placed.range), placed.slots);
      if (slots === 0) this.#contested.delete(name);
      count += slots;
    }
    return count;
  }

  /**
   * Names no former member any more in pools whose table has not changed for so long: each flow
   * of theirs that lives has an entry by now.
   */
  settle(milliseconds: number): void {
    for (const { words, slots, changed } of this.#contestedTables()) {
      if (performance.now() - changed > milliseconds) settlePrevious(words, slots);
    }
  }

  /**
   * No packet has to look for an entry in pools whose table has not changed for so long, because
   * none differs from its slot.
   */
  dropContests(milliseconds: number): void {
    for (const { pool, words, slots, changed } of this.#contestedTables()) {
      const since = Math.max(changed, this.#expecting.get(pool) ?? 0);
      if (performance.now() - since > milliseconds) dropPrevious(words, slots);
    }
  }

  /**
   * An entry may come that sends the flow of this hash to `row`. False when it goes there anyway.
   * A named former member means that flows without an entry are its: then every one needs its own.
   */
  expectEntry(pool: string, hash: number, row: number): boolean {
    const placed = this.#pools.get(pool);
    if (placed === undefined || placed.range === null || placed.slots === 0) return true;
    const slot = Math.floor((hash * placed.slots) / 2 ** 32);
    const needed = expectEntry(this.#words(placed.range), slot, row);
    if (needed) {
      this.#expecting.set(pool, performance.now());
      this.#contested.add(pool);
    }
    return needed;
  }

  /** A service of the pool had an entry for every flow, and now has them only where they differ. */
  #keepEntries(pool: string): void {
    const placed = this.#pools.get(pool);
    if (placed === undefined || placed.range === null) return;
    keepEntries(this.#words(placed.range), placed.slots);
    this.#pools.set(pool, { ...placed, changed: performance.now() });
    this.#contested.add(pool);
  }

  *#contestedTables(): Generator<{
    pool: string;
    words: Uint32Array;
    slots: number;
    changed: number;
  }> {
    for (const name of this.#contested) {
      const placed = this.#pools.get(name);
      if (placed === undefined || placed.range === null) continue;
      const words = this.#words(placed.range);
      yield { pool: name, words, slots: placed.slots, changed: placed.changed };
    }
  }
}

/** Where a pool's table stands. */
interface Place {
  readonly range: ChunkRange;
  readonly slots: number;
  /** No packet looks there yet. */
  readonly fresh: boolean;
}

const CHUNK_WORDS = CHUNK_SLOTS * SLOT_WORDS;

/** Of a service whose pool has no table. */
const NO_POOL = { choice: 'flow-hash', whenDown: 'drop', onMemberDown: 'rehash' } as const;

/**
 * Slots that a pool's table gets. A table that flows are picked from by hash never shrinks: its
 * former members are known for its slots, and several slots of it lie in one of a smaller table.
 */
function slotsFor(pool: L4Pool, before: { readonly slots: number } | undefined): number {
  const own = pool.lookup.length;
  const had = before?.slots ?? 0;
  return isHash(pool.choice) && own > 0 && had > own && had % own === 0 ? had : own;
}

function rewrites({ forwarding }: L4Service): boolean {
  return forwarding === 'nat' || forwarding === 'full-nat';
}

/** Finds the row of a member by its id. */
function memberRows(tables: L4Tables, rows: MemberRows): (id: string) => number | undefined {
  const found = new Map<string, number | undefined>();
  if (tables.protection !== undefined && tables.protection.members.size > 0) {
    for (const [pool, { members }] of tables.pools) {
      for (const { id, key } of members) found.set(id, rows.row(pool, key));
    }
  }
  return (id) => found.get(id);
}

function chunksOf(first: number, slots: number): ChunkRange {
  return { first, count: Math.ceil(slots / CHUNK_SLOTS) };
}

function poolUsers(tables: L4Tables): Map<string, L4Service[]> {
  const users = new Map<string, L4Service[]>();
  for (const service of tables.services.values()) {
    const list = users.get(service.pool);
    if (list === undefined) users.set(service.pool, [service]);
    else list.push(service);
  }
  return users;
}

function sameRows(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((row, index) => row === b[index]);
}
