/**
 * The XDP program under test with tables of its own, and packet cases against it.
 *
 * Invariant: every case starts from empty tables and the scene it sets up, so cases run in any
 * order; `close` leaves nothing in the kernel.
 */
import { fileURLToPath } from 'node:url';
import type { BpfMap } from '../../native/ffi/libbpf.js';
import { BpfObject, possibleCpus, type TestResult } from '../../native/ffi/libbpf.js';
import { RingBuffer } from '../../native/ffi/ringbuf.js';
import { settings as settingsLayout } from '../../appliance/l4/layouts.js';
import { placeOwnMacs } from '../../appliance/l4/own-mac-places.js';
import { addressBytes, macBytes, mappedBytes, type Protocol } from './packets.js';

export const objectPath = fileURLToPath(new URL('../../native/bpf/weir.bpf.o', import.meta.url));

export type Forwarding = 'dsr' | 'nat' | 'tunnel' | 'full-nat';
export type Choice =
  'flow-hash' | 'source-hash' | 'source-destination-hash' | 'cursor' | 'random' | 'least';
export type MemberState = 'free' | 'serving' | 'draining' | 'down';

const forwardings = { dsr: 1, nat: 2, tunnel: 3, 'full-nat': 4 } as const;
const choices = {
  'flow-hash': 0,
  'source-hash': 1,
  'source-destination-hash': 2,
  cursor: 3,
  random: 4,
  least: 5,
} as const;
export const serviceFlags = {
  track: 1,
  resetLost: 2,
  resetDown: 4,
  persist: 8,
  quic: 16,
  cookies: 32,
  cookiesAlways: 64,
} as const;
/** In place of a former member: only entries tell. */
export const previousEntries = 0xffff_ffff;
const states = { free: 0, serving: 1, draining: 2, down: 3 } as const;
const protocols = { tcp: 6, udp: 17 } as const;

/** Names of enum weir_drop_reason in tables.h, in order. */
export const dropReasons = [
  'NONE',
  'MALFORMED',
  'FRAGMENT',
  'TTL_EXCEEDED',
  'NO_MEMBER',
  'NO_FLOW',
  'FLOW_CONFLICT',
  'FLOW_TABLE',
  'REDIRECT',
  'IP_CHECKSUM',
  'TCP_FLAGS',
  'TOO_BIG',
  'NAT_PORTS',
  'ICMP',
  'HEADROOM',
  'DENIED',
  'RATE_LIMIT',
  'CONNECTION_LIMIT',
  'COOKIE',
  'COOKIE_EARLY',
] as const;
export type DropReason = (typeof dropReasons)[number];

const actions = ['aborted', 'drop', 'pass', 'tx', 'redirect'] as const;
export type Action = (typeof actions)[number];

const eventKinds = ['none', 'flow-new', 'flow-moved', 'drop'] as const;

export interface Event {
  readonly kind: (typeof eventKinds)[number];
  readonly service: number;
  readonly member: number;
  readonly previous: number;
  readonly reason: DropReason;
  readonly timeNs: bigint;
  readonly sourcePort: number;
}

export interface ServiceSpec {
  readonly id: number;
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly forwarding: Forwarding;
  /** Rows, slot by slot. */
  readonly table: readonly number[];
  readonly choice?: Choice;
  /** Of serviceFlags, added up; nat and full-nat always track. */
  readonly flags?: number;
  /** Bits of 128 that persistence looks at, and for how many seconds. */
  readonly prefix?: number;
  readonly persistence?: number;
  readonly mss?: number;
  readonly guePort?: number;
  /** Bits of enum weir_protect_flags. */
  readonly protect?: number;
}

export interface MemberSpec {
  readonly row: number;
  readonly address: string;
  readonly port?: number;
  readonly mac: string;
  readonly sourceMac: string;
  readonly state?: MemberState;
  readonly interface?: number;
  readonly generation?: number;
  readonly weight?: number;
  readonly mtu?: number;
  readonly vlan?: readonly number[];
}

export interface Counters {
  readonly packets: number;
  readonly bytes: number;
  readonly flows: number;
  readonly replyPackets: number;
  readonly replyBytes: number;
  readonly answers: number;
  readonly resets: number;
}

