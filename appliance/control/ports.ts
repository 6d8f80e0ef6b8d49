/**
 * What the control loop needs of the tiers and of the network, as narrow interfaces:
 * the loop is tested with stand-ins, and a second tier takes its place beside XDP
 * without the loop noticing.
 */
import type { HealthStatus } from '../health/monitors.js';
import type { AttachOutcome, FastPathInterface } from '../l4/attach.js';
import type { ProgramReport } from '../l4/programmer.js';
import type { Intent } from '../config/schema.js';
import type { Unit } from '../config/unit.js';
import type { L7Tables } from '../l7/tables.js';
import type { OtherUnit, PairTables } from './compile-pair.js';
import type { InfluenceView } from './compile-pools.js';
import type { L4Tables, MonitorTarget, NetTables, NextHop, Tables } from './tables.js';

/** An interface of the unit. */
export interface LinkRef {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
}

/** What an execution of the net tables came to. */
export interface NetOutcome {
  /** Interfaces that the fast path belongs on, by the document or by what they reach. */
  readonly interfaces: readonly LinkRef[];
  /** A service address that cannot be had, an interface that is not there … */
  readonly problems: readonly { readonly message: string }[];
}

export interface NetworkPort {
  reconcile(net: NetTables): Promise<NetOutcome>;
  nextHop(address: string): NextHop | { readonly unresolved: string };
  /** Name of the interface whose network holds an address, as of now; null: none does. */
  interfaceOf(address: string): string | null;
}

/** The host below, as far as it is Weir's to set. */
export interface HostPort {
  /** Resolves when all was asked for; what could not be done is in `problems`, and tried again. */
  follow(unit: Unit): Promise<void>;
  /** Sentences. */
  readonly problems: readonly string[];
}

export interface FastPathPort {
  checkCapacity(tables: L4Tables): void;
  program(tables: L4Tables): ProgramReport;
  /** @param present indices of all wanted interfaces, also of those that could not be inspected */
  attach(
    interfaces: readonly FastPathInterface[],
    present: ReadonlySet<number>,
  ): readonly AttachOutcome[];
}

/** Worker processes that serve layer 7. */
export interface ProxyPort {
  /** Resolves when the workers serve by these tables. */
  execute(tables: L7Tables): Promise<void>;
  /** What they cannot serve, and why. */
  readonly problems: readonly { readonly service: string; readonly message: string }[];
}

/** The speaker that moves addresses between the units of a pair. */
export interface RolesPort {
  /** Null: this one is not paired. */
  other(): OtherUnit | null;
  /** Before the network gives up what the speaker is to hold: resolves once there is a speaker. */
  prepare(pair: PairTables): Promise<void>;
  follow(pair: PairTables): void;
}

export interface MonitorsPort {
  reconcile(targets: ReadonlyMap<string, MonitorTarget>): void;
  status(id: string): HealthStatus | undefined;
}

/** What time and traffic say of members; told when an intent is about to be executed, and when it was. */
export interface InfluencesPort extends InfluenceView {
  prepare(intent: Intent): void;
  follow(before: Tables | undefined, tables: Tables, intent: Intent): void;
}

/** Sets interfaces up before the fast path is first on them. */
export type TuneInterfaces = (links: readonly LinkRef[]) => Promise<void>;

/** Finds driver and hardware profile of an interface; null when it went away. */
export type InspectInterface = (link: LinkRef) => FastPathInterface | null;
