/**
 * Whether routes are there and neighbours answer, for those who want to know before any packet
 * needs them. Source: rtnetlink(7); kernel net/core/neighbour.c for the states.
 *
 * A neighbour is asked by ARP or neighbour discovery once a second, by the kernel: a known entry is
 * verified (NUD_PROBE), another one resolved. So one that is silent is known by the kernel's own
 * patience, three questions a second apart.
 *
 * Invariants:
 * - What nobody knows yet is well.
 * - Routes are read again, and not put together from notifications: the kernel tells of no route
 *   that goes with its interface.
 */
import { SystemError } from '../../native/ffi/libc.js';
import { NetlinkSocket } from '../../native/ffi/netlink.js';
import { NLM_F_CREATE, NLM_F_REPLACE } from '../../native/ffi/netlink-message.js';
import type { Poller } from '../../native/ffi/poller.js';
import { formatAddress, readAddress } from '../config/address-codec.js';
import type { Log } from './mirror.js';
import { neighbourKey } from './neighbours.js';
import { networkText } from './prefix.js';
import * as wire from './wire.js';

const GROUPS = [
  wire.GROUP_LINK,
  wire.GROUP_NEIGHBOUR,
  wire.GROUP_IPV4_ROUTE,
  wire.GROUP_IPV6_ROUTE,
];
const QUESTION_MS = 1000;
/** Between two readings of many routes. */
const READ_PAUSE_MS = 50;
/** Answers that come by themselves, or are on their way. */
const UNASKED: readonly (wire.NeighbourState | undefined)[] = [
  ...(['permanent', 'noarp', 'probe', 'incomplete'] as const),
];

export interface Ways {
  /** Prefixes in canonical text, as the main table has them. */
  readonly routes: readonly string[];
  /** Addresses in canonical text. */
  readonly neighbours: readonly string[];
}

export class WayWatch {
  readonly #socket: NetlinkSocket;
  readonly #requests: NetlinkSocket;
  readonly #log: Log;
  readonly #interfaceOf: (address: string) => number | null;
  readonly #onChange: () => void;
  #wanted: Ways = { routes: [], neighbours: [] };
  /** By prefix and by address. */
  readonly #well = new Map<string, boolean>();
  /** By neighbourKey(), of those that are watched. */
  readonly #states = new Map<string, wire.NeighbourState>();
  #questions: NodeJS.Timeout | null = null;
  #reading: NodeJS.Timeout | null = null;
  #closed = false;

