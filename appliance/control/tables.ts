/**
 * The tables: what the compiler makes and the tiers execute. Plain data, no
 * behaviour, no identifiers of any tier: rows, offsets and kernel indices belong to
 * the tier that programs them.
 *
 * Invariant: an object that did not change keeps its identity (`===`) from one
 * compilation to the next, which is what makes a change of one member cheap.
 */
import type { Muster } from '../balance/quorum.js';
import type { MonitorSettings } from '../config/schema.js';
import type { L7Tables } from '../l7/tables.js';
import type { AccessSet } from './access-sets.js';
import type { PairTables } from './compile-pair.js';

/** How the fast path hands a packet to a member. */
export type L4Forwarding = 'dsr' | 'nat' | 'tunnel' | 'full-nat';

/** `ADDRESS:PORT`, `[ADDRESS]:PORT`, or the address alone when the port is the service's own. */
export type MemberKey = string;

/** Where a frame for an address leaves the unit: the device that the program is on. MAC addresses are 6 bytes. */
export interface NextHop {
  readonly interfaceIndex: number;
  readonly interfaceName: string;
  /** Identifiers of the VLAN tags that its frames carry, the outermost first, at most two. */
  readonly vlan?: readonly number[];
  /** Longest IP packet that it takes, in bytes; left out: any. */
  readonly mtu?: number;
  readonly mac: Uint8Array;
  readonly sourceMac: Uint8Array;
}

/**
 * `standby`: a backup that is not needed now. `at-need`: down by its monitor and used all the
 * same, since too few serve. `drained`: drained for as long as the document allows, so down.
 */
export type MemberStanding = 'standby' | 'at-need' | 'drained';

export interface L4Member {
  /** `POOL/MEMBERKEY`: names it among all pools. */
  readonly id: string;
  readonly key: MemberKey;
  readonly address: string;
  /** 0: the service's own port. */
  readonly port: number;
  /** Effective weight now, 0 … 65,535, in the unit of its pool, as the algorithm uses it. */
  readonly weight: number;
  /** The weight in the document. */
  readonly configuredWeight: number;
  /** What names it in connection ids of QUIC, where the document says so. */
  readonly quicId: number | null;
  /** The administrator's word. */
  readonly setting: 'enabled' | 'draining' | 'disabled';
  /** What the fast path does with it. */
  readonly state: 'serving' | 'draining' | 'down';
  /** What is out of the ordinary about its state. */
  readonly standing?: MemberStanding;
  /** Why, in a few words for people: `enabled`, `monitor: connection refused`, `no MAC address known` … */
  readonly reason: string;
  readonly nextHop: NextHop | null;
}

/** How the fast path picks a slot of `lookup` for a new flow. */
export type L4Choice =
  /** maglev: hash of addresses, ports and protocol. */
  | 'flow-hash'
  /** ip-hash, by source address. */
  | 'source-hash'
  /** ip-hash, by source and destination address. */
  | 'source-destination-hash'
  /** round-robin, weighted-round-robin: slot = next of a shared counter modulo slots. */
  | 'cursor'
  /** A random slot. */
  | 'random'
  /** `lookup` lists each member that can serve once; the least (active flows + 1) ÷ weight wins. */
  | 'least';

/**
 * What the fast path does with a new flow while no member can serve. The language's serve-all and
 * fallback pool are resolved by the compiler.
 */
export type L4WhenDown = 'drop' | 'reset';

/** What becomes of a TCP flow whose member is down: chosen again, or answered with a reset. */
export type L4OnMemberDown = 'rehash' | 'reset';

export interface L4Pool {
  readonly name: string;
  readonly members: readonly L4Member[];
  readonly choice: L4Choice;
  /** Slot to index in `members`; for the hashes a power of two of slots; none while no member can serve. */
  readonly lookup: Uint32Array;
  readonly whenDown: L4WhenDown;
  readonly onMemberDown: L4OnMemberDown;
}

export interface L4Service {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly forwarding: L4Forwarding;
  readonly pool: string;
  /** New flows follow the last one of their source. */
  readonly persistence: L4Persistence | null;
  /** Largest TCP segment that members and clients may announce; 0: any. */
  readonly mss: number;
  /** When SYNs are answered by cookies; off for all but tcp by nat and full-nat. */
  readonly synCookies: 'auto' | 'always' | 'off';
  /** Connection ids of QUIC name the member. */
  readonly quic: boolean;
  /** tunnel: UDP port of GUE; 0: IP in IP. */
  readonly guePort: number;
}

