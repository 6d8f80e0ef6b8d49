/**
 * The XDP tier as the rest of the daemon sees it: give it tables and interfaces, ask it
 * for counters, flows and events. It knows rows and maps; nobody else does.
 */
import { cpus } from 'node:os';
import type { CookieState } from '../control/syn-cookies.js';
import type { L4Member, L4Service, L4Tables, L4Unit, MemberKey } from '../control/tables.js';
import { RingBuffer } from '../../native/ffi/ringbuf.js';
import {
  attachInterface,
  makeGeneric,
  type AttachOutcome,
  type FastPathInterface,
} from './attach.js';
import { Datapath, type DatapathOptions } from './datapath.js';
import {
  EVENT_KIND,
  MAX_NAT_ADDRESSES,
  MEMBER_STATE,
  NAT_PORTS,
  event as eventLayout,
  flowKey as flowKeyLayout,
  PROTOCOL,
  protocolName,
} from './layouts.js';
import {
  readCookies,
  readCounters,
  readDrops,
  readFlows,
  readNumbers,
  readTotals,
  flowStateOf,
  type FlowState,
  type CounterSet,
  type TotalsSet,
} from './observe.js';
import { MirrorTable } from './mirror-table.js';
import { PATIENCE, Sweeper, type SweepReport } from './sweeper.js';
import { Prober, type ProbeOutcome, type ProbeRequest } from './prober.js';
import { Programmer, type ProgramReport, type ProgrammerOptions } from './programmer.js';

export interface MemberName {
  readonly pool: string;
  readonly member: MemberKey;
}

export interface L4Flow {
  readonly protocol: string;
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly service: L4Service | undefined;
  readonly address: string;
  readonly port: number;
  readonly member: MemberName | undefined;
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly seenNs: bigint;
}

export interface L4Event {
  readonly kind: 'flow-new' | 'flow-moved' | 'drop';
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly timeNs: bigint;
  readonly protocol: string;
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly address: string;
  readonly port: number;
  readonly service: L4Service | undefined;
  readonly member: MemberName | undefined;
  readonly previous: MemberName | undefined;
  /** drop: the reason's name. */
  readonly reason: string;
}

export interface L4Counters {
  readonly totals: TotalsSet;
  readonly drops: Readonly<Record<string, number>>;
  /** By name of the service. */
  readonly services: ReadonlyMap<string, CounterSet>;
  /** By `POOL/MEMBERKEY`. */
  readonly members: ReadonlyMap<string, MemberCounterSet>;
}

/** What a member's row counts. */
export interface MemberCounterSet extends CounterSet {
  /** Flows that are active now; only those that have an entry in the flow table are counted. */
  readonly active: number;
}

