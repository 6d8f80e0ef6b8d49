/**
 * The unit's place in the network: puts the service addresses on its interfaces, and knows at any
 * time the frame header that reaches each member address. Source: rtnetlink(7).
 *
 * Invariants:
 * - Everything here is one process's view of one network namespace, driven by events; the only
 *   timers are the retries of neighbour questions and of vanished service addresses.
 * - nextHop() answers from memory, and an answer that did not change keeps its identity.
 * - close() leaves the service addresses in place: traffic flows while the daemon restarts.
 */
import type { NetTables, NextHop } from '../control/tables.js';
import { SystemError } from '../../native/ffi/libc.js';
import { NLM_F_CREATE } from '../../native/ffi/netlink-message.js';
import type { Poller } from '../../native/ffi/poller.js';
import { AddressKeeper, PAUSE_MS } from './address-keeper.js';
import { formatAddress, readAddress } from '../config/address-codec.js';
import { bondOf, type Bond } from './carriers.js';
import { chooseInterfaces, connectedInterface } from './links.js';
import { MemberRoutes, type RouteChanges } from './member-routes.js';
import { Mirror, type Log, type MirrorEvent } from './mirror.js';
import { NeighbourCare, neighbourKey } from './neighbours.js';
import type { Unresolved, Via } from './next-hop.js';
import { movesByItself, type Problem } from './service-addresses.js';
import { WayWatch } from './way-watch.js';
import * as wire from './wire.js';

/** What changed since the last call of the listener. */
export interface NetworkChange {
  /** Member addresses whose next hop changed, as the tables spell them. */
  readonly members: ReadonlySet<string>;
  /** The interfaces of the fast path, or what is known of one, changed. */
  readonly interfaces: boolean;
  /** A service address appeared or vanished. */
  readonly addresses: boolean;
}

export interface NetReport {
  /** The interfaces of the fast path, in the order of unit.interfaces or of their indexes. */
  readonly interfaces: readonly wire.Link[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Service addresses that were in place already. */
  readonly present: readonly string[];
  readonly problems: readonly Problem[];
}

const nothing: NetTables = { serviceAddresses: [], memberAddresses: [], interfaces: [] };
/** Between two readings of many routes, so that a flood of route changes costs little. */
const ROUTE_PAUSE_MS = 50;

export class Network {
  readonly #mirror: Mirror;
  readonly #log: Log;
  readonly #care = new NeighbourCare();
  readonly #routes: MemberRoutes;
  readonly #keeper: AddressKeeper;
  /** Routes and neighbours that somebody tracks. */
  readonly ways: WayWatch;
  readonly #wayListeners = new Set<() => void>();
  readonly #listeners = new Set<(change: NetworkChange) => void>();
  #wanted: NetTables = nothing;
  /** Of the wanted service addresses, in canonical text. */
  #serviceTexts: ReadonlySet<string> = new Set();
  #interfaces: readonly wire.Link[] = [];
  /** These and the ports of those that are bonds. */
  #chosen: readonly wire.Link[] = [];
  #problems = '';
  #work: Promise<unknown> = Promise.resolve();
  #settleTimer: NodeJS.Timeout | null = null;
  #careTimer: NodeJS.Timeout | null = null;
  #lastSettle = -Infinity;
  #changedMembers = new Set<string>();
  #changedInterfaces = false;
  #changedAddresses = false;
  #telling = false;
  #closed = false;

