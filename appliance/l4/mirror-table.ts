/**
 * The flow table as the mirror of two units sees it (ha/flows): what the programs of
 * native/bpf/mirror.h told, and what the other unit told, with its names in place of rows.
 *
 * Services are named by address, port and protocol, members by the identity that their rows carry
 * (member-rows.ts), so neither unit has to know the other's rows.
 *
 * Invariant: nothing of a record is believed before `recordWrong` has seen it; and the entry of a flow
 * that would go to its slot's member anyway is not stored, while one that would not is looked for.
 */
import type { L4Tables } from '../control/tables.js';
import type {
  Description,
  FlowTable,
  Outcomes,
  WalkReport,
  WalkRequest,
} from '../ha/flows/flow-table.js';
import type { BatchPlace } from '../../native/ffi/bpf-map.js';
import { RingBuffer } from '../../native/ffi/ringbuf.js';
import { addressBytes } from './address-bytes.js';
import type { Datapath } from './datapath.js';
import { FlowWalk, WALKER } from './flow-walk.js';
import {
  MIRROR_BATCH,
  MIRROR_KIND,
  NAT_NONE,
  MAX_NAT_ADDRESSES,
  PROTOCOL,
  mirrorTake,
  mirrorWalk,
  mirrored,
} from './layouts.js';
import { AT, RECORD_BYTES, recordWrong } from './mirror-record.js';
import { readTakenOver } from './observe.js';
import { MirrorWays, type OwnWay } from './mirror-ways.js';
import type { Programmer } from './programmer.js';
import type { Sweeper } from './sweeper.js';
import { limitsFlows, tracksAll } from './tracking.js';

const MALFORMED = 'malformed';
/** The bits of a tag that are its id; the rest of the outer one says its type (tables.h). */
const VLAN_ID = 0x0fff;

type WalkFields = ReturnType<typeof mirrorWalk.decode>;
const NOTHING: WalkFields = {
  ...{ now_ns: 0n, before_ns: 0n, pass: 0, most: 0, reset: 0, adopt: 0 },
  ...{ told: 0, left: 0, adopted: 0, keys: 0 },
};

export interface MirrorTableOptions {
  readonly datapath: Datapath;
  readonly programmer: Programmer;
  readonly sweeper: Sweeper;
  /** What tells the tables in the kernel from those of any other time. */
  readonly id: string;
}

export class MirrorTable implements FlowTable {
  readonly recordBytes = RECORD_BYTES;
  readonly id: string;
  readonly #datapath: Datapath;
  readonly #programmer: Programmer;
  readonly #sweeper: Sweeper;
  readonly #ring: RingBuffer;
  readonly #room: Uint8Array;
  readonly #view: DataView;
  readonly #outcomes: readonly string[];
  readonly #ways = new MirrorWays();
  /** Pools of services whose flows have entries only where they differ, by `nameAt`. */
  #hashed = new Map<string, string>();
  /** Rows of the unit's own addresses of full nat, by their bytes. */
  #natRows = new Map<string, number>();
  #natAddresses: readonly string[] = [];
  readonly #pieces: FlowWalk;
  #pass = 0;
  #walkBegan = 0n;
  /** Where the last walk had to stop. */
  #walkFrom: BatchPlace | null = null;
  /** Where records are put together: most looks find none. */
  #drained = Buffer.alloc(0);

  constructor({ datapath, programmer, sweeper, id }: MirrorTableOptions) {
    this.id = id;
    this.#datapath = datapath;
    this.#programmer = programmer;
    this.#sweeper = sweeper;
    this.#outcomes = datapath.mirrorOutcomes;
    const map = datapath.map('mirror_in');
    this.#room = new Uint8Array(map.mmap().buffer, 0, MIRROR_BATCH * mirrored.size);
    this.#view = new DataView(this.#room.buffer, this.#room.byteOffset, this.#room.byteLength);
    const [flows, keys] = [datapath.map('flows'), datapath.map('walk_keys')];
    this.#pieces = new FlowWalk(flows, keys, WALKER.mirror);
    this.#ring = RingBuffer.open(datapath.map('mirror'));
    // Of a daemon before this one.
    this.#ring.drain(() => undefined);
  }

  get untold(): number {
    return this.#sweeper.untold;
  }

