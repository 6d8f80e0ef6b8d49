/**
 * The protection and member_limits maps and the buckets beside them: what protects each service
 * and member, by row, programmed by difference.
 *
 * Invariant: a bucket is emptied when its rate changes or its row gets another owner, so nobody
 * pays for what went before; the flags of a service are set only after its row here is whole.
 */
import type {
  L4Protection,
  L4Rate,
  L4Service,
  L4ServiceProtection,
  L4Tables,
} from '../control/tables.js';
import type { HashTable, RowTable } from './kernel-tables.js';
import { memberLimits, PROTECT, protection } from './layouts.js';
import { AccessSets } from './protection-access.js';

export interface ProtectionTables {
  readonly access: HashTable;
  readonly protection: RowTable;
  readonly memberLimits: RowTable;
  readonly serviceDue: RowTable;
  readonly memberDue: RowTable;
}

export interface ProtectionLimits {
  /** Entries of the access map. */
  readonly access: number;
  /** Entries of the flow table, which the flood guard keeps from being turned over. */
  readonly flows: number;
}

/** New flows of one service take at least so long to fill the flow table. */
const TURNOVER_NS = 10_000_000_000n;
/** What may come at once before the guard's rate applies, as a part of the flow table. */
const BURST_PART = 16n;
const IPV4_OFFSET = 96;
const NO_RATE = { cost_ns: 0n, burst_ns: 0n };
const EMPTY_DUE = new Uint8Array(8);

export class ProtectionRows {
  readonly access: AccessSets;
  readonly #tables: ProtectionTables;
  readonly #limits: ProtectionLimits;
  /** Rows as they are in the kernel; what an earlier run left is read once. */
  readonly #services: Uint8Array;
  readonly #members: Uint8Array;
  /** By row: what was compiled into it. */
  readonly #placed = new Map<number, L4ServiceProtection>();
  readonly #limited = new Map<number, string>();
  #foreignMembers = true;

  constructor(tables: ProtectionTables, limits: ProtectionLimits) {
    this.#tables = tables;
    this.#limits = limits;
    this.access = new AccessSets(tables.access);
    this.#services = tables.protection.readAll();
    this.#members = tables.memberLimits.readAll();
  }

  /** Entries of access lists that there would be while these tables are written. */
  needed(wanted: L4Protection | undefined): number {
    return this.access.used + this.access.missing(setsOf(wanted));
  }

  /**
   * Bits of `weir_service.protect` for a service. What guards the flow table is for services whose
   * flows fill it.
   */
  static flags(wanted: L4ServiceProtection | undefined, tracksAll: boolean): number {
    if (wanted === undefined) return 0;
    const rate = wanted.rate === 'auto' && !tracksAll ? null : wanted.rate;
    return (
      (wanted.access === null ? 0 : PROTECT.access) |
      (rate === null && wanted.connections === 0 ? 0 : PROTECT.service) |
      (wanted.members ? PROTECT.member : 0) |
      (wanted.client === null ? 0 : PROTECT.source)
    );
  }