  private constructor(options: NetworkOptions) {
    this.#log = options.log;
    this.#mirror = new Mirror({ ...options, onEvent: (event) => this.#happened(event) });
    this.ways = new WayWatch({
      ...options,
      interfaceOf: (address) => connectedInterface(address, this.#mirror.links, this.addresses()),
      onChange: () => {
        for (const listener of this.#wayListeners) listener();
      },
    });
    this.#routes = new MemberRoutes(this.#mirror, this.#care);
    this.#keeper = new AddressKeeper(this.#mirror);
  }

  /** Reads the kernel's state. Throws SystemError when netlink is refused. */
  static async open(options: NetworkOptions): Promise<Network> {
    const network = new Network(options);
    try {
      await network.#mirror.sync();
    } catch (error) {
      network.close();
      throw error;
    }
    return network;
  }

  links(): readonly wire.Link[] {
    return this.#mirror.links.all();
  }

  /** How a bond works and over which ports, as of now; null for what is none. */
  bond(interfaceIndex: number): Bond | null {
    const link = this.#mirror.links.get(interfaceIndex);
    return link === undefined ? null : bondOf(link, this.links());
  }

  addresses(): readonly wire.InterfaceAddress[] {
    return this.#mirror.addresses.all();
  }

  /** The interfaces of the fast path as of now. */
  fastPathInterfaces(): readonly wire.Link[] {
    return this.#interfaces;
  }

  /** From memory. Only addresses of the last reconcile() are known. */
  nextHop(address: string): NextHop | Unresolved {
    return this.#routes.nextHop(address);
  }

  /** Name of the interface whose network holds an address, as of now; null: none does. */
  interfaceOf(address: string): string | null {
    const { links } = this.#mirror;
    const index = connectedInterface(address, links, this.addresses());
    return index === null ? null : (links.get(index)?.name ?? null);
  }

  /** Calls back, coalesced, when something that matters changed. Returns how to stop it. */
  onChange(listener: (change: NetworkChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls back when something that is tracked came or went. Returns how to stop it. */
  onWays(listener: () => void): () => void {
    this.#wayListeners.add(listener);
    return () => this.#wayListeners.delete(listener);
  }

  /**
   * Makes the kernel match the tables: service addresses by difference, routes of new members
   * looked up, their neighbours asked for (the answers come later, through onChange). What could
   * not be done is in the report's problems and is tried again when the network changes.
   */
  reconcile(net: NetTables): Promise<NetReport> {
    return this.#inTurn(async () => {
      this.#wanted = net;
      this.#serviceTexts = new Set(net.serviceAddresses.map(canonical));
      this.#note(await this.#routes.want(net.memberAddresses));
      return this.#settle();
    });
  }

  close(): void {
    this.#closed = true;
    if (this.#settleTimer !== null) clearTimeout(this.#settleTimer);
    if (this.#careTimer !== null) clearTimeout(this.#careTimer);
    this.#listeners.clear();
    this.#wayListeners.clear();
    this.ways.close();
    this.#mirror.close();
  }

  /** One piece of work at a time. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#work.then(work);
    this.#work = turn.catch(() => undefined);
    return turn;
  }

  #happened(event: MirrorEvent): void {
    switch (event.kind) {
      case 'neighbour': {
        // The common and urgent case: no route is involved.
        const { neighbour, gone } = event;
        const key = neighbourKey(neighbour);
        if (!this.#care.observe(key, gone ? undefined : neighbour.state, performance.now())) return;
        this.#note(this.#routes.neighbourChanged(key));
        this.#askDue();
        return;
      }
      case 'route':
        if (this.#routes.suspect(event.route)) this.#settleLater(0);
        return;
      case 'resync':
        this.#care.recheck((key) => this.#mirror.neighbours.get(key)?.state, performance.now());
        this.#routes.suspectAll();
        this.#settleLater(0);
        return;
      case 'address':
        // A service address of ours touches no route but the one to itself.
        if (!movesByItself(event.address)) this.#routes.suspectAll();
        else this.#routes.suspectAddress(event.address.address);
        if (this.#serviceTexts.has(event.address.address)) this.#addressesChanged();
        this.#settleLater(0);
        return;
      case 'links':
      case 'rules':
        // The kernel takes IPv4 routes away with an interface without saying so.
        this.#routes.suspectAll();
        this.#settleLater(0);
        return;
    }
  }

  #settleLater(delay: number): void {
    if (this.#closed || this.#settleTimer !== null) return;
    const pause = Math.max(delay, this.#lastSettle + ROUTE_PAUSE_MS - performance.now(), 0);
    this.#settleTimer = setTimeout(() => {
      this.#settleTimer = null;
      this.#inTurn(() => this.#settle()).catch((error: unknown) => {
        if (this.#closed) return;
        this.#log.error({ err: error }, 'cannot follow a change of the network; trying again');
        this.#routes.suspectAll();
        this.#settleLater(PAUSE_MS);
      });
    }, pause);
    this.#settleTimer.unref();
  }

  async #settle(): Promise<NetReport> {
    this.#lastSettle = performance.now();
    this.#note(await this.#routes.refresh());
    const { links } = this.#mirror;
    const addresses = this.#mirror.addresses.all().filter((address) => !movesByItself(address));
    const choice = chooseInterfaces({
      names: this.#wanted.interfaces,
      links,
      addresses,
      serviceAddresses: this.#wanted.serviceAddresses,
      towardsMembers: this.#routes.interfaces(),
    });
    // Which ports a bond has decides how it can work, as its own state does.
    const carriers = new Set(choice.interfaces.map(({ index }) => index));
    const ports = links
      .all()
      .filter(({ master }) => carriers.has(master) && links.get(master)?.bond !== null);
    const chosen = [...choice.interfaces, ...ports];
    if (!sameItems(this.#chosen, chosen)) {
      this.#chosen = chosen;
      this.#interfaces = choice.interfaces;
      this.#changedInterfaces = true;
      this.#tell();
    }
    // Its packets may come in where the fast path is not, and there the kernel would refuse them.
    const unconnected =
      this.#wanted.interfaces.length > 0
        ? []
        : this.#wanted.serviceAddresses
            .filter((address) => connectedInterface(address, links, addresses) === null)
            .map((subject) => ({
              subject,
              message: `service address ${subject} is in no network of this unit, so it is not known by which interface its clients come: name all interfaces of the fast path in unit.interfaces`,
            }));
    const shared = new Set(this.#wanted.sharedAddresses);
    const own = this.#wanted.serviceAddresses.filter((address) => !shared.has(address));
    const placed = await this.#keeper.place(own, this.#interfaces);
    if (placed.again) this.#settleLater(PAUSE_MS);
    if (placed.added.length + placed.removed.length > 0) this.#addressesChanged();
    const problems = [...choice.problems, ...unconnected, ...placed.problems];
    this.#logProblems(problems);
    this.#askDue();
    const { added, removed, present } = placed;
    return { interfaces: this.#interfaces, added, removed, present, problems };
  }

  /** Asks the kernel for the neighbours whose time has come, and waits for the next. */
  #askDue(): void {
    if (this.#closed) return;
    const due = this.#care.takeDue(performance.now());
    if (due.length > 0) {
      this.#ask(due).catch((error: unknown) => {
        if (!this.#closed) this.#log.error({ err: error }, 'cannot ask for neighbours');
      });
    }
    if (this.#careTimer !== null) clearTimeout(this.#careTimer);
    this.#careTimer = null;
    const next = this.#care.nextDue();
    if (next === null) return;
    this.#careTimer = setTimeout(() => this.#askDue(), Math.max(next - performance.now(), 0) + 1);
    this.#careTimer.unref();
  }

  async #ask(vias: readonly Via[]): Promise<void> {
    const requests = vias.flatMap((via) => {
      const address = readAddress(via.address);
      return address === null ? [] : [{ via, address }];
    });
    const answers = await this.#mirror.requests.batch(
      requests.map(({ via, address }) => ({
        type: wire.RTM_NEWNEIGH,
        flags: NLM_F_CREATE,
        payload: wire.encodeNeighbourUse(address, via.interfaceIndex),
      })),
    );
    answers.forEach((answer, index) => {
      const via = requests[index]?.via;
      if (!(answer instanceof SystemError) || via === undefined) return;
      const key = neighbourKey(via);
      this.#care.refused(key, refusalText(answer, via), performance.now());
      this.#note(this.#routes.neighbourChanged(key));
    });
    if (answers.some((answer) => answer instanceof SystemError)) this.#askDue();
  }

  #addressesChanged(): void {
    this.#changedAddresses = true;
    this.#tell();
  }

  #note(changes: RouteChanges): void {
    for (const address of changes) this.#changedMembers.add(address);
    if (changes.length > 0) this.#tell();
  }

