/**
 * What the speaker of a unit is told to do. Times are in milliseconds; addresses have 4 or 16 bytes.
 */
import type { Family } from '../../config/address-codec.js';
import type { ChecksumForm, Version } from './packet.js';

/** One virtual router (RFC 9568 §1.6): addresses of one family on one interface. */
export interface RouterSettings {
  /** Unique in this unit. */
  readonly name: string;
  readonly interface: string;
  readonly vrid: number;
  readonly family: Family;
  readonly version: Version;
  /** Advertisement_Interval (RFC 9568 §6.1); Advertisement.interval says what it may be. */
  readonly interval: number;
  /** A link-local address, if any, is advertised first (RFC 9568 §5.2.9). */
  readonly addresses: readonly Uint8Array[];
  /** What version 3 over IPv4 sends; both are accepted. */
  readonly checksum: ChecksumForm;
  /** Version 2 only; null: none. */
  readonly password: Uint8Array | null;
  /** Unicast to these units alone; empty: multicast. */
  readonly peers: readonly Uint8Array[];
  /** Whether its addresses are at a MAC address of its own (RFC 9568 §7.3). */
  readonly virtualMac: boolean;
  /**
   * What becomes of an advertisement whose addresses are others. RFC 3768 §7.1 drops it, which
   * makes two masters while the units are changed one after the other; RFC 9568 §7.1 need not.
   */
  readonly otherAddresses: 'accept' | 'refuse';
}

/** Something that is well or not: a link, a daemon, whatever the parent looks at. */
export interface Tracked {
  readonly name: string;
  /** Taken off the priority while it is not well; `fault`: then the group holds nothing. */
  readonly weight: number | 'fault';
}

/**
 * Virtual routers that move together (a sync group); a router alone is a group of one.
 * The group has one priority, since a unit cannot be the better one on one network and the worse
 * one on the next, and move as a whole.
 */
export interface GroupSettings {
  readonly name: string;
  readonly routers: readonly RouterSettings[];
  /** 1 to 254; 255 for the unit that owns the addresses. */
  readonly priority: number;
  /**
   * Which weaker masters are replaced: all of them; only one that is unfit (`unfit`); or none that
   * already was weaker when it was first heard. One that sinks is, in any case.
   */
  readonly preempt: 'weaker' | 'unfit' | 'none';
  /** How long such a master is left alone before that. */
  readonly preemptDelay: number;
  readonly tracked: readonly Tracked[];
}

/** How often an address is announced. */
export interface AnnouncementSettings {
  /** After the takeover, besides at once. */
  readonly repeats: readonly number[];
  /** While the addresses are held; null: never again. */
  readonly refresh: number | null;
}

export const usualAnnouncements: AnnouncementSettings = {
  repeats: [100, 1000, 5000],
  refresh: 10_000,
};