  /** Writes what services and members are protected by; before the services that say so. */
  add(
    tables: L4Tables,
    serviceRow: (service: L4Service) => number,
    memberRow: (id: string) => number | undefined,
  ): void {
    this.#addMembers(tables.protection, memberRow);
    for (const [name, wanted] of tables.protection?.services ?? []) {
      const service = tables.services.get(name);
      if (service === undefined) continue;
      const row = serviceRow(service);
      const before = this.#placed.get(row);
      const at = row * protection.size;
      const hint = before === undefined ? protection.decode(this.#services, at).access_set : 0;
      const set =
        wanted.access === null
          ? 0
          : this.access.place(wanted.access, hint === 0 ? undefined : hint);
      const value = this.#encode(wanted, set);
      const kept = this.#services.subarray(at, at + protection.size);
      if (Buffer.compare(kept, value) !== 0) {
        if (Buffer.compare(kept.subarray(0, 16), value.subarray(0, 16)) !== 0) {
          this.#tables.serviceDue.setMany(Uint32Array.of(row), EMPTY_DUE);
        }
        this.#tables.protection.setMany(Uint32Array.of(row), value);
        kept.set(value);
      }
      this.#placed.set(row, wanted);
    }
  }

  /** Removes what no service uses any more; after the services that no longer say so. */
  removeOthers(tables: L4Tables, rowInUse: (row: number) => boolean): void {
    this.access.removeOthers(new Set(setsOf(tables.protection).map(({ name }) => name)));
    for (const row of this.#placed.keys()) if (!rowInUse(row)) this.#placed.delete(row);
  }

  #addMembers(
    wanted: L4Protection | undefined,
    memberRow: (id: string) => number | undefined,
  ): void {
    const rows = new Map<number, string>();
    const writes: [number, Uint8Array][] = [];
    for (const [id, limits] of wanted?.members ?? []) {
      const row = memberRow(id);
      if (row === undefined) continue;
      rows.set(row, id);
      const value = memberLimits.encode({
        rate: rateOf(limits.rate),
        connections: limits.connections,
      });
      if (this.#limited.get(row) !== id || this.#memberDiffers(row, value)) {
        writes.push([row, value]);
      }
    }
    const empty = new Uint8Array(memberLimits.size);
    const gone = this.#foreignMembers ? this.#nonEmpty() : [...this.#limited.keys()];
    for (const row of gone) if (!rows.has(row)) writes.push([row, empty]);
    for (const [row, value] of writes) {
      if (!this.#memberDiffers(row, value)) continue;
      this.#tables.memberDue.setMany(Uint32Array.of(row), EMPTY_DUE);
      this.#tables.memberLimits.setMany(Uint32Array.of(row), value);
      this.#members.set(value, row * memberLimits.size);
    }
    this.#foreignMembers = false;
    this.#limited.clear();
    for (const [row, id] of rows) this.#limited.set(row, id);
  }

  #memberDiffers(row: number, value: Uint8Array): boolean {
    const at = row * memberLimits.size;
    return Buffer.compare(this.#members.subarray(at, at + memberLimits.size), value) !== 0;
  }

  /** Rows with limits that an earlier run left. */
  #nonEmpty(): number[] {
    const rows: number[] = [];
    const words = new Uint32Array(
      this.#members.buffer,
      this.#members.byteOffset,
      this.#members.byteLength / 4,
    );
    const each = memberLimits.size / 4;
    for (let at = 0; at < words.length; at++) {
      if (words[at] !== 0 && rows.at(-1) !== Math.floor(at / each))
        rows.push(Math.floor(at / each));
    }
    return rows;
  }

  #encode(wanted: L4ServiceProtection, set: number): Uint8Array {
    const { client } = wanted;
    return protection.encode({
      service: wanted.rate === 'auto' ? guard(this.#limits.flows) : rateOf(wanted.rate),
      source: rateOf(client?.rate ?? null),
      access_set: set,
      service_connections: wanted.connections,
      source_connections: client?.connections ?? 0,
      source_bits: client === null ? 0 : IPV4_OFFSET + client.prefix,
      source_bits6: client?.prefix6 ?? 0,
    });
  }
}

/** The flood guard's rate: what fills a tenth of the flow table in a second. */
function guard(flows: number): { cost_ns: bigint; burst_ns: bigint } {
  const size = BigInt(Math.max(1, flows));
  const cost = TURNOVER_NS / size || 1n;
  return { cost_ns: cost, burst_ns: (size / BURST_PART) * cost };
}

function rateOf(rate: L4Rate | null): { cost_ns: bigint; burst_ns: bigint } {
  return rate === null ? NO_RATE : { cost_ns: rate.costNs, burst_ns: rate.burstNs };
}

function setsOf(wanted: L4Protection | undefined) {
  const sets = [...(wanted?.services.values() ?? [])].flatMap(({ access }) => access ?? []);
  return [...new Set(sets)];
}
