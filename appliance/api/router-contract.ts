/** What the control API answers about virtual routers. Part of contract.ts. */
import type { ApplyResult } from './contract.js';

export type RouterRole = 'master' | 'backup' | 'down';

/** One virtual router of this unit: addresses of one family on one interface. */
export interface RouterRow {
  readonly router: string;
  /** Routers of one group move together. */
  readonly group: string;
  readonly interface: string;
  readonly family: 4 | 6;
  /** Virtual router id. */
  readonly id: number;
  readonly role: RouterRole;
  /** Now, with what is tracked taken off; null while no speaker runs. */
  readonly priority: number | null;
  /** While everything is well. */
  readonly configuredPriority: number;
  /** When it came to its role; milliseconds since 1970; null while no speaker runs. */
  readonly since: number | null;
  /** Why it has its role, as a sentence's end. */
  readonly why: string;
  readonly addresses: readonly string[];
  /** Of a backup, the master that it heard last; null: none, or it is master itself. */
  readonly master: { readonly address: string; readonly priority: number } | null;
  /** It was told to give its addresses up (`weir pair failover`). */
  readonly failover: boolean;
  /** What is tracked and not well. */
  readonly unwell: readonly string[];
  readonly sent: number;
  readonly received: number;
  /** How often it became master. */
  readonly takeovers: number;
  /** Of the process that speaks for all of them; null while none runs. */
  readonly lateness: RouterLateness | null;
}

/** How well VRRP's process keeps its time, since it got its settings. Milliseconds. */
export interface RouterLateness {
  /** Its turns by how late they ended: up to 0.1, 0.3, 1, 3, 10, 30, and beyond. */
  readonly turns: readonly number[];
  /** The latest one; null: none was late. */
  readonly worst: {
    readonly late: number;
    /** What took the most of that; `waiting`: it did not get its CPU, as when a host stands still. */
    readonly part: RouterPart;
    /** Since 1970. */
    readonly at: number;
  } | null;
  /**
   * What was left at least of the time after which its addresses would have been taken off, so that
   * never both units hold one; null: it held nothing.
   */
  readonly leastLease: number | null;
}

export type RouterPart =
  'waiting' | 'other' | 'receiving' | 'deciding' | 'sending' | 'placing' | 'telling';

export interface FailoverResult {
  /** Those that were meant, as they are now. */
  readonly routers: readonly RouterRow[];
  /** Of those: masters still, since no other unit took over. */
  readonly remaining: readonly string[];
}

/** An address that another unit is to have than the one that has it. */
export interface AddressMove {
  readonly address: string;
  /** Null: this unit does not know of any. */
  readonly from: string | null;
  readonly to: string;
}

export interface PreferResult {
  readonly change: ApplyResult;
  /** While both units are well and none is told to give them up. */
  readonly moves: readonly AddressMove[];
  /** Whether they move by themselves, or only once the unit that has them yields, … */
  readonly preempt: boolean;
  /** … and after how many milliseconds. */
  readonly preemptDelay: number;
}