export interface L4Persistence {
  /** How long a source is remembered after its last flow, seconds. */
  readonly seconds: number;
  /** Bits of its address that count, of 32 or 128. */
  readonly prefix: number;
}

/** What belongs to the unit as a whole. */
export interface L4Unit {
  /** Sources of tunnels: the hash of the flow stands in the host bits. `ADDRESS/BITS`. */
  readonly tunnelSource4: string;
  readonly tunnelSource6: string;
  /** Addresses of the unit that full nat speaks from. */
  readonly natAddresses: readonly string[];
}

/** Of a unit without a document. */
export const NO_UNIT: L4Unit = {
  tunnelSource4: '0.0.0.0/32',
  tunnelSource6: '::/96',
  natAddresses: [],
};
/** How fast flows may begin: one each `costNs`, after as many at once as fit into `burstNs`. */
export interface L4Rate {
  readonly costNs: bigint;
  /** (burst - 1) × costNs. */
  readonly burstNs: bigint;
}

/** What protects a service. A number of 0 and a rate of null are no limit. */
export interface L4ServiceProtection {
  readonly access: AccessSet | null;
  /** `auto`: what the tier's flow table can take. */
  readonly rate: L4Rate | 'auto' | null;
  readonly connections: number;
  /** Limits of each client: prefixes of this length are one. */
  readonly client: {
    readonly rate: L4Rate | null;
    readonly connections: number;
    readonly prefix: number;
    readonly prefix6: number;
  } | null;
  /** Whether a member of its pool has limits. */
  readonly members: boolean;
}

export interface L4MemberLimits {
  readonly rate: L4Rate | null;
  readonly connections: number;
}

export interface L4Protection {
  /** By name of the service. */
  readonly services: ReadonlyMap<string, L4ServiceProtection>;
  /** By `POOL/MEMBERKEY`; only members with limits. */
  readonly members: ReadonlyMap<string, L4MemberLimits>;
}

export interface L4Tables {
  readonly unit: L4Unit;
  readonly services: ReadonlyMap<string, L4Service>;
  readonly pools: ReadonlyMap<string, L4Pool>;
  /** Left out: nothing is protected. */
  readonly protection?: L4Protection;
}

/** How a pool is off: for people, and for who serves the services that lead to it. */
export interface PoolStanding {
  readonly muster: Muster;
  /** How many must serve. */
  readonly needed: number;
  /** How many can serve, backups among them. */
  readonly serving: number;
  /** The pool that takes its new flows: itself, or the one that stands in for it. */
  readonly servedBy: string;
}

/**
 * Addresses that this unit answers for, and those whose next hop must be known: members of the fast
 * path. The kernel finds the way to those of the proxy.
 */
export interface NetTables {
  readonly serviceAddresses: readonly string[];
  /** Those of them that the speaker holds when it is their turn. Left out: none. */
  readonly sharedAddresses?: readonly string[];
  readonly memberAddresses: readonly string[];
  /** Interfaces of the fast path by name; empty: those that reach a service or member address. */
  readonly interfaces: readonly string[];
}

/** One thing to probe. `id` is `POOL/MEMBERKEY`. */
export interface MonitorTarget {
  readonly id: string;
  readonly pool: string;
  readonly member: MemberKey;
  readonly address: string;
  /** The monitor's own port, else the member's, else that of the first service that uses the pool. */
  readonly port: number;
  readonly settings: MonitorSettings;
}

/** Which tier serves a service and why: the text of `weir show services`. */
export interface Placement {
  readonly service: string;
  readonly tier: 'xdp' | 'l7' | 'none';
  readonly reason: string;
}

export interface Tables {
  /** Every pool, also those that no service uses; without next hops where only the proxy uses it. */
  readonly pools: ReadonlyMap<string, L4Pool>;
  readonly standings: ReadonlyMap<string, PoolStanding>;
  readonly l4: L4Tables;
  readonly l7: L7Tables;
  readonly net: NetTables;
  readonly pair: PairTables;
  readonly monitors: ReadonlyMap<string, MonitorTarget>;
  readonly placements: readonly Placement[];
}
