/** Maps in memory that behave like the kernel's, and can refuse. Records the order of writes. */
import type { HashTable, KernelTables, RowTable } from '../../../appliance/l4/kernel-tables.js';
import {
  CHUNK_SLOTS,
  MAX_NAT_ADDRESSES,
  member,
  memberLimits,
  natAddress,
  placement,
  protection,
  settings,
} from '../../../appliance/l4/layouts.js';
import { SLOT_WORDS } from '../../../appliance/l4/slots.js';

export class FakeKernel implements KernelTables {
  readonly writes: string[] = [];
  /** Name of a table whose next write fails. */
  failNext: string | null = null;
  readonly resets: string[] = [];
  readonly services = this.#hash('services');
  readonly addresses = this.#hash('addresses');
  readonly replySources = this.#hash('reply_sources');
  readonly quicServers = this.#hash('quic_servers');
  readonly access = this.#hash('access');
  readonly protection: RowTable;
  readonly memberLimits: RowTable;
  readonly serviceDue: RowTable;
  readonly memberDue: RowTable;
  readonly members: RowTable;
  readonly placements: RowTable;
  readonly natAddresses: RowTable;
  readonly settings: RowTable;
  readonly serviceCounters = { reset: (row: number) => void this.resets.push(`service ${row}`) };
  readonly memberCounters = { reset: (row: number) => void this.resets.push(`member ${row}`) };
  readonly memberActive = { reset: (row: number) => void this.resets.push(`member flows ${row}`) };
  readonly cookies = { reset: (row: number) => void this.resets.push(`service cookies ${row}`) };
  readonly lookup: Uint32Array;
  readonly memberBytes: Uint8Array;
  readonly limits: KernelTables['limits'];

  constructor(limits: Partial<KernelTables['limits']> = {}, chunks = 4096) {
    this.limits = {
      services: 4096,
      members: 4096,
      replySources: 4096,
      access: 4096,
      flows: 65_536,
      ...limits,
    };
    this.lookup = new Uint32Array(chunks * CHUNK_SLOTS * SLOT_WORDS);
    this.placements = this.#rows(
      'placements',
      new Uint8Array(this.limits.services * placement.size),
      placement.size,
    );
    this.natAddresses = this.#rows(
      'nat_addresses',
      new Uint8Array(2 * MAX_NAT_ADDRESSES * natAddress.size),
      natAddress.size,
    );
    this.memberBytes = new Uint8Array(this.limits.members * member.size);
    this.members = this.#rows('members', this.memberBytes, member.size);
    this.protection = this.#rows(
      'protection',
      new Uint8Array(this.limits.services * protection.size),
      protection.size,
    );
    this.memberLimits = this.#rows(
      'member_limits',
      new Uint8Array(this.limits.members * memberLimits.size),
      memberLimits.size,
    );
    this.serviceDue = this.#rows('service_due', new Uint8Array(this.limits.services * 8), 8);
    this.memberDue = this.#rows('member_due', new Uint8Array(this.limits.members * 8), 8);
    this.settings = this.#rows('settings', new Uint8Array(settings.size), settings.size);
  }

  #note(table: string): void {
    if (this.failNext === table) {
      this.failNext = null;
      throw new Error(`${table} refused`);
    }
    this.writes.push(table);
  }

  #hash(name: string): HashTable & { readonly content: Map<string, Uint8Array> } {
    const content = new Map<string, Uint8Array>();
    return {
      content,
      updateMany: (keys, values, count) => {
        const keySize = keys.length / count;
        const valueSize = values.length / count;
        // A batch that fails has done a part of its work, as the kernel's does.
        const done = this.failNext === name ? Math.ceil(count / 2) : count;
        for (let i = 0; i < done; i++) {
          content.set(
            Buffer.from(keys.slice(i * keySize, (i + 1) * keySize)).toString('hex'),
            values.slice(i * valueSize, (i + 1) * valueSize),
          );
        }
        this.#note(name);
      },
      remove: (key) => {
        this.#note(`${name} remove`);
        content.delete(Buffer.from(key).toString('hex'));
      },
      entries: () =>
        Array.from(content, ([key, value]) => ({
          key: Uint8Array.from(Buffer.from(key, 'hex')),
          value: Uint8Array.from(value),
        })),
    };
  }

  #rows(name: string, bytes: Uint8Array, size: number): RowTable {
    return {
      setMany: (rows, values) => {
        this.#note(name);
        rows.forEach((row, index) => {
          bytes.set(values.subarray(index * size, (index + 1) * size), row * size);
        });
      },
      readAll: () => Uint8Array.from(bytes),
    };
  }
}
