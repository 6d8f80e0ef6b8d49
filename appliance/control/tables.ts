/**
 * The tables: what the compiler makes and the tiers execute. Plain data, no
 * behaviour, no identifiers of any tier: rows, offsets and kernel indices belong to
 * the tier that programs them.
 *
 * Invariant: an object that did not change keeps its identity (`===`) from one
 * compilation to the next, which is what makes a change of one member cheap.
 */
import type { MonitorSettings } from '../config/schema.js';
import type { AccessSet } from './access-sets.js';

/** How the fast path hands a packet to a member. */
export type L4Forwarding = 'dsr' | 'nat';

/** `ADDRESS:PORT`, `[ADDRESS]:PORT`, or the address alone when the port is the service's own. */
export type MemberKey = string;

/** Where a frame for an address leaves the unit. MAC addresses are 6 bytes. */
export interface NextHop {
  readonly interfaceIndex: number;
  readonly interfaceName: string;
  readonly mac: Uint8Array;
  readonly sourceMac: Uint8Array;
}

export interface L4Member {
  /** `POOL/MEMBERKEY`: names it among all pools. */
  readonly id: string;
  readonly key: MemberKey;
  readonly address: string;
  /** 0: the service's own port. */
  readonly port: number;
  readonly weight: number;
  /** The administrator's word. */
  readonly setting: 'enabled' | 'draining' | 'disabled';
  /** What the fast path does with it. */
  readonly state: 'serving' | 'draining' | 'down';
  /** Why, in a few words for people: `enabled`, `monitor: connection refused`, `no MAC address known` … */
  readonly reason: string;
  readonly nextHop: NextHop | null;
}

export interface L4Pool {
  readonly name: string;
  readonly members: readonly L4Member[];
  /** Slot to index in `members`. A prime number of slots; none while no member can serve. */
  readonly lookup: Uint32Array;
}

export interface L4Service {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly forwarding: L4Forwarding;
  readonly pool: string;
}

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
  readonly services: ReadonlyMap<string, L4Service>;
  readonly pools: ReadonlyMap<string, L4Pool>;
  /** Left out: nothing is protected. */
  readonly protection?: L4Protection;
}

/** Addresses that this unit answers for, and those whose next hop must be known. */
export interface NetTables {
  readonly serviceAddresses: readonly string[];
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
  readonly tier: 'xdp' | 'none';
  readonly reason: string;
}

export interface Tables {
  /** Every pool, also those that no service of the fast path uses. */
  readonly pools: ReadonlyMap<string, L4Pool>;
  readonly l4: L4Tables;
  readonly net: NetTables;
  readonly monitors: ReadonlyMap<string, MonitorTarget>;
  readonly placements: readonly Placement[];
}
