/**
 * The services and addresses maps: which (address, port, protocol) is balanced, by
 * which lookup table, and which addresses answer an echo.
 * Invariant: a service keeps its row, and so its counters, for as long as its
 * (address, port, protocol) exists, whatever it is called.
 */
import type { L4Service } from '../control/tables.js';
import type { CounterTable, HashTable } from './kernel-tables.js';
import { FORWARDING, PROTOCOL, protocolName, service as layout, serviceKey } from './layouts.js';
import { RowAllocator } from './rows.js';
import { address as addressField } from './struct.js';

export interface ServicePlacement {
  readonly service: L4Service;
  readonly firstChunk: number;
  readonly slots: number;
  /** Bits of `weir_service.protect`. */
  readonly protect: number;
}

interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export class ServiceRows {
  readonly #table: HashTable;
  readonly #addressTable: HashTable;
  readonly #counters: CounterTable;
  readonly #rows: RowAllocator<string>;
  readonly #entries = new Map<string, Entry>();
  readonly #placed = new Map<string, ServicePlacement>();
  readonly #byRow = new Map<number, L4Service>();
  readonly #addresses = new Set<string>();

  constructor(table: HashTable, addressTable: HashTable, counters: CounterTable, limit: number) {
    this.#table = table;
    this.#addressTable = addressTable;
    this.#counters = counters;
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
        before.firstChunk === placement.firstChunk &&
        before.slots === placement.slots &&
        before.protect === placement.protect
      ) {
        continue;
      }
      writes.push({ name, entry: this.#encode(placement), placement });
    }
    this.#addAddresses(wanted);
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
    this.#counters.reset(row);
    return row;
  }

  #encode({ service, firstChunk, slots, protect }: ServicePlacement): Entry {
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
