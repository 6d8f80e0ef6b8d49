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
import { CHUNK_SLOTS, settings } from './layouts.js';
import { MemberRows } from './member-rows.js';
import { ProtectionRows } from './protection-rows.js';
import { ReplySources } from './reply-sources.js';
import { ServiceRows } from './service-rows.js';

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
}

export interface ProgrammerOptions {
  readonly eventsPerSecond: number;
  readonly hashSeed: number;
}

export class Programmer {
  readonly members: MemberRows;
  readonly services: ServiceRows;
  readonly #replySources: ReplySources;
  readonly #protection: ProtectionRows;
  readonly #chunks: ChunkAllocator;
  readonly #pools = new Map<string, PlacedPool>();
  /** Ranges that adopted services still use, until the first programming has moved them. */
  #adoptedRanges: ChunkRange[];
  /** Ranges that nothing will point at once the services are programmed. */
  readonly #leaving: ChunkRange[] = [];
  #natServices = -1;

  constructor(
    readonly kernel: KernelTables,
    readonly options: ProgrammerOptions,
  ) {
    this.#chunks = new ChunkAllocator(Math.floor(kernel.lookup.length / CHUNK_SLOTS));
    this.members = new MemberRows(kernel.members, kernel.memberCounters, kernel.limits.members);
    this.services = new ServiceRows(
      kernel.services,
      kernel.addresses,
      kernel.serviceCounters,
      kernel.limits.services,
    );
    this.#replySources = new ReplySources(kernel.replySources);
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
      const count = Math.ceil(pool.lookup.length / CHUNK_SLOTS);
      if (this.#pools.get(name)?.range?.count !== count && !this.#adoptable(count)) chunks += count;
    }
    fit('chunks of lookup tables', chunks, this.#chunks.total);
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
        const unknown: L4Pool = { name, members: [], lookup: new Uint32Array(0) };
        this.#pools.set(name, { pool: unknown, rows: new Uint32Array(0), range: placed.range });
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
      this.#pools.set(name, { pool, rows, range: placed?.range ?? null });
    }
    const membersWritten = this.members.flush();

    for (const name of changed) {
      const placed = this.#pools.get(name)!;
      const range = this.#rangeFor(placed, before.get(name), users.get(name) ?? []);
      if (placed.range !== null && placed.range !== range) this.#leaving.push(placed.range);
      this.#pools.set(name, { ...placed, range });
      if (range !== null) slotsWritten += this.#writeLookup(placed, range, before.get(name));
    }

    const natServices = [...tables.services.values()].filter((s) => s.forwarding === 'nat').length;
    // Replies must be recognised before the first request can cause one, and as long as one can come.
    this.#replySources.add(tables);
    if (natServices > 0) this.#writeSettings(natServices);
    // What protects a service must be there before the service says that it is on.
    this.#protection.add(
      tables,
      (service) => this.services.place(service),
      memberRows(tables, this.members),
    );
    const { written, removed } = this.services.program(
      [...tables.services.values()].map((service) => {
        const placed = this.#pools.get(service.pool);
        return {
          service,
          firstChunk: placed?.range?.first ?? 0,
          slots: placed?.pool.lookup.length ?? 0,
          protect: ProtectionRows.flags(tables.protection?.services.get(service.name)),
        };
      }),
    );
    if (natServices === 0) this.#writeSettings(0);
    this.#replySources.removeOthers();
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

  #rangeFor(
    placed: PlacedPool,
    before: PlacedPool | undefined,
    users: readonly L4Service[],
  ): ChunkRange | null {
    const slots = placed.pool.lookup.length;
    // A pool without a member keeps its place: its services say "0 slots" meanwhile.
    if (slots === 0) return before?.range ?? this.#adoptRange(users, null);
    const count = Math.ceil(slots / CHUNK_SLOTS);
    if (before?.range?.count === count) return before.range;
    const adopted = before === undefined ? this.#adoptRange(users, count) : null;
    if (adopted !== null) return adopted;
    const range = this.#chunks.allocate(count);
    if (range === null) {
      throw new CapacityError(
        `no ${count} lookup chunks in a row are free; remove pools, or use a hardware profile with more`,
      );
    }
    return range;
  }

  /** The range that one of a pool's services used before a restart, if it has the right size. */
  #adoptRange(users: readonly L4Service[], count: number | null): ChunkRange | null {
    for (const user of users) {
      const placed = this.services.adopted(user);
      if (placed === undefined) continue;
      const range = chunksOf(placed.firstChunk, placed.slots);
      const index = this.#adoptedRanges.findIndex(
        (held) => held.first === range.first && held.count === range.count,
      );
      if (index < 0 || (count !== null && range.count !== count)) continue;
      return this.#adoptedRanges.splice(index, 1)[0] ?? null;
    }
    return null;
  }

  #writeLookup(placed: PlacedPool, range: ChunkRange, before: PlacedPool | undefined): number {
    if (
      before?.range === range &&
      before.pool.lookup === placed.pool.lookup &&
      sameRows(before.rows, placed.rows)
    ) {
      return 0;
    }
    const { lookup } = placed.pool;
    const slots = this.kernel.lookup.subarray(
      range.first * CHUNK_SLOTS,
      (range.first + range.count) * CHUNK_SLOTS,
    );
    let written = 0;
    for (let slot = 0; slot < lookup.length; slot++) {
      const row = placed.rows[lookup[slot]!]!;
      // An aligned store of 32 bits is atomic: a packet sees the old row or the new one.
      if (slots[slot] !== row) {
        slots[slot] = row;
        written++;
      }
    }
    return written;
  }

  #writeSettings(natServices: number): void {
    if (natServices === this.#natServices) return;
    this.kernel.settings.setMany(
      Uint32Array.of(0),
      settings.encode({
        events_per_second: this.options.eventsPerSecond,
        nat_services: natServices,
        hash_seed: this.options.hashSeed,
        zero: 0,
      }),
    );
    this.#natServices = natServices;
  }
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
