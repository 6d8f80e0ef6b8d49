/** What the control API answers about virtual routers. Part of contract.ts. */

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
  /** The master that was heard last; null: none was. */
  readonly master: { readonly address: string; readonly priority: number } | null;
  /** It was told to give its addresses up (`weir pair failover`). */
  readonly failover: boolean;
  /** What is tracked and not well. */
  readonly unwell: readonly string[];
  readonly sent: number;
  readonly received: number;
  /** How often it became master. */
  readonly takeovers: number;
}

export interface FailoverResult {
  /** Those that were meant, as they are now. */
  readonly routers: readonly RouterRow[];
  /** Of those: masters still, since no other unit took over. */
  readonly remaining: readonly string[];
}