export interface Tuple {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: Protocol;
}

/** A flow entry as C lays it out (struct weir_flow), with what tests change or look at. */
export interface FlowEntry {
  readonly member: number;
  readonly generation: number;
  readonly service: number;
  readonly direction: 'forward' | 'reply';
  readonly closing: number;
  readonly interface: number;
  readonly seenNs: bigint;
  readonly clientMac: string;
  readonly flags: number;
  readonly address: string;
  readonly port: number;
}

/** Seed of the hash unless told otherwise. */
export const seed = 0x5eed;
const chunkSlots = 8;
const slotWords = 2;
const lookupChunks = 2048;

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** Sources of tunnels, to whose last bytes the hash is added. */
export const tunnelSource = { ipv4: '198.18.0.0', ipv6: '100::' } as const;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

export class Datapath {
  readonly #object: BpfObject;
  readonly #ring: RingBuffer;
  readonly #lookup: Uint32Array;
  readonly #recent: Uint8Array;
  #nextChunk = 0;
  readonly #chunks = new Map<number, number>();

  private constructor(object: BpfObject) {
    this.#object = object;
    this.#ring = RingBuffer.open(object.map('events'));
    this.#lookup = new Uint32Array(
      object.map('lookup').mmap().buffer,
      0,
      lookupChunks * chunkSlots * slotWords,
    );
    this.#recent = new Uint8Array(object.map('recent').mmap().buffer);
  }

  /** @param entries of further tables, by name */
  static open(flows = 4096, entries: ReadonlyMap<string, number> = new Map()): Datapath {
    const object = BpfObject.open(objectPath, {
      mapMaxEntries: new Map([['flows', flows], ['lookup', lookupChunks], ...entries]),
    });
    try {
      return new Datapath(object.load());
    } catch (cause) {
      object.close();
      throw cause;
    }
  }

  get object(): BpfObject {
    return this.#object;
  }

  close(): void {
    this.#ring.close();
    this.#object.close();
  }

  /** Empty tables, zero counters, defaults in settings. */
  reset(): void {
    const tables = [
      'services',
      'addresses',
      'flows',
      'reply_sources',
      'ports',
      'fragments',
      'persistence',
      'quic_servers',
      'access',
      'source_active',
    ];
    for (const name of tables) {
      const map = this.map(name);
      map.deleteBatch(map.readAll().keys);
    }
    const zero = (name: string, rows: number): void => {
      const map = this.map(name);
      const empty = new Uint8Array(map.valueBytes);
      for (let row = 0; row < rows; row++) map.update(u32(row), empty);
    };
    zero('members', 16);
    zero('member_counters', 16);
    zero('service_counters', 16);
    zero('drops', dropReasons.length);
    zero('totals', 1);
    zero('event_budget', dropReasons.length + 2);
    for (const name of ['protection', 'member_limits', 'service_due', 'member_due']) zero(name, 16);
    zero('placements', 16);
    zero('member_active', 16);
    zero('service_active', 16);
    zero('cursors', 16);
    zero('nat_ports', 128);
    zero('scratch', 1);
    zero('cookies', 16);
    this.#lookup.fill(0);
    this.#recent.fill(0);
    this.#nextChunk = 0;
    this.#chunks.clear();
    this.#ring.drain(() => undefined);
    this.settings({});
  }

  map(name: string): BpfMap {
    return this.#object.map(name);
  }

  settings(values: {
    readonly eventsPerSecond?: number;
    readonly natServices?: number;
    readonly seed?: number;
    readonly errorsPerSecond?: number;
    readonly natHalf?: 0 | 1;
    /** Handshakes left open, from which on SYNs get cookies. */
    readonly halfOpen?: number;
    /** Addresses that full nat speaks from. */
    readonly natAddresses?: readonly string[];
    /** The running pass of the mirror. */
    readonly mirror?: number;
    /** MAC addresses that frames for the unit have; left out: any. */
    readonly ownMacs?: readonly string[];
  }): void {
    const bytes = new Uint8Array(settingsLayout.size);
    const view = new DataView(bytes.buffer);
    const addresses = values.natAddresses ?? [];
    const six = addresses.filter((address) => address.includes(':'));
    const four = addresses.filter((address) => !address.includes(':'));
    view.setUint32(0, values.eventsPerSecond ?? 1000, true);
    view.setUint32(4, values.natServices ?? 1, true);
    view.setUint32(8, values.seed ?? seed, true);
    bytes.set(addressBytes(tunnelSource.ipv4), 12);
    bytes.set(Uint8Array.of(0, 0, 0xff, 0xff), 16);
    view.setUint32(20, four.length, true);
    view.setUint32(24, six.length, true);
    view.setUint16(28, values.natHalf ?? 0, true);
    view.setUint16(30, values.errorsPerSecond ?? 1000, true);
    bytes.set(addressBytes(tunnelSource.ipv6), 32);
    view.setUint32(52, values.halfOpen ?? 1000, true);
    view.setUint32(56, values.mirror ?? 0, true);
    view.setUint32(60, Number(values.ownMacs !== undefined), true);
    const places = placeOwnMacs((values.ownMacs ?? []).map(macBytes), 0n);
    view.setBigUint64(64, places?.factor ?? 0n, true);
    places?.macs.forEach((mac, place) => bytes.set(mac, 72 + 8 * place));
    four.forEach((address, row) => {
      this.map('nat_addresses').update(u32(row), mappedBytes(address));
    });
    six.forEach((address, row) => {
      this.map('nat_addresses').update(u32(64 + row), mappedBytes(address));
    });
    this.map('settings').update(u32(0), bytes);
  }

  service(spec: ServiceSpec): void {
    const key = new Uint8Array(20);
    key.set(mappedBytes(spec.address));
    new DataView(key.buffer).setUint16(16, spec.port);
    key[18] = protocols[spec.protocol];
    const chunk = this.table(spec.id, spec.table);
    const choice = choices[spec.choice ?? 'flow-hash'];
    const tracks = spec.forwarding === 'nat' || spec.forwarding === 'full-nat' || choice > 2;
    const flags = (spec.flags ?? 0) | (tracks ? serviceFlags.track : 0);
    const value = new Uint8Array(28);
    const view = new DataView(value.buffer);
    view.setUint32(0, spec.id, true);
    view.setUint32(4, chunk, true);
    view.setUint32(8, spec.table.length, true);
    view.setUint8(12, forwardings[spec.forwarding]);
    view.setUint8(13, choice);
    view.setUint8(14, flags);
    view.setUint8(15, spec.prefix ?? 0);
    view.setUint32(16, spec.persistence ?? 0, true);
    view.setUint16(20, spec.mss ?? 0, true);
    view.setUint16(22, spec.guePort ?? 0);
    view.setUint8(24, spec.protect ?? 0);
    this.map('services').update(key, value);
    const placement = new Uint8Array(12);
    const placed = new DataView(placement.buffer);
    placed.setUint32(0, chunk, true);
    placed.setUint32(4, spec.table.length, true);
    placed.setUint8(8, choice);
    placed.setUint8(9, flags);
    placed.setUint16(10, spec.mss ?? 0, true);
    this.map('placements').update(u32(spec.id), placement);
    this.map('addresses').update(mappedBytes(spec.address), u32(1));
  }

  /** Writes the lookup table of a service; the same number of slots lands in the same place. */
  table(id: number, rows: readonly number[]): number {
    let chunk = this.#chunks.get(id);
    if (chunk === undefined) {
      chunk = this.#nextChunk;
      this.#nextChunk += Math.ceil(rows.length / chunkSlots);
      this.#chunks.set(id, chunk);
    }
    rows.forEach((row, slot) => {
      this.#lookup[((chunk ?? 0) * chunkSlots + slot) * slotWords] = row;
    });
    return chunk;
  }

  /** Names the former member of every slot of a service's table. */
  previous(id: number, slots: number, row: number): void {
    this.previousSlots(id, new Array<number>(slots).fill(row));
  }

  /** The same slot by slot. */
  previousSlots(id: number, rows: readonly number[]): void {
    const chunk = this.#chunks.get(id);
    if (chunk === undefined) throw new Error(`service ${id} has no table`);
    rows.forEach((row, slot) => {
      this.#lookup[(chunk * chunkSlots + slot) * slotWords + 1] = row;
    });
  }

  /** Makes every UDP flow look as if it was never seen, or seen just now. */
  recent(epochsAgo: number | 'never'): void {
    const now = Number((process.hrtime.bigint() >> 32n) % 255n);
    this.#recent.fill(epochsAgo === 'never' ? 0 : ((now - epochsAgo + 255) % 255) + 1);
  }

  /** Number of flows of a member, or of a service, that count as active. */
  active(of: 'member' | 'service', row: number): number {
    const value = this.map(`${of}_active`).lookup(u32(row));
    if (value === null) throw new Error(`no row ${row}`);
    return new DataView(value.buffer, value.byteOffset).getUint32(0, true);
  }

  /** Cookies of a service: sent, accepted and rejected. */
  cookies(id: number): { sent: number; accepted: number; rejected: number } {
    return {
      sent: this.#sum('cookies', id, 4),
      accepted: this.#sum('cookies', id, 5),
      rejected: this.#sum('cookies', id, 6),
    };
  }

  /** Makes what every CPU knows of a service's cookies look so many seconds older. */
  ageCookies(id: number, seconds: number): void {
    const map = this.map('cookies');
    const value = map.lookup(u32(id));
    if (value === null) throw new Error(`no row ${id}`);
    const view = new DataView(value.buffer, value.byteOffset);
    const older = BigInt(seconds) * 1_000_000_000n;
    for (let at = 0; at < map.valueBytes; at += map.valueBytes / possibleCpus) {
      for (const field of [0, 8]) {
        const time = view.getBigUint64(at + field, true);
        view.setBigUint64(at + field, time > older ? time - older : 0n, true);
      }
    }
    map.update(u32(id), value);
  }

  /** Ports of a full nat address that are in use; `row` as in nat_addresses. */
  natPorts(row: number): number {
    const value = this.map('nat_ports').lookup(u32(row));
    if (value === null) throw new Error(`no row ${row}`);
    return new DataView(value.buffer, value.byteOffset).getUint32(0, true);
  }

  /** The member that a QUIC server id names. */
  quicServer(service: number, server: number, row: number): void {
    const key = new Uint8Array(8);
    new DataView(key.buffer).setUint32(0, service, true);
    new DataView(key.buffer).setUint16(4, server);
    this.map('quic_servers').update(key, u32(row));
  }

  member(spec: MemberSpec): void {
    const bytes = new Uint8Array(64);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(spec.row), true);
    bytes.set(mappedBytes(spec.address), 8);
    view.setUint16(24, spec.port ?? 0);
    bytes.set(macBytes(spec.mac), 26);
    bytes.set(macBytes(spec.sourceMac), 32);
    view.setUint8(38, states[spec.state ?? 'serving']);
    view.setUint32(40, spec.interface ?? 1, true);
    view.setUint32(44, spec.generation ?? 1, true);
    view.setUint16(48, spec.weight ?? 1, true);
    view.setUint16(50, spec.mtu ?? 0, true);
    view.setUint16(52, spec.vlan?.[0] ?? 0);
    view.setUint16(54, spec.vlan?.[1] ?? 0);
    this.map('members').update(u32(spec.row), bytes);
  }

  replySource(address: string, port: number, protocol: Protocol): void {
    const key = new Uint8Array(20);
    key.set(mappedBytes(address));
    new DataView(key.buffer).setUint16(16, port);
    key[18] = protocols[protocol];
    this.map('reply_sources').update(key, u32(1));
  }

  port(interfaceIndex: number): void {
    this.map('ports').update(u32(interfaceIndex), u32(interfaceIndex));
  }

  #flowKey(tuple: Tuple): Uint8Array {
    const key = new Uint8Array(40);
    key.set(mappedBytes(tuple.source));
    key.set(mappedBytes(tuple.destination), 16);
    const view = new DataView(key.buffer);
    view.setUint16(32, tuple.sourcePort);
    view.setUint16(34, tuple.destinationPort);
    view.setUint8(36, protocols[tuple.protocol]);
    return key;
  }

  flow(tuple: Tuple): FlowEntry | null {
    const value = this.map('flows').lookup(this.#flowKey(tuple));
    if (value === null) return null;
    const view = new DataView(value.buffer);
    return {
      member: view.getUint32(0, true),
      generation: view.getUint32(4, true),
      service: view.getUint32(8, true),
      direction: view.getUint8(14) === 0 ? 'forward' : 'reply',
      closing: view.getUint8(15),
      clientMac: macText(value.subarray(32, 38)),
      interface: view.getUint32(44, true),
      seenNs: view.getBigUint64(48, true),
      flags: view.getUint8(74),
      address: hex(value.subarray(16, 32)),
      port: view.getUint16(12),
    };
  }

  /** Changes bytes of a flow entry (struct weir_flow). */
  patch(tuple: Tuple, change: (entry: DataView) => void): void {
    const key = this.#flowKey(tuple);
    const value = this.map('flows').lookup(key);
    if (value === null) throw new Error('there is no such flow to change');
    change(new DataView(value.buffer));
    this.map('flows').update(key, value);
  }

  /** Makes an entry look as if its last packet came so many seconds ago. */
  age(tuple: Tuple, seconds: number): void {
    const seen = process.hrtime.bigint() - BigInt(seconds) * 1_000_000_000n;
    this.patch(tuple, (entry) => {
      entry.setBigUint64(48, seen, true);
    });
  }

  forget(tuple: Tuple): boolean {
    return this.map('flows').delete(this.#flowKey(tuple));
  }

  run(frame: Uint8Array, ingressInterface?: number): TestResult & { readonly verdict: Action } {
    const result = this.#object.program('weir_xdp').testRun({
      data: frame,
      ...(ingressInterface === undefined ? {} : { ingressInterface }),
    });
    return { ...result, verdict: actions[result.action] ?? 'aborted' };
  }

  #sum(name: string, row: number, field: number): number {
    const map = this.map(name);
    const value = map.lookup(u32(row));
    if (value === null) throw new Error(`no row ${row} in ${name}`);
    const view = new DataView(value.buffer, value.byteOffset);
    let sum = 0n;
    for (let cpu = 0; cpu < possibleCpus; cpu++) {
      sum += view.getBigUint64((cpu * map.valueBytes) / possibleCpus + field * 8, true);
    }
    return Number(sum);
  }

  #counters(name: string, row: number): Counters {
    return {
      packets: this.#sum(name, row, 0),
      bytes: this.#sum(name, row, 1),
      flows: this.#sum(name, row, 2),
      replyPackets: this.#sum(name, row, 3),
      replyBytes: this.#sum(name, row, 4),
      answers: this.#sum(name, row, 5),
      resets: this.#sum(name, row, 7),
    };
  }

  serviceCounters(id: number): Counters {
    return this.#counters('service_counters', id);
  }

  memberCounters(row: number): Counters {
    return this.#counters('member_counters', row);
  }

  /** Reasons that dropped something, with how often. */
  drops(): Partial<Record<DropReason, number>> {
    const found: Partial<Record<DropReason, number>> = {};
    dropReasons.forEach((reason, row) => {
      const count = this.#sum('drops', row, 0);
      if (count > 0) found[reason] = count;
    });
    return found;
  }

  totals(): { passed: number; echoReplies: number; eventsLost: number; errorsSent: number } {
    return {
      passed: this.#sum('totals', 0, 0),
      echoReplies: this.#sum('totals', 0, 1),
      eventsLost: this.#sum('totals', 0, 2),
      errorsSent: this.#sum('totals', 0, 3),
    };
  }

  events(): Event[] {
    const found: Event[] = [];
    this.#ring.drain((record) => {
      const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
      found.push({
        timeNs: view.getBigUint64(0, true),
        sourcePort: view.getUint16(8 + 32),
        service: view.getUint32(48, true),
        member: view.getUint32(52, true),
        previous: view.getUint32(56, true),
        kind: eventKinds[view.getUint8(60)] ?? 'none',
        reason: dropReasons[view.getUint8(61)] ?? 'NONE',
      });
    });
    return found;
  }
}
