/**
 * The rows of the members map: one a member of a pool, found again after a restart by
 * its identity, kept until nothing points at it.
 * Invariant: the mirror equals the kernel's bytes except for rows listed as dirty.
 */
import { createHash } from 'node:crypto';
import type { L4Member, L4Pool } from '../control/tables.js';
import type { CounterTable, RowTable } from './kernel-tables.js';
import { MEMBER_STATE, member as layout } from './layouts.js';
import { RowAllocator } from './rows.js';

const NO_MAC = new Uint8Array(6);
/** No IP packet is longer. */
const MAX_MTU = 65_535;

/** What names a member for the fast path: 8 bytes of SHA-256 over pool and key; never 0. */
export function memberIdentity(pool: string, key: string): bigint {
  const digest = createHash('sha256').update(`${pool}\0${key}`).digest();
  return digest.readBigUInt64LE(0) || 1n;
}

export class MemberRows {
  readonly #table: RowTable;
  readonly #counters: CounterTable;
  readonly #active: CounterTable;
  readonly #mirror: Uint8Array;
  /** Row 0 is nobody's: a lookup slot that was never written must name no member. */
  readonly #rows: RowAllocator<bigint>;
  readonly #identities = new Map<string, bigint>();
  readonly #owners = new Map<number, { pool: string; member: L4Member }>();
  readonly #dirty = new Set<number>();
  /** Rows whose new owner must not begin with the former one's flows. */
  readonly #handed = new Set<number>();