  /** `interfaceOf`: index of the interface whose network holds an address. Throws SystemError. */
  constructor(options: {
    readonly poller: Poller;
    readonly log: Log;
    readonly interfaceOf: (address: string) => number | null;
    readonly onChange: () => void;
  }) {
    this.#log = options.log;
    this.#interfaceOf = options.interfaceOf;
    this.#onChange = options.onChange;
    this.#requests = NetlinkSocket.open({ poller: options.poller });
    try {
      this.#socket = NetlinkSocket.open({
        poller: options.poller,
        groups: GROUPS,
        onMessage: ({ type, payload }) => {
          if (type === wire.RTM_NEWNEIGH || type === wire.RTM_DELNEIGH) {
            this.#neighbour(wire.decodeNeighbour(payload), type === wire.RTM_DELNEIGH);
          } else this.#readLater();
        },
        onOverrun: () => this.#readLater(),
      });
    } catch (error) {
      this.#requests.close();
      throw error;
    }
  }

  /** By prefix and by address; what is not in it is not known yet. */
  get well(): ReadonlyMap<string, boolean> {
    return this.#well;
  }

  want(ways: Ways): void {
    if (JSON.stringify(ways) === JSON.stringify(this.#wanted)) return;
    this.#wanted = ways;
    const names = new Set([...ways.routes, ...ways.neighbours]);
    for (const name of this.#well.keys()) if (!names.has(name)) this.#well.delete(name);
    if (this.#questions !== null) clearInterval(this.#questions);
    this.#questions = null;
    this.#states.clear();
    if (ways.routes.length > 0) this.#readLater();
    if (ways.neighbours.length === 0) return;
    this.#questions = setInterval(() => void this.#ask(), QUESTION_MS);
    this.#questions.unref();
    void this.#ask();
  }

  close(): void {
    this.#closed = true;
    if (this.#questions !== null) clearInterval(this.#questions);
    if (this.#reading !== null) clearTimeout(this.#reading);
    this.#socket.close();
    this.#requests.close();
  }

  #readLater(): void {
    if (this.#closed || this.#reading !== null || this.#wanted.routes.length === 0) return;
    this.#reading = setTimeout(() => {
      this.#reading = null;
      void this.#read();
    }, READ_PAUSE_MS);
    this.#reading.unref();
  }

  async #read(): Promise<void> {
    const { routes } = this.#wanted;
    try {
      const there = new Set<string>();
      for (const family of [4, 6] as const) {
        if (!routes.some((route) => route.includes(':') === (family === 6))) continue;
        const found = await this.#requests.dump(wire.RTM_GETROUTE, wire.encodeRouteDump(family));
        for (const { payload } of found) {
          const route = wire.decodeRoute(payload);
          if (route === null || route.type !== wire.RTN_UNICAST || route.cloned || route.dead)
            continue;
          const bytes = route.destination ?? new Uint8Array(family === 4 ? 4 : 16);
          there.add(networkText(bytes, route.prefixLength));
        }
      }
      for (const route of routes) this.#set(route, there.has(route));
    } catch (error) {
      if (this.#closed) return;
      if (!(error instanceof SystemError)) throw error;
      this.#log.error({ err: error }, 'cannot read the routes that are tracked');
      this.#readLater();
    }
  }

  async #ask(): Promise<void> {
    const asked = this.#wanted.neighbours.flatMap((text) => {
      const address = readAddress(text);
      const interfaceIndex = this.#interfaceOf(text);
      if (address === null) return [];
      if (interfaceIndex === null) {
        this.#set(text, false);
        return [];
      }
      const key = neighbourKey({ interfaceIndex, address: text });
      const state = this.#states.get(key);
      if (UNASKED.includes(state)) return [];
      const type = wire.RTM_NEWNEIGH;
      const verify = {
        ...{ type, flags: NLM_F_REPLACE },
        payload: wire.encodeNeighbourProbe(address, interfaceIndex),
      };
      const resolve = {
        ...{ type, flags: NLM_F_CREATE },
        payload: wire.encodeNeighbourUse(address, interfaceIndex),
      };
      // One that others use already tells nothing until it is verified; the kernel refuses that for
      // one that is not there, and resolves it.
      if (state === undefined) return [verify, resolve];
      return state === 'failed' || state === 'none' ? [resolve] : [verify];
    });
    const answers = await this.#requests.batch(asked);
    for (const answer of answers) {
      // An entry or an interface that has just gone: asked anew the next time.
      if (answer instanceof SystemError && !this.#closed) {
        this.#states.clear();
        this.#log.debug({ err: answer }, 'cannot ask a neighbour that is tracked');
      }
    }
  }

  #neighbour(neighbour: wire.Neighbour | null, gone: boolean): void {
    if (neighbour === null || !this.#wanted.neighbours.includes(neighbour.address)) return;
    if (this.#interfaceOf(neighbour.address) !== neighbour.interfaceIndex) return;
    const key = neighbourKey(neighbour);
    if (gone) {
      this.#states.delete(key);
      return;
    }
    const { state, address } = neighbour;
    this.#states.set(key, state);
    if (state === 'failed') this.#set(address, false);
    else if (['reachable', 'permanent', 'noarp'].includes(state)) this.#set(address, true);
  }

  #set(name: string, well: boolean): void {
    if (this.#well.get(name) === well) return;
    this.#well.set(name, well);
    this.#onChange();
  }
}

/** What a prefix or an address of the document is called here. */
export function prefixText(text: string): string {
  const [address = '', length] = text.split('/');
  const read = readAddress(address);
  if (read === null) return text;
  return length === undefined ? formatAddress(read.bytes) : networkText(read.bytes, Number(length));
}