  /** One call of the listeners for everything that happens in one turn of the loop. */
  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      const change: NetworkChange = {
        members: this.#changedMembers,
        interfaces: this.#changedInterfaces,
        addresses: this.#changedAddresses,
      };
      this.#changedMembers = new Set();
      this.#changedInterfaces = false;
      this.#changedAddresses = false;
      for (const listener of [...this.#listeners]) listener(change);
    });
  }

  /** Says each problem once, not at every change of the network. */
  #logProblems(problems: readonly Problem[]): void {
    const text = problems.map(({ message }) => message).join('; ');
    if (text !== '' && text !== this.#problems) this.#log.warn({ problems }, text);
    this.#problems = text;
  }
}

export interface NetworkOptions {
  readonly poller: Poller;
  readonly log: Log;
  /** Bytes of the receive buffer for notifications; for tests that want overruns. */
  readonly notificationBuffer?: number;
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

/** One address, one text; what is no address stays as it is. */
function canonical(text: string): string {
  const address = readAddress(text);
  return address === null ? text : formatAddress(address.bytes);
}

function refusalText(error: SystemError, via: Via): string {
  const family = readAddress(via.address)?.family ?? 4;
  if (error.code === 'ENOBUFS') {
    return `its neighbour table is full; raise net.ipv${family}.neigh.default.gc_thresh3`;
  }
  return error.message;
}