  get takenOver(): number {
    return readTakenOver(this.#datapath.map('totals'));
  }

  /** Flows of the other unit that are known here; null before the first walk of the sweep. */
  get theirs(): number | null {
    return this.#sweeper.last?.theirs ?? null;
  }

  /** Goes by these tables from now on; after they were programmed. */
  follow(tables: Pick<L4Tables, 'services' | 'pools' | 'unit' | 'protection'>): void {
    const hashed = new Map<string, string>();
    for (const service of tables.services.values()) {
      const pool = tables.pools.get(service.pool);
      if (pool === undefined) continue;
      if (tracksAll(service, pool.choice, limitsFlows(tables, service))) continue;
      hashed.set(serviceName(service), service.pool);
    }
    this.#hashed = hashed;
    this.#natAddresses = tables.unit.natAddresses;
    const rows = new Map<string, number>();
    for (const six of [false, true]) {
      tables.unit.natAddresses
        .filter((address) => address.includes(':') === six)
        .forEach((address, index) => {
          rows.set(latin(addressBytes(address)), (six ? MAX_NAT_ADDRESSES : 0) + index);
        });
    }
    this.#natRows = rows;
  }

  /** Who knows where this unit's frames come in. */
  waysFrom(source: () => readonly OwnWay[]): void {
    this.#ways.from(source);
  }

  describe(): Description {
    return {
      ...{ table: this.id, natAddresses: this.#natAddresses },
      ways: this.#ways.describe(),
    };
  }

  meet(other: Description | null): void {
    this.#ways.meet(other);
  }

  tell(pass: number): void {
    this.#pass = pass;
    this.#programmer.setMirror(pass);
  }

  drain(most: number): Buffer {
    if (this.#drained.length < most * RECORD_BYTES) {
      this.#drained = Buffer.alloc(most * RECORD_BYTES);
    }
    const records = this.#drained;
    let count = 0;
    this.#ring.drain((record) => {
      const at = count * RECORD_BYTES;
      records.set(record.subarray(0, RECORD_BYTES), at);
      if (record[AT.kind] === MIRROR_KIND.source) {
        const service = new DataView(record.buffer, record.byteOffset).getUint32(AT.local, true);
        if (!this.#nameService(records, at, service)) return;
      }
      count++;
    }, most);
    return Buffer.from(records.subarray(0, count * RECORD_BYTES));
  }

  async walk({ most, reset }: WalkRequest): Promise<WalkReport> {
    const now = process.hrtime.bigint();
    const program = this.#datapath.mirrorWalk;
    if (reset) {
      this.#walkFrom = null;
      for (const request of this.#requests({ now_ns: now, reset: 1 })) {
        await program.runSyscall(request);
      }
    }
    const asked = { now_ns: now, before_ns: this.#walkBegan, pass: this.#pass };
    this.#walkBegan = now;
    let [told, left] = [0, false];
    for (const request of this.#requests(asked)) {
      mirrorWalk.set(request, { most: most - told });
      await program.runSyscall(request);
      const report = mirrorWalk.decode(request);
      told += report.told;
      left = report.left !== 0;
      if (left) break;
    }
    // What is before that place was told; the rest is looked at first.
    if (!left) this.#walkFrom = null;
    const milliseconds = Number(process.hrtime.bigint() - now) / 1e6;
    return { told, left, milliseconds };
  }

  adopt(): number {
    this.#walkFrom = null;
    let adopted = 0;
    for (const request of this.#requests({ now_ns: process.hrtime.bigint(), adopt: 1 })) {
      this.#datapath.mirrorWalk.runSyscallNow(request);
      adopted += mirrorWalk.decode(request).adopted;
    }
    return adopted;
  }

  /** A request for each piece of the flow table, from where the last walk stopped, then for all sources. */
  *#requests(asked: Partial<WalkFields>): Generator<Uint8Array, void, void> {
    const request = (keys: number): Uint8Array => mirrorWalk.encode({ ...NOTHING, ...asked, keys });
    for (const { keys, from } of this.#pieces.pieces(this.#walkFrom)) {
      this.#walkFrom = from;
      yield request(keys);
    }
    this.#walkFrom = null;
    yield request(0);
  }

  dropTheirs(pass: number, next: number): void {
    this.#sweeper.dropTheirs(pass, next);
  }

  take(records: Buffer): Outcomes {
    const outcomes: Record<string, number> = {};
    const count = (name: string): void => {
      outcomes[name] = (outcomes[name] ?? 0) + 1;
    };
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
    let placed = 0;
    for (let at = 0; at + RECORD_BYTES <= records.length; at += RECORD_BYTES) {
      if (recordWrong(view, at) !== null) {
        count(MALFORMED);
        continue;
      }
      this.#place(records.subarray(at, at + RECORD_BYTES), placed++);
      if (placed < MIRROR_BATCH) continue;
      this.#apply(placed, count);
      placed = 0;
    }
    this.#apply(placed, count);
    return outcomes;
  }

  close(): void {
    this.#ring.close();
  }

  #apply(placed: number, count: (name: string) => void): void {
    if (placed === 0) return;
    const request = mirrorTake.encode({
      ...{ now_ns: process.hrtime.bigint(), count: placed },
      full: Number(this.#sweeper.last?.nearlyFull ?? false),
    });
    this.#datapath.mirrorTake.runSyscallNow(request);
    for (let index = 0; index < placed; index++) {
      const outcome = this.#view.getUint32(index * mirrored.size + AT.local, true);
      count(this.#outcomes[outcome] ?? MALFORMED);
    }
  }

  /** Puts a record where the program reads it, with what is this unit's own. */
  #place(record: Buffer, index: number): void {
    const at = index * mirrored.size;
    const view = this.#view;
    this.#room.fill(0, at + RECORD_BYTES, at + mirrored.size);
    this.#room.set(record, at);
    const kind = record[AT.kind];
    if (kind === MIRROR_KIND.gone) return;
    const row = this.#programmer.members.rowOf(record.readBigUInt64LE(AT.identity)) ?? 0;
    view.setUint32(at + AT.member, row, true);
    if (kind === MIRROR_KIND.source) return;
    const address = record.toString('latin1', AT.address, AT.address + 16);
    view.setUint8(at + AT.nat, this.#natRows.get(address) ?? NAT_NONE);
    this.#placeWay(record, at);
    if (row === 0) return;
    const pool = this.#hashed.get(nameAt(record));
    if (pool === undefined) return;
    const hash = record.readUInt32LE(AT.hash);
    if (!this.#programmer.expectEntry(pool, hash, row)) {
      // It goes there by its hash alone: what was told before of it is no longer so.
      view.setUint8(at + AT.kind, MIRROR_KIND.gone);
    }
  }

  #placeWay(record: Buffer, at: number): void {
    const index = record.readUInt32LE(AT.interface);
    if (index === 0) return;
    const outer = record.readUInt16BE(AT.vlan);
    const inner = record.readUInt16BE(AT.vlan + 2);
    const way = this.#ways.find(index, outer & VLAN_ID, inner & VLAN_ID);
    const view = this.#view;
    view.setUint32(at + AT.interface, way?.interface ?? 0, true);
    if (way === null) return;
    const [first = 0, second = 0] = way.vlan;
    const type = first === 0 ? 0 : outer & ~VLAN_ID;
    view.setUint16(at + AT.vlan, first | type);
    view.setUint16(at + AT.vlan + 2, second);
    this.#room.set(way.mac, at + AT.unitMac);
  }

  /** Writes the service of that row as the destination; false when it is gone. */
  #nameService(records: Buffer, at: number, row: number): boolean {
    const service = this.#programmer.services.owner(row);
    if (service === undefined) return false;
    records.set(addressBytes(service.address), at + AT.destination);
    records.writeUInt16BE(service.port, at + AT.destinationPort);
    records.writeUInt8(PROTOCOL[service.protocol], at + AT.protocol);
    records.writeUInt32LE(0, at + AT.hash);
    return true;
  }
}

/** Address, port and protocol of a record's service, as they lie there. */
function nameAt(record: Buffer): string {
  const port = record.toString('latin1', AT.destinationPort, AT.protocol + 1);
  return record.toString('latin1', AT.destination, AT.destination + 16) + port;
}

function serviceName({ address, port, protocol }: ServiceKey): string {
  const end = Uint8Array.of(port >> 8, port & 0xff, PROTOCOL[protocol]);
  return latin(addressBytes(address)) + latin(end);
}

interface ServiceKey {
  readonly address: string;
  readonly port: number;
  readonly protocol: keyof typeof PROTOCOL;
}

function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
