/**
 * The services and addresses maps: which (address, port, protocol) is balanced, by
 * which lookup table, and which addresses answer an echo.
 * Invariant: a service keeps its row, and so its counters, for as long as its
 * (address, port, protocol) exists, whatever it is called.
 */
import type { L4Pool, L4Service } from '../control/tables.js';
import type { CounterTable, HashTable, RowTable } from './kernel-tables.js';
import {
  CHOICE,
  FORWARDING,
  PROTOCOL,
  SERVICE_FLAG,
  placement as placementLayout,
  protocolName,
  service as layout,
  serviceKey,
} from './layouts.js';
import { RowAllocator } from './rows.js';
import { address as addressField } from './struct.js';
import { tracksAll } from './tracking.js';

export interface ServicePlacement {
  readonly service: L4Service;
  readonly pool: Pick<L4Pool, 'choice' | 'whenDown' | 'onMemberDown'>;
  readonly firstChunk: number;
  readonly slots: number;
  /** Bits of `weir_service.protect`. */
  readonly protect: number;
  /** Its flows are counted, so each needs an entry. */
  readonly countsFlows: boolean;
}

function flagsOf({ service, pool, countsFlows }: ServicePlacement): number {
  return (
    (tracksAll(service, pool.choice, countsFlows) ? SERVICE_FLAG.track : 0) |
    (pool.onMemberDown === 'reset' ? SERVICE_FLAG.resetLost : 0) |
    (pool.whenDown === 'reset' ? SERVICE_FLAG.resetDown : 0) |
    (service.persistence === null ? 0 : SERVICE_FLAG.persist) |
    (service.quic ? SERVICE_FLAG.quic : 0) |
    (service.synCookies === 'off' ? 0 : SERVICE_FLAG.cookies) |
    (service.synCookies === 'always' ? SERVICE_FLAG.cookiesAlways : 0)
  );
}

/** Bits of the 128 that an address has in the tables. */
function prefixOf(service: L4Service): number {
  if (service.persistence === null) return 0;
  return service.persistence.prefix + (service.address.includes(':') ? 0 : 96);
}

/** The tables of the kernel that services stand in. */
export interface ServiceTables {
  readonly services: HashTable;
  readonly addresses: HashTable;
  readonly placements: RowTable;
  readonly serviceCounters: CounterTable;
  readonly cookies: CounterTable;
}

interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export class ServiceRows {
  readonly #table: HashTable;
  readonly #addressTable: HashTable;
  readonly #tables: ServiceTables;
  /** What the kernel holds of the placements map. */
  readonly #placements: Uint8Array;
  readonly #rows: RowAllocator<string>;
  readonly #entries = new Map<string, Entry>();
  readonly #placed = new Map<string, ServicePlacement>();
  readonly #byRow = new Map<number, L4Service>();
  readonly #addresses = new Set<string>();

  constructor(tables: ServiceTables, limit: number) {
    const { services: table, addresses: addressTable } = tables;
    this.#table = table;
    this.#addressTable = addressTable;
    this.#tables = tables;
    this.#placements = tables.placements.readAll();
    this.#rows = new RowAllocator<string>(1, limit);
    const found = table.entries().map(({ key, value }) => {
      const { address, port, protocol } = serviceKey.decode(key);
      return {
        name: endpoint(address, port, protocolName(protocol)),
        key,
        value,
        id: layout.decode(value).id,
      };
    });
    for (const { name, key, value, id } of found.sort((a, b) => a.id - b.id)) {
      // Two entries with one id cannot both keep it: the second is written anew.
      if (this.#rows.adopt(name, id)) this.#entries.set(name, { key, value });
      else table.remove(key);
    }
    for (const { key } of addressTable.entries()) {
      this.#addresses.add(addressField.read(viewOf(key), 0));
    }
  }

  /** What the kernel says of every service now. */
  placements(): { firstChunk: number; slots: number }[] {
    return [...this.#entries.values()].map(({ value }) => placementOf(value));
  }

  adopted(service: L4Service): { firstChunk: number; slots: number } | undefined {
    const entry = this.#entries.get(nameOf(service));
    return entry === undefined ? undefined : placementOf(entry.value);
  }

  /** Rows that these services would take beside those that are taken now. */
  missing(services: Iterable<L4Service>): number {
    let count = 0;
    for (const service of services) if (this.#rows.get(nameOf(service)) === undefined) count++;
    return count;
  }

  program(wanted: readonly ServicePlacement[]): { written: number; removed: number } {
    const names = new Set<string>();
    const writes: { name: string; entry: Entry; placement: ServicePlacement }[] = [];
    for (const placement of wanted) {
      const name = nameOf(placement.service);
      names.add(name);
      const before = this.#placed.get(name);
      if (
        before?.service === placement.service &&
        before.pool.choice === placement.pool.choice &&
        before.pool.whenDown === placement.pool.whenDown &&
        before.pool.onMemberDown === placement.pool.onMemberDown &&
        before.firstChunk === placement.firstChunk &&
        before.slots === placement.slots &&
        before.protect === placement.protect &&
        before.countsFlows === placement.countsFlows
      ) {
        continue;
      }
      writes.push({ name, entry: this.#encode(placement), placement });
    }
    this.#addAddresses(wanted);
    this.#writePlacements(writes);
    const different = writes.filter(
      ({ name, entry }) => !sameEntry(this.#entries.get(name), entry),
    );
    if (different.length > 0) {
      // Should the kernel stop half-way, each of these may or may not be there: they are then
      // known as entries of unknown value, to be written again or removed.
      for (const { name, entry } of different) {
        this.#entries.set(name, { key: entry.key, value: UNKNOWN });
        this.#placed.delete(name);
      }
      this.#table.updateMany(
        concat(different.map(({ entry }) => entry.key)),
        concat(different.map(({ entry }) => entry.value)),
        different.length,
      );
    }
    for (const { name, entry, placement } of writes) {
      this.#entries.set(name, entry);
      this.#placed.set(name, placement);
      this.#byRow.set(this.#rows.get(name)!, placement.service);
    }
    return { written: different.length, removed: this.#removeOthers(names, wanted) };
  }

  /** Whether the kernel keeps an entry for every flow of the service; undefined when it has none such. */
  tracked(service: L4Service): boolean | undefined {
    const value = this.#entries.get(nameOf(service))?.value;
    if (value === undefined || value === UNKNOWN) return undefined;
    return (layout.decode(value).flags & SERVICE_FLAG.track) !== 0;
  }

  row(service: L4Service): number | undefined {
    return this.#rows.get(nameOf(service));
  }

  owner(row: number): L4Service | undefined {
    return this.#byRow.get(row);
  }

  get used(): number {
    return this.#rows.used;
  }

  get end(): number {
    return this.#rows.end;
  }

  /** The row of a service, taken now when it has none. */
  place(service: L4Service): number {
    const name = nameOf(service);
    const id = this.#rows.get(name);
    if (id !== undefined) return id;
    const row = this.#rows.allocate(name);
    if (row === null) throw new RangeError('every service row of the fast path is taken');
    this.#tables.serviceCounters.reset(row);
    this.#tables.cookies.reset(row);
    return row;
  }

  /** What sweeps go by; before the service itself, so that none finds an older one. */
  #writePlacements(
    writes: readonly { readonly name: string; readonly placement: ServicePlacement }[],
  ): void {
    const rows: number[] = [];
    const values: Uint8Array[] = [];
    for (const { name, placement } of writes) {
      const row = this.#rows.get(name) ?? 0;
      const bytes = placementLayout.encode({
        first_chunk: placement.firstChunk,
        slots: placement.slots,
        choice: CHOICE[placement.pool.choice],
        flags: flagsOf(placement),
        mss: placement.service.mss,
      });
      const held = this.#placements.subarray(row * bytes.length, (row + 1) * bytes.length);
      if (Buffer.compare(bytes, held) === 0) continue;
      held.set(bytes);
      rows.push(row);
      values.push(bytes);
    }
    if (rows.length > 0) this.#tables.placements.setMany(Uint32Array.from(rows), concat(values));
  }

  #encode(placement: ServicePlacement): Entry {
    const { service, firstChunk, slots, protect } = placement;
    const id = this.place(service);
    return {
      key: serviceKey.encode({
        address: service.address,
        port: service.port,
        protocol: PROTOCOL[service.protocol],
      }),
      value: layout.encode({
        id,
        first_chunk: firstChunk,
        slots,
        forwarding: FORWARDING[service.forwarding],
        choice: CHOICE[placement.pool.choice],
        flags: flagsOf(placement),
        prefix: prefixOf(service),
        persistence: service.persistence?.seconds ?? 0,
        mss: service.mss,
        gue_port: service.guePort,
        protect,
      }),
    };
  }

  #addAddresses(wanted: readonly ServicePlacement[]): void {
    const added = new Set<string>();
    for (const { service } of wanted) {
      if (!this.#addresses.has(service.address)) added.add(service.address);
    }
    if (added.size === 0) return;
    const keys = [...added].map((address) => addressKey(address));
    const values = new Uint8Array(new Uint32Array(keys.length).fill(1).buffer);
    this.#addressTable.updateMany(concat(keys), values, keys.length);
    for (const address of added) this.#addresses.add(address);
  }

  #removeOthers(names: ReadonlySet<string>, wanted: readonly ServicePlacement[]): number {
    let removed = 0;
    for (const [name, row] of [...this.#rows.names()]) {
      if (names.has(name)) continue;
      const entry = this.#entries.get(name);
      if (entry !== undefined) {
        this.#table.remove(entry.key);
        removed++;
      }
      this.#entries.delete(name);
      this.#placed.delete(name);
      this.#byRow.delete(row);
      this.#rows.release(name);
    }
    const used = new Set(wanted.map(({ service }) => service.address));
    for (const address of this.#addresses) {
      if (used.has(address)) continue;
      this.#addressTable.remove(addressKey(address));
      this.#addresses.delete(address);
    }
    return removed;
  }
}

/** In place of bytes that the kernel may or may not have taken: equal to none. */
const UNKNOWN = new Uint8Array(0);

function nameOf(service: L4Service): string {
  return endpoint(service.address, service.port, service.protocol);
}

function endpoint(address: string, port: number, protocol: string): string {
  return `${protocol} ${address} ${port}`;
}

function placementOf(value: Uint8Array): { firstChunk: number; slots: number } {
  const { first_chunk: firstChunk, slots } = layout.decode(value);
  return { firstChunk, slots };
}

function addressKey(text: string): Uint8Array {
  const key = new Uint8Array(addressField.size);
  addressField.write(viewOf(key), 0, text);
  return key;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function sameEntry(a: Entry | undefined, b: Entry): boolean {
  return (
    a !== undefined && Buffer.compare(a.key, b.key) === 0 && Buffer.compare(a.value, b.value) === 0
  );
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}
