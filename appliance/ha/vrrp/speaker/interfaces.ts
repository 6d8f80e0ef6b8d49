/**
 * The interfaces of this network namespace and their addresses, as the kernel tells of them, and
 * what they allow a virtual router. Source: rtnetlink(7).
 *
 * Invariant: what changed while the first list was read is known too, since notifications are
 * taken from before it was asked for.
 */
import { NetlinkSocket } from '../../../../native/ffi/netlink.js';
import type { NetlinkMessage } from '../../../../native/ffi/netlink-message.js';
import type { Poller } from '../../../../native/ffi/poller.js';
import { AddressTable, LinkTable } from '../../../net/links.js';
import { isLinkLocal } from '../../../net/prefix.js';
import * as wire from '../../../net/wire.js';
import type { LinkState } from '../engine.js';
import type { RouterSettings } from '../settings.js';

type Seated = Pick<RouterSettings, 'interface' | 'vrid' | 'family' | 'virtualMac'>;

/** Of the device with a router's own MAC address. `below`: index of its interface. */
export function virtualDeviceName(
  below: number,
  { vrid, family }: Pick<Seated, 'vrid' | 'family'>,
): string {
  return `wv${below}.${vrid}.${family}`;
}

export class Interfaces {
  readonly links = new LinkTable();
  readonly addresses = new AddressTable();
  /** For requests of the owner too. */
  readonly requests: NetlinkSocket;
  readonly #notifications: NetlinkSocket;
  readonly #onChange: () => void;
  readonly #onFailure: (error: unknown) => void;
  #early: NetlinkMessage[] | null = null;
  #again = false;

  /** Throws SystemError. `onFailure`: nothing is known of the interfaces any more. */
  constructor(options: {
    readonly poller: Poller;
    readonly onChange: () => void;
    readonly onFailure: (error: unknown) => void;
  }) {
    this.#onChange = options.onChange;
    this.#onFailure = options.onFailure;
    this.requests = NetlinkSocket.open({ poller: options.poller, apart: true });
    try {
      this.#notifications = NetlinkSocket.open({
        poller: options.poller,
        groups: [wire.GROUP_LINK, wire.GROUP_IPV4_ADDRESS, wire.GROUP_IPV6_ADDRESS],
        receiveBuffer: 1024 * 1024,
        onMessage: (message) => {
          if (this.#early !== null) this.#early.push(message);
          else if (this.#apply(message)) this.#onChange();
        },
        onOverrun: () => this.#lost(),
      });
    } catch (error) {
      this.requests.close();
      throw error;
    }
  }

  /** Reads everything. Throws SystemError. */
  async read(): Promise<void> {
    do {
      this.#again = false;
      this.#early = [];
      const links = await this.requests.dump(wire.RTM_GETLINK, wire.encodeDump(wire.RTM_GETLINK));
      const addresses = await this.requests.dump(
        wire.RTM_GETADDR,
        wire.encodeDump(wire.RTM_GETADDR),
      );
      this.links.replace(links.flatMap(({ payload }) => wire.decodeLink(payload) ?? []));
      this.addresses.replace(addresses.flatMap(({ payload }) => wire.decodeAddress(payload) ?? []));
    } while (this.#again);
    const early = this.#early;
    this.#early = null;
    for (const message of early) this.#apply(message);
  }

  named(name: string): wire.Link | null {
    return this.links.all().find((link) => link.name === name) ?? null;
  }

  /** Where a router's addresses are put; null: it is not there. */
  seatOf(router: Seated): wire.Link | null {
    const link = this.named(router.interface);
    if (link === null || !router.virtualMac) return link;
    return this.named(virtualDeviceName(link.index, router));
  }

  /**
   * What an interface allows; null: there is none of this name. `movable`: whether an address moves
   * between units, so that nothing is sent from it.
   */
  stateOf(name: string, movable: (address: wire.InterfaceAddress) => boolean): LinkState | null {
    const link = this.named(name);
    if (link === null) return null;
    const own = this.addresses
      .all()
      .filter((address) => address.interfaceIndex === link.index && !movable(address));
    const ipv4 = own.filter(({ family }) => family === 4);
    return {
      running: link.running,
      sources: {
        // Kernel's order, the primary one of a subnet first; single addresses last.
        4: (ipv4.find(({ prefixLength }) => prefixLength < 32) ?? ipv4[0])?.bytes ?? null,
        6: own.find((address) => address.family === 6 && isLinkLocal(address))?.bytes ?? null,
      },
      globals: own.filter((address) => address.family === 6 && !isLinkLocal(address)),
    };
  }

  close(): void {
    this.#notifications.close();
    this.requests.close();
  }

  #lost(): void {
    if (this.#early !== null) {
      this.#again = true;
      return;
    }
    this.read().then(() => this.#onChange(), this.#onFailure);
  }

  /** Whether anything is different. */
  #apply({ type, payload }: NetlinkMessage): boolean {
    if (type === wire.RTM_NEWLINK || type === wire.RTM_DELLINK) {
      const link = wire.decodeLink(payload);
      if (link === null) return false;
      return type === wire.RTM_NEWLINK ? this.links.set(link) : this.links.delete(link.index);
    }
    const address = wire.decodeAddress(payload);
    if (address === null) return false;
    return type === wire.RTM_NEWADDR ? this.addresses.set(address) : this.addresses.delete(address);
  }
}
