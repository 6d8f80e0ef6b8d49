/**
 * What the programmer needs of the kernel's maps: a narrow interface, so that
 * programming is tested without a kernel. Keys and values are bytes as native/bpf/tables.h
 * lays them out. Every method throws when the kernel refuses.
 */
export interface HashTable {
  /** Sets `count` entries; keys and values are packed one behind the other. */
  updateMany(keys: Uint8Array, values: Uint8Array, count: number): void;
  /** Removes an entry; one that is not there is not an error. */
  remove(key: Uint8Array): void;
  entries(): { readonly key: Uint8Array; readonly value: Uint8Array }[];
}

export interface RowTable {
  /** Sets `rows.length` rows; values are packed in the same order. */
  setMany(rows: Uint32Array, values: Uint8Array): void;
  /** Every row from 0 on, packed. */
  readAll(): Uint8Array;
}

export interface CounterTable {
  /** Zeroes a row on every CPU. */
  reset(row: number): void;
}

export interface KernelTables {
  readonly services: HashTable;
  readonly addresses: HashTable;
  readonly replySources: HashTable;
  readonly members: RowTable;
  readonly settings: RowTable;
  readonly serviceCounters: CounterTable;
  readonly memberCounters: CounterTable;
  /** Active flows by row of the member. Those of a service go with its entries (sweep.h). */
  readonly memberActive: CounterTable;
  /** SYN cookies by id of the service. */
  readonly cookies: CounterTable;
  /** What sweeps and replies need of a service, by its id. */
  readonly placements: RowTable;
  readonly natAddresses: RowTable;
  readonly quicServers: HashTable;
  /** What protects services and members. */
  readonly access: HashTable;
  readonly protection: RowTable;
  readonly memberLimits: RowTable;
  readonly serviceDue: RowTable;
  readonly memberDue: RowTable;
  /** The lookup chunks as one array of slots, mapped: a store is seen by the next packet. */
  readonly lookup: Uint32Array;
  readonly limits: {
    readonly services: number;
    readonly members: number;
    readonly replySources: number;
    readonly access: number;
    readonly flows: number;
  };
}
