/** What the control API says of the unit's own network. Part of contract.ts. */

import type { HostKey } from '../config/support.js';

/** Who set an address or a route; `unit`: Weir, by `unit.network`. */
export type SetBy =
  'unit' | 'service' | 'virtual-router' | 'kernel' | 'router-advertisement' | 'dhcp' | 'other';

export interface NetworkInterfaceRow {
  readonly name: string;
  /** `hardware`, or the kind of a device that was made: `bond`, `vlan`, `veth` … */
  readonly kind: string;
  /** Null when it has none. */
  readonly mac: string | null;
  /** Bytes. */
  readonly mtu: number;
  /** Set up. */
  readonly up: boolean;
  /** Set up, and with a link. */
  readonly carrier: boolean;
  /** The bond or bridge that it is a port of. */
  readonly master: string | null;
  readonly vlan: { readonly link: string | null; readonly id: number } | null;
  /** The one that the unit is managed by. */
  readonly management: boolean;
  readonly addresses: readonly {
    /** With the prefix length. */
    readonly address: string;
    readonly by: SetBy;
  }[];
  /** Hosts on its link that are known. */
  readonly neighbours: number;
  /** Since the interface is there; null where the kernel counts nothing. */
  readonly counters: LinkCounters | null;
}

export interface LinkCounters {
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxErrors: number;
  readonly txErrors: number;
  readonly rxDropped: number;
  readonly txDropped: number;
}

export interface NetworkRouteRow {
  /** `default`, or a prefix. */
  readonly to: string;
  readonly family: 4 | 6;
  readonly via: string | null;
  readonly interface: string;
  /** 0: none. */
  readonly metric: number;
  readonly by: SetBy;
}

/** Keys of `unit` that this daemon carries out on its host. */
export type HostPart = HostKey;

export interface NetworkView {
  readonly host: readonly HostPart[];
  readonly hostName: string;
  readonly interfaces: readonly NetworkInterfaceRow[];
  /** Of the main table, at most 1,000 of … */
  readonly routes: readonly NetworkRouteRow[];
  /** … so many. */
  readonly routesTotal: number;
  /** As the host looks up names now. */
  readonly dns: { readonly servers: readonly string[]; readonly search: readonly string[] };
  readonly ntp: {
    /** Of the configuration. */
    readonly servers: readonly string[];
    /** Null: the kernel does not say. */
    readonly synchronised: boolean | null;
    /** The most that the clock may be wrong, in milliseconds. */
    readonly maximumErrorMs: number | null;
  };
  readonly timeZone: string;
  /** Of the configuration. */
  readonly keyboard: string | null;
  /** What of the host is not as the configuration wants it, sentences. */
  readonly problems: readonly string[];
}

export interface PingResult {
  readonly address: string;
  readonly sent: number;
  readonly received: number;
  readonly answers: readonly EchoRow[];
}

export interface EchoRow {
  /** Who answered; null: nobody. */
  readonly from: string | null;
  /** Milliseconds; null when nothing came. */
  readonly ms: number | null;
  readonly result: 'reply' | 'expired' | 'unreachable' | 'silent' | 'failed';
  /** A few words. */
  readonly text: string;
}

export interface TraceResult {
  readonly address: string;
  readonly reached: boolean;
  /** One for each number of hops from 1 on, up to the first that reached it. */
  readonly hops: readonly EchoRow[];
}

export interface ResolveResult {
  readonly name: string;
  /** Who was asked: of the host, or the one that was given. */
  readonly servers: readonly string[];
  /** Addresses of a name, names of an address. */
  readonly answers: readonly { readonly type: 'A' | 'AAAA' | 'PTR'; readonly value: string }[];
  /** What went wrong, sentences; a name that has no address of a family is none of them. */
  readonly problems: readonly string[];
  readonly ms: number;
}