export class L4Tier {
  readonly datapath: Datapath;
  readonly #programmer: Programmer;
  readonly #events: RingBuffer;
  readonly #sweeper: Sweeper;
  readonly #prober: Prober;
  /** Its flows as the other unit of a pair sees them. */
  readonly mirror: MirrorTable;
  #tables: Pick<L4Tables, 'services' | 'pools'> & {
    readonly unit: Pick<L4Unit, 'natAddresses'>;
  } = { unit: { natAddresses: [] }, services: new Map(), pools: new Map() };
  #outcomes: AttachOutcome[] = [];

  constructor(
    options: DatapathOptions &
      ProgrammerOptions & { readonly onSweepError: (error: unknown) => void },
  ) {
    this.datapath = Datapath.open(options);
    try {
      this.#programmer = new Programmer(this.datapath.kernel, {
        halfOpen: halfOpenLimit(this.datapath.map('flows').maxEntries, cpus().length),
        ...options,
      });
      this.#events = RingBuffer.open(this.datapath.map('events'));
      this.#prober = new Prober(this.datapath, this.#programmer);
      this.#sweeper = new Sweeper(this.datapath, this.#programmer, options.onSweepError);
      this.mirror = new MirrorTable({
        ...{ datapath: this.datapath, programmer: this.#programmer, sweeper: this.#sweeper },
        id: this.datapath.tableId,
      });
    } catch (cause) {
      this.datapath.close();
      throw cause;
    }
  }

  /** Becomes readable when there are events; see `drainEvents`. */
  get eventsFd(): number {
    return this.#events.fd;
  }

  /** Milliseconds since 1970: when this or an earlier run pinned the counters. */
  get countingSince(): number {
    return this.datapath.pinnedSince;
  }

  /** Services in the fast path now, also those of an earlier run. */
  get programmedServices(): number {
    return this.#programmer.services.used;
  }

  /** What a member was for the fast path before this daemon started; null for one it did not know. */
  adoptedState(name: MemberName): 'serving' | 'draining' | 'down' | null {
    const state = this.#programmer.members.adoptedState(name.pool, name.member);
    if (state === MEMBER_STATE.serving) return 'serving';
    if (state === MEMBER_STATE.draining) return 'draining';
    return state === MEMBER_STATE.down ? 'down' : null;
  }

  /** Throws CapacityError when `tables` would not fit. */
  checkCapacity(tables: L4Tables): void {
    this.#programmer.checkCapacity(tables);
  }

  /** Throws when the kernel refuses; the next call goes on from there. */
  program(tables: L4Tables): ProgramReport {
    const report = this.#programmer.program(tables);
    this.#tables = tables;
    this.mirror.follow(tables);
    return report;
  }

  /**
   * Attaches to these interfaces and to no others, but leaves those alone that are `present`
   * and only cannot be looked at now. Programs the tables first: an attached interface must
   * find its services there.
   */
  attach(
    interfaces: readonly FastPathInterface[],
    present: ReadonlySet<number>,
  ): readonly AttachOutcome[] {
    const before = new Map(this.#outcomes.map((outcome) => [outcome.interface.index, outcome]));
    const outcomes = interfaces.map((wanted) =>
      attachInterface(this.datapath, wanted, before.get(wanted.index)),
    );
    const generic = outcomes.find(({ attachment }) => attachment?.mode === 'generic');
    this.#outcomes = outcomes.map((outcome) =>
      generic !== undefined && outcome.attachment?.mode === 'native'
        ? makeGeneric(this.datapath, outcome, generic.interface.name)
        : outcome,
    );
    this.datapath.detachOthers(present);
    return this.#outcomes;
  }

  /** Whether the program still runs wherever it was attached: somebody may have taken it off. */
  get intact(): boolean {
    return this.#outcomes.every(
      ({ attachment }) => attachment === null || this.datapath.current(attachment) === attachment,
    );
  }

  get outcomes(): readonly AttachOutcome[] {
    return this.#outcomes;
  }

  counters(): L4Counters {
    const { members, services } = this.#programmer;
    const serviceRows = readCounters(this.datapath.map('service_counters'), services.end);
    const memberRows = readCounters(this.datapath.map('member_counters'), members.end);
    const byService = new Map<string, CounterSet>();
    for (const service of this.#tables.services.values()) {
      const counters = serviceRows[services.row(service) ?? -1];
      if (counters !== undefined) byService.set(service.name, counters);
    }
    const active = readNumbers(this.datapath.map('member_active'), members.end);
    const byMember = new Map<string, MemberCounterSet>();
    for (const [pool, { members: list }] of this.#tables.pools) {
      for (const { id, key } of list) {
        const row = members.row(pool, key) ?? -1;
        const counters = memberRows[row];
        if (counters !== undefined) byMember.set(id, { ...counters, active: active[row] ?? 0 });
      }
    }
    return {
      totals: readTotals(this.datapath.map('totals')),
      drops: readDrops(this.datapath),
      services: byService,
      members: byMember,
    };
  }

  /** Flows of each service that are active now: those that the flow table holds. */
  activeFlows(): ReadonlyMap<string, number> {
    const { services } = this.#programmer;
    const active = readNumbers(this.datapath.map('service_active'), services.end);
    return new Map(
      [...this.#tables.services.values()].map((service) => [
        service.name,
        active[services.row(service) ?? -1] ?? 0,
      ]),
    );
  }

  /** SYN cookies of every service that may have them, by name. */
  cookies(): ReadonlyMap<string, CookieState> {
    const { services } = this.#programmer;
    const now = Number(process.hrtime.bigint());
    const rows = readCookies(this.datapath.map('cookies'), services.end, now);
    const found = new Map<string, CookieState>();
    for (const service of this.#tables.services.values()) {
      const counters = rows[services.row(service) ?? -1];
      if (service.synCookies === 'off' || counters === undefined) continue;
      const { active, ...counted } = counters;
      const always = service.synCookies === 'always';
      found.set(service.name, { on: active || always, always, ...counted });
    }
    return found;
  }

  /** Flows of clients that the table holds, in batches, as long as the caller asks. */
  *flows(wanted: {
    readonly service?: L4Service;
    readonly members?: readonly MemberName[];
  }): Generator<L4Flow[], void, void> {
    const { members, services } = this.#programmer;
    const rows = wanted.members?.map(({ pool, member }) => members.row(pool, member) ?? -1);
    const only = {
      ...(wanted.service === undefined ? {} : { service: services.row(wanted.service) ?? -1 }),
      ...(rows === undefined ? {} : { members: new Set(rows) }),
    };
    for (const batch of readFlows(this.datapath.map('flows'), only)) {
      yield batch.map((flow) => {
        const owner = members.owner(flow.member);
        const current = owner !== undefined && members.generation(flow.member) === flow.generation;
        return {
          protocol: protocolName(flow.protocol),
          clientAddress: flow.clientAddress,
          clientPort: flow.clientPort,
          service: services.owner(flow.serviceRow),
          address: flow.serviceAddress,
          port: flow.servicePort,
          member: current ? nameOf(owner) : undefined,
          seenNs: flow.seenNs,
        };
      });
    }
  }

  /** What the flow table says of a flow that began. */
  flowState(flow: L4Event): FlowState {
    const key = flowKeyLayout.encode({
      source: flow.clientAddress,
      destination: flow.address,
      source_port: flow.clientPort,
      destination_port: flow.port,
      protocol: flow.protocol === 'udp' ? PROTOCOL.udp : PROTOCOL.tcp,
    });
    const entry = this.datapath.map('flows').lookup(key);
    return entry === null
      ? { state: 'hash', idleMs: null }
      : flowStateOf(entry, process.hrtime.bigint());
  }

  /** Hands over what the ring holds. */
  drainEvents(listener: (event: L4Event) => void): void {
    const { members, services } = this.#programmer;
    this.#events.drain((record) => {
      const raw = eventLayout.decode(record);
      const kind = EVENT_NAMES.get(raw.kind);
      if (kind === undefined) return;
      listener({
        kind,
        timeNs: raw.time_ns,
        protocol: protocolName(raw.flow.protocol),
        clientAddress: raw.flow.source,
        clientPort: raw.flow.source_port,
        address: raw.flow.destination,
        port: raw.flow.destination_port,
        service: services.owner(raw.service),
        member: nameOf(members.owner(raw.member)),
        previous: nameOf(members.owner(raw.previous)),
        reason: this.datapath.dropReasons[raw.reason] ?? `reason ${raw.reason}`,
      });
    });
  }

  /** Entries of access lists in the fast path, and how many fit. */
  accessUsage(): readonly [number, number] {
    return [this.#programmer.accessUsed, this.datapath.kernel.limits.access];
  }

  /** Entries and limits of the tables that can fill up; null where counting would cost too much. */
  usage(): { name: string; entries: number | null; limit: number }[] {
    const { members, services } = this.#programmer;
    return [
      { name: 'services', entries: services.used, limit: this.datapath.kernel.limits.services },
      { name: 'members', entries: members.used, limit: this.datapath.kernel.limits.members },
      {
        name: 'lookup',
        entries: this.#programmer.chunksUsed,
        limit: this.#programmer.chunksTotal,
      },
      {
        name: 'access',
        entries: this.#programmer.accessUsed,
        limit: this.datapath.kernel.limits.access,
      },
      {
        name: 'flows',
        entries: this.#sweeper.last?.entries ?? null,
        limit: this.datapath.map('flows').maxEntries,
      },
      {
        name: 'persistence',
        entries: this.#sweeper.last?.sources ?? null,
        limit: this.datapath.map('persistence').maxEntries,
      },
      ...this.#natUsage(),
    ];
  }

  /** Ports that each address of full nat has in use, of those that it has towards all members. */
  #natUsage(): { name: string; entries: number; limit: number }[] {
    const { natAddresses } = this.#tables.unit;
    if (natAddresses.length === 0) return [];
    const used = readNumbers(this.datapath.map('nat_ports'), 2 * MAX_NAT_ADDRESSES);
    const endpoints = new Map<boolean, Set<string>>([
      [false, new Set()],
      [true, new Set()],
    ]);
    for (const service of this.#tables.services.values()) {
      if (service.forwarding !== 'full-nat') continue;
      for (const { address, port } of this.#tables.pools.get(service.pool)?.members ?? []) {
        const name = `${service.protocol} ${address} ${port || service.port}`;
        endpoints.get(address.includes(':'))?.add(name);
      }
    }
    return natAddresses.map((address) => {
      const six = address.includes(':');
      const same = natAddresses.filter((other) => other.includes(':') === six);
      const row = (six ? MAX_NAT_ADDRESSES : 0) + same.indexOf(address);
      return {
        name: `nat ports of ${address}`,
        entries: used[row] ?? 0,
        limit: (endpoints.get(six)?.size ?? 0) * NAT_PORTS,
      };
    });
  }

  /** Sends one packet to a member through the program. Throws when the kernel refuses. */
  probe(request: ProbeRequest): Promise<ProbeOutcome> {
    return this.#prober.probe(request);
  }

  /** Begins to remove flows whose time is over, once a second or as often as it may cost. */
  startSweeping(): void {
    this.#sweeper.start();
  }

  /** Which of two units of a pair this is: full nat takes the even or the odd ports. */
  setPortHalf(half: 0 | 1): void {
    this.#programmer.setNatHalf(half);
  }

  /** Which frames are for this unit, by the MAC addresses (6 bytes) of its interfaces; none: all are. */
  setOwnMacs(macs: readonly Uint8Array[]): void {
    this.#programmer.setOwnMacs(macs);
  }

  /** One walk over the flow table. Throws when the kernel refuses. */
  sweepNow(): Promise<SweepReport> {
    return this.#sweeper.sweep();
  }

  /** What the last walk over the flow table saw; null before the first. */
  get sweep(): SweepReport | null {
    return this.#sweeper.last;
  }

  /** Lets go; traffic flows on. */
  async close(): Promise<void> {
    await this.#sweeper.close();
    this.#events.close();
    this.mirror.close();
    this.datapath.close();
  }
}

/**
 * How many handshakes of a service a CPU may see left open in a second before it answers SYNs by
 * cookies: so many that the flow table, with two entries each, holds them until they are given up.
 */
export function halfOpenLimit(flows: number, processors: number): number {
  return Math.max(64, Math.floor(flows / 2 / (PATIENCE.tcpOpen + 1) / processors));
}

const EVENT_NAMES = new Map<number, L4Event['kind']>([
  [EVENT_KIND.flowNew, 'flow-new'],
  [EVENT_KIND.flowMoved, 'flow-moved'],
  [EVENT_KIND.drop, 'drop'],
]);

function nameOf(
  owner: { readonly pool: string; readonly member: L4Member } | undefined,
): MemberName | undefined {
  return owner === undefined ? undefined : { pool: owner.pool, member: owner.member.key };
}
