/**
 * Which row of shared memory is whose: services, routes, pools and members share one space of row
 * numbers, so that counters and the balancing's own tables have the same number for a member.
 * Pure; the supervisor keeps the only one.
 *
 * Invariants:
 * - A name keeps its row as long as it is wanted, and gets it back when it returns before
 *   anybody else needed it.
 * - A freed row is the last to be given out again: requests that are still under way on an older
 *   snapshot count into it.
 * - Row 0 is nobody's. Names for which there is no room count there, so writers never ask.
 */
import type { L7Tables } from '../tables.js';

export const noRow = 0;

export const rowName = {
  service: (service: string): string => `service/${service}`,
  route: (service: string, route: string): string => `route/${service}/${route}`,
  pool: (pool: string): string => `pool/${pool}`,
  /** `id` is `POOL/MEMBERKEY`, so it names the address as well. */
  member: (id: string): string => `member/${id}`,
};

/** Every name that these tables need a row for; services first, since rows may run out. */
export function rowNames(tables: L7Tables): string[] {
  const services = [...tables.services.values()];
  return [
    ...services.map(({ name }) => rowName.service(name)),
    ...[...tables.pools.values()].flatMap(({ name, members }) => [
      rowName.pool(name),
      ...members.map(({ id }) => rowName.member(id)),
    ]),
    ...services.flatMap(({ name, routes }) =>
      routes.map((route) => rowName.route(name, route.name)),
    ),
  ];
}

export interface RowChanges {
  /** The rows of all names that were asked for; `noRow` for those without room. */
  readonly rows: ReadonlyMap<string, number>;
  /** Rows that have another owner than before, and its name; null: never used. */
  readonly taken: readonly {
    readonly row: number;
    readonly name: string;
    readonly formerly: string | null;
  }[];
  /** Names without room. */
  readonly left: readonly string[];
}

/** All of a registry, as plain data: for a daemon that goes on where another one ended. */
export interface RegistryState {
  readonly owned: readonly (readonly [string, number])[];
  readonly freed: readonly (readonly [string, number])[];
  readonly next: number;
}

export class RowRegistry {
  readonly capacity: number;
  private owned = new Map<string, number>();
  /** Former owners, the one that left first in front. */
  private readonly freed = new Map<string, number>();
  private next = noRow + 1;

  /** `capacity` counts row 0. */
  constructor(capacity: number) {
    if (!Number.isSafeInteger(capacity) || capacity < 2) {
      throw new RangeError(`a registry has at least 2 rows, got ${capacity}`);
    }
    this.capacity = capacity;
  }

  /** Rows from this number on were never given out: nothing was ever written there. */
  get used(): number {
    return this.next;
  }

  rowOf(name: string): number {
    return this.owned.get(name) ?? noRow;
  }

  get state(): RegistryState {
    return { owned: [...this.owned], freed: [...this.freed], next: this.next };
  }

  /** Goes on from there. False: it does not fit, and nothing was taken. */
  restore({ owned, freed, next }: RegistryState): boolean {
    const rows = [...owned, ...freed].map(([, row]) => row);
    const fits =
      next <= this.capacity &&
      new Set(rows).size === rows.length &&
      rows.every((row) => row > noRow && row < next);
    if (!fits) return false;
    this.owned = new Map(owned);
    this.freed.clear();
    for (const [name, row] of freed) this.freed.set(name, row);
    this.next = next;
    return true;
  }

  /** From now on exactly these names have rows. A name that is there twice has one row. */
  assign(names: Iterable<string>): RowChanges {
    const wanted = new Set(names);
    for (const [name, row] of this.owned) {
      if (wanted.has(name)) continue;
      this.owned.delete(name);
      this.freed.set(name, row);
    }
    const fresh: string[] = [];
    // Those that come back first, lest a new name takes their row.
    for (const name of wanted) {
      if (this.owned.has(name)) continue;
      const row = this.freed.get(name);
      if (row === undefined) {
        fresh.push(name);
        continue;
      }
      this.freed.delete(name);
      this.owned.set(name, row);
    }
    const taken: { row: number; name: string; formerly: string | null }[] = [];
    const left: string[] = [];
    for (const name of fresh) {
      const place = this.free();
      if (place === null) {
        left.push(name);
        continue;
      }
      this.owned.set(name, place.row);
      taken.push({ ...place, name });
    }
    const rows = new Map([...wanted].map((name) => [name, this.rowOf(name)] as const));
    return { rows, taken, left };
  }

  private free(): { row: number; formerly: string | null } | null {
    if (this.next < this.capacity) {
      this.next += 1;
      return { row: this.next - 1, formerly: null };
    }
    for (const [formerly, row] of this.freed) {
      this.freed.delete(formerly);
      return { row, formerly };
    }
    return null;
  }
}