  /** @param active counts the flows of each row */
  constructor(table: RowTable, counters: CounterTable, active: CounterTable, limit: number) {
    this.#table = table;
    this.#counters = counters;
    this.#active = active;
    this.#mirror = table.readAll();
    this.#rows = new RowAllocator<bigint>(1, limit);
    for (let row = 1; row < limit; row++) {
      const at = row * layout.size;
      if (this.#mirror[at + STATE_OFFSET] === MEMBER_STATE.free) continue;
      this.#rows.adopt(layout.decode(this.#mirror, at).identity, row);
    }
  }

  /** Rows that `pools` would take beside those that are taken now. */
  missing(pools: ReadonlyMap<string, L4Pool>): number {
    let count = 0;
    for (const [name, pool] of pools) {
      for (const { key } of pool.members) {
        if (this.#rows.get(memberIdentityOf(this.#identities, name, key)) === undefined) count++;
      }
    }
    return count;
  }

  /** Gives each member its row and prepares what it must hold; `flush` writes it. */
  place(pool: string, members: readonly L4Member[]): Uint32Array {
    const rows = new Uint32Array(members.length);
    members.forEach((member, index) => {
      const identity = this.#identity(pool, member.key);
      const row = this.#rows.get(identity) ?? this.#take(identity);
      rows[index] = row;
      if (this.#owners.get(row)?.member === member) return;
      this.#owners.set(row, { pool, member });
      this.#set(row, identity, member);
    });
    return rows;
  }

  /** Writes the rows that changed; returns how many. */
  flush(): number {
    const rows = Uint32Array.from(this.#dirty);
    if (rows.length === 0) return 0;
    const values = new Uint8Array(rows.length * layout.size);
    rows.forEach((row, index) => {
      values.set(this.#bytes(row), index * layout.size);
    });
    this.#table.setMany(rows, values);
    this.#dirty.clear();
    // Flows of the old generation are taken off no more, and the new owner is in no slot yet.
    for (const row of this.#handed) this.#active.reset(row);
    this.#handed.clear();
    return rows.length;
  }

  /** Frees every row that no member of `pools` holds; returns how many. */
  releaseOthers(pools: ReadonlyMap<string, L4Pool>): number {
    let wanted = 0;
    for (const pool of pools.values()) wanted += pool.members.length;
    if (wanted === this.#rows.used) return 0;
    const held = new Set<bigint>();
    for (const [name, pool] of pools) {
      for (const member of pool.members) held.add(this.#identity(name, member.key));
    }
    for (const [identity, row] of [...this.#rows.names()]) {
      if (held.has(identity)) continue;
      const owner = this.#owners.get(row);
      if (owner !== undefined) this.#identities.delete(cacheKey(owner.pool, owner.member.key));
      this.#owners.delete(row);
      this.#rows.release(identity);
      // The generation stays behind, for the next owner to go on from.
      const { generation } = layout.decode(this.#mirror, row * layout.size);
      this.#write(row, { ...FREE_ROW, generation });
    }
    return this.flush();
  }

  row(pool: string, key: string): number | undefined {
    return this.#rows.get(this.#identity(pool, key));
  }

  /** By what names a member (`memberIdentity`). */
  rowOf(identity: bigint): number | undefined {
    return this.#rows.get(identity);
  }

  /** Whom a row belongs to now. */
  owner(row: number): { readonly pool: string; readonly member: L4Member } | undefined {
    return this.#owners.get(row);
  }

  generation(row: number): number {
    return layout.decode(this.#mirror, row * layout.size).generation;
  }

  /** State that the kernel holds for a member, before anything is programmed. */
  adoptedState(pool: string, key: string): number | undefined {
    const row = this.#rows.get(this.#identity(pool, key));
    return row === undefined ? undefined : this.#mirror[row * layout.size + STATE_OFFSET];
  }

  get used(): number {
    return this.#rows.used;
  }

  get end(): number {
    return this.#rows.end;
  }

  #identity(pool: string, key: string): bigint {
    const identity = memberIdentityOf(this.#identities, pool, key);
    this.#identities.set(cacheKey(pool, key), identity);
    return identity;
  }

  #take(identity: bigint): number {
    const row = this.#rows.allocate(identity);
    if (row === null) throw new RangeError('every member row of the fast path is taken');
    const before = layout.decode(this.#mirror, row * layout.size);
    if (before.generation > 0) {
      this.#counters.reset(row);
      this.#handed.add(row);
    }
    this.#write(row, { ...FREE_ROW, generation: (before.generation + 1) >>> 0 || 1 });
    return row;
  }

  #set(row: number, identity: bigint, member: L4Member): void {
    const { generation } = layout.decode(this.#mirror, row * layout.size);
    this.#write(row, {
      identity,
      address: member.address,
      port: member.port,
      mac: member.nextHop?.mac ?? NO_MAC,
      source_mac: member.nextHop?.sourceMac ?? NO_MAC,
      state: member.nextHop === null ? MEMBER_STATE.down : MEMBER_STATE[member.state],
      zero: 0,
      interface: member.nextHop?.interfaceIndex ?? 0,
      generation,
      weight: member.weight,
      mtu: Math.min(member.nextHop?.mtu ?? 0, MAX_MTU),
      vlan: member.nextHop?.vlan ?? [],
      reserved: 0n,
    });
  }

  #write(row: number, value: Parameters<typeof layout.encode>[0]): void {
    const bytes = layout.encode(value);
    const now = this.#bytes(row);
    if (bytes.every((byte, index) => byte === now[index])) return;
    now.set(bytes);
    this.#dirty.add(row);
  }

  #bytes(row: number): Uint8Array {
    return this.#mirror.subarray(row * layout.size, (row + 1) * layout.size);
  }
}

const STATE_OFFSET = layout.offsetOf('state');

const FREE_ROW = {
  identity: 0n,
  address: '::',
  port: 0,
  mac: NO_MAC,
  source_mac: NO_MAC,
  state: MEMBER_STATE.free,
  zero: 0,
  interface: 0,
  weight: 0,
  mtu: 0,
  vlan: [],
  reserved: 0n,
};

/** From memory where it is known: a digest costs as much as all else about a member. */
function memberIdentityOf(known: ReadonlyMap<string, bigint>, pool: string, key: string): bigint {
  return known.get(cacheKey(pool, key)) ?? memberIdentity(pool, key);
}

function cacheKey(pool: string, key: string): string {
  return `${pool}\0${key}`;
}
