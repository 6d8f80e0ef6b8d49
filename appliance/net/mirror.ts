/**
 * A copy of the kernel's links, addresses and neighbours: dumped once, then kept by notifications.
 * Source: rtnetlink(7).
 *
 * Invariants:
 * - Notifications that arrive while a dump runs are applied after it, in order, so that the older
 *   dump never overwrites the newer notification.
 * - Lost notifications mean a new dump of everything, and a `resync` event after it.
 */
import type { BaseLogger } from 'pino';
import { NetlinkSocket } from '../../native/ffi/netlink.js';
import type { NetlinkMessage } from '../../native/ffi/netlink-message.js';
import type { Poller } from '../../native/ffi/poller.js';
import { AddressTable, LinkTable } from './links.js';
import { NeighbourTable } from './neighbours.js';
import * as wire from './wire.js';

export type Log = Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>;

export type MirrorEvent =
  | { readonly kind: 'links' | 'rules' | 'resync' }
  | { readonly kind: 'address'; readonly address: wire.InterfaceAddress }
  | { readonly kind: 'route'; readonly route: wire.Route }
  | { readonly kind: 'neighbour'; readonly neighbour: wire.Neighbour; readonly gone: boolean };

const GROUPS = [
  wire.GROUP_LINK,
  wire.GROUP_NEIGHBOUR,
  wire.GROUP_IPV4_ADDRESS,
  wire.GROUP_IPV4_ROUTE,
  wire.GROUP_IPV4_RULE,
  wire.GROUP_IPV6_ADDRESS,
  wire.GROUP_IPV6_ROUTE,
  wire.GROUP_IPV6_RULE,
  wire.GROUP_NEXT_HOP,
];
/** A full BGP table or a flapping segment sends bursts: overruns should stay rare. */
const NOTIFICATION_BUFFER = 4 * 1024 * 1024;
const RESYNC_RETRY_MS = 1000;

export class Mirror {
  readonly links = new LinkTable();
  readonly addresses = new AddressTable();
  readonly neighbours = new NeighbourTable();
  /** For requests of the owner; dumps of this class share it. */
  readonly requests: NetlinkSocket;
  readonly #notifications: NetlinkSocket;
  readonly #onEvent: (event: MirrorEvent) => void;
  readonly #log: Log;
  /** Notifications held back while a dump runs; null when none does. */
  #held: NetlinkMessage[] | null = null;
  #again = false;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: {
    readonly poller: Poller;
    readonly log: Log;
    readonly onEvent: (event: MirrorEvent) => void;
    /** Bytes; for tests that want overruns. */
    readonly notificationBuffer?: number;
  }) {
    this.#onEvent = options.onEvent;
    this.#log = options.log;
    this.requests = NetlinkSocket.open({ poller: options.poller });
    try {
      this.#notifications = NetlinkSocket.open({
        poller: options.poller,
        groups: GROUPS,
        receiveBuffer: options.notificationBuffer ?? NOTIFICATION_BUFFER,
        onMessage: (message) => this.#notified(message),
        onOverrun: () => {
          this.#log.warn(
            {},
            'the kernel sent more network changes than fit; reading everything again',
          );
          this.#resyncLater();
        },
      });
    } catch (error) {
      this.requests.close();
      throw error;
    }
  }

  /** Reads everything. Throws SystemError when the kernel refuses. */
  async sync(): Promise<void> {
    this.#held ??= [];
    do {
      this.#again = false;
      const links = await this.#dump(wire.RTM_GETLINK, wire.decodeLink);
      const addresses = await this.#dump(wire.RTM_GETADDR, wire.decodeAddress);
      const neighbours = await this.#dump(wire.RTM_GETNEIGH, wire.decodeNeighbour);
      this.links.replace(links);
      this.addresses.replace(addresses);
      this.neighbours.replace(neighbours);
    } while (this.#again);
    const held = this.#held;
    this.#held = null;
    for (const message of held) this.#apply(message);
  }

  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#notifications.close();
    this.requests.close();
  }

  async #dump<T>(type: number, decode: (payload: Buffer) => T | null): Promise<T[]> {
    const messages = await this.requests.dump(type, wire.encodeDump(type));
    return messages.map(({ payload }) => decode(payload)).filter((item) => item !== null);
  }

  #resyncLater(): void {
    if (this.#closed) return;
    if (this.#held !== null) {
      // A dump is running: what it has read so far may miss what was lost.
      this.#held.length = 0;
      this.#again = true;
      return;
    }
    this.sync().then(
      () => this.#onEvent({ kind: 'resync' }),
      (error: unknown) => {
        this.#held = null;
        if (this.#closed) return;
        this.#log.error(
          { err: error },
          'cannot read the network state from the kernel; trying again',
        );
        this.#retry = setTimeout(() => this.#resyncLater(), RESYNC_RETRY_MS);
      },
    );
  }

  #notified(message: NetlinkMessage): void {
    if (this.#held === null) this.#apply(message);
    else this.#held.push(message);
  }

  #apply({ type, payload }: NetlinkMessage): void {
    switch (type) {
      case wire.RTM_NEWLINK:
      case wire.RTM_DELLINK: {
        const link = wire.decodeLink(payload);
        if (link === null) return;
        const changed =
          type === wire.RTM_NEWLINK ? this.links.set(link) : this.links.delete(link.index);
        if (changed) this.#onEvent({ kind: 'links' });
        return;
      }
      case wire.RTM_NEWADDR:
      case wire.RTM_DELADDR: {
        const address = wire.decodeAddress(payload);
        if (address === null) return;
        const changed =
          type === wire.RTM_NEWADDR ? this.addresses.set(address) : this.addresses.delete(address);
        if (changed) this.#onEvent({ kind: 'address', address });
        return;
      }
      case wire.RTM_NEWNEIGH:
      case wire.RTM_DELNEIGH: {
        const neighbour = wire.decodeNeighbour(payload);
        if (neighbour !== null) this.#neighbour(neighbour, type === wire.RTM_DELNEIGH);
        return;
      }
      case wire.RTM_NEWROUTE:
      case wire.RTM_DELROUTE: {
        const route = wire.decodeRoute(payload);
        if (route !== null && !route.cloned) this.#onEvent({ kind: 'route', route });
        return;
      }
      default:
        // Rules and next-hop objects: which routes they touch is the kernel's knowledge.
        this.#onEvent({ kind: 'rules' });
    }
  }

  /** A failure is told even when the state was `failed` before: it ends one more attempt. */
  #neighbour(neighbour: wire.Neighbour, gone: boolean): void {
    const changed = gone
      ? this.neighbours.delete(`${neighbour.interfaceIndex} ${neighbour.address}`)
      : this.neighbours.set(neighbour) || neighbour.state === 'failed';
    if (changed) this.#onEvent({ kind: 'neighbour', neighbour, gone });
  }
}
