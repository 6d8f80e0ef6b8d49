/**
 * Everything that a speaker decides, for all virtual routers of a unit. Pure: clock, messages and
 * everything that happens outside are given or go to a port. Milliseconds of a clock that only
 * goes forward.
 *
 * Invariant: turn() takes every message that has come so far, and acts on them before it acts on
 * time: of each sender on the newest alone, since older ones tell what is no longer so. A speaker
 * that was held up for long so hears all about it first, and what it then says it says once.
 */
import { formatAddress, type Family } from '../../config/address-codec.js';
import { inPrefix, isLinkLocal } from '../../net/prefix.js';
import { cameFar, judge, sameAddresses, type Arrival } from './acceptance.js';
import { Announcer } from './announcer.js';
import { Group } from './group.js';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  RELEASE_PRIORITY,
  vrrpGroups,
  type Advertisement,
  type Ends,
} from './packet.js';
import { PairView } from './paths/pair-view.js';
import type { Report } from './paths/heartbeat.js';
import type { PeerNews } from './paths/peer.js';
import { RejectionCounts, type Rejection } from './rejections.js';
import type { AnnouncementSettings, GroupSettings, RouterSettings } from './settings.js';
import { VirtualRouter, type Role } from './virtual-router.js';

export interface RoleChange {
  readonly router: string;
  readonly role: Role;
  /** A sentence's end for people. */
  readonly why: string;
}

export interface EnginePort {
  /** Sends a message; where that fails it is lost, as it may be on the link. */
  transmit(outgoing: Outgoing): void;
  changed(change: RoleChange): void;
  /** One announcement for each address, after they are held. `round`: 1 for the first that it makes. */
  announce(router: RouterSettings, round: number): void;
}

/** What an interface allows now. */
export interface LinkState {
  /** Frames can pass. */
  readonly running: boolean;
  /** Of routers that want a MAC address of their own, which one is not to be had; by name. */
  readonly withoutMac?: ReadonlySet<string>;
  /** Where advertisements come from: the primary address of each family (RFC 9568 §1.6). */
  readonly sources: Readonly<Record<Family, Uint8Array | null>>;
  /** For peers of IPv6 that are not link-local: all others of this unit there. Left out: none. */
  readonly globals?: readonly { readonly bytes: Uint8Array; readonly prefixLength: number }[];
}

export interface RouterStatus {
  readonly router: string;
  readonly role: Role;
  readonly priority: number;
  /** The master's, in milliseconds. */
  readonly interval: number;
  /** As backup, the master that was heard last; else null. */
  readonly master: { readonly address: string; readonly priority: number } | null;
  readonly sent: number;
  readonly received: number;
  /** Of those received: with other addresses than its own, though they count. */
  readonly otherAddresses: number;
  readonly takeovers: number;
  readonly announcements: number;
  readonly rejected: Readonly<Partial<Record<Rejection, number>>>;
}

/** A message and where it goes. */
export interface Outgoing {
  readonly router: RouterSettings;
  readonly ends: Ends;
  readonly message: Uint8Array;
}

interface Entry {
  readonly machine: VirtualRouter;
  readonly announcer: Announcer;
  readonly rejected: RejectionCounts;
  group: Group;
  wantsAssertion: boolean;
  master: RouterStatus['master'];
  sent: number;
  received: number;
  otherAddresses: number;
  takeovers: number;
  announcements: number;
}

interface Heard {
  readonly entry: Entry;
  readonly advertisement: Advertisement;
  readonly source: Uint8Array;
  /** The router's own source address. */
  readonly own: Uint8Array;
}

export class VrrpEngine {
  readonly #port: EnginePort;
  readonly #announcements: AnnouncementSettings;
  #groups = new Map<string, Group>();
  #entries = new Map<string, Entry>();
  /** By interface, family and id. */
  #places = new Map<string, Entry>();
  readonly #links = new Map<string, LinkState>();
  readonly #tracked = new Map<string, boolean>();
  readonly #pair = new PairView();
  /** Of messages that belong to no router. */
  readonly #rejected = new RejectionCounts();

  constructor(port: EnginePort, announcements: AnnouncementSettings) {
    this.#port = port;
    this.#announcements = announcements;
  }

  /** When turn() is wanted next without any message; Infinity: never. */
  get deadline(): number {
    let first = this.#pair.deadline([...this.#groups.values()]);
    for (const { machine, announcer } of this.#entries.values()) {
      first = Math.min(first, machine.deadline, announcer.deadline);
    }
    return first;
  }

  /**
   * Before another unit can take over because it heard nothing more from this one. Infinity: this
   * one holds nothing.
   */
  get leasedUntil(): number {
    let first = Infinity;
    for (const { machine } of this.#entries.values()) first = Math.min(first, machine.leasedUntil);
    return first;
  }

  /** What would have to be sent to give up what is held. */
  farewells(): readonly Outgoing[] {
    return [...this.#entries.values()]
      .filter(({ machine }) => machine.role === 'master')
      .flatMap(({ machine }) => this.#messages(machine.settings, RELEASE_PRIORITY));
  }

  /** The routers whose addresses this unit holds. */
  held(): readonly RouterSettings[] {
    return [...this.#entries.values()]
      .filter(({ machine }) => machine.role === 'master')
      .map(({ machine }) => machine.settings);
  }

  status(): readonly RouterStatus[] {
    return [...this.#entries.values()].map(({ machine, rejected, ...counts }) => ({
      router: machine.settings.name,
      role: machine.role,
      priority: machine.priority,
      interval: machine.role === 'backup' ? machine.masterInterval : machine.settings.interval,
      master: machine.role === 'backup' ? counts.master : null,
      sent: counts.sent,
      received: counts.received,
      otherAddresses: counts.otherAddresses,
      takeovers: counts.takeovers,
      announcements: counts.announcements,
      rejected: rejected.all(),
    }));
  }

  /** Messages that were for none of the routers. */
  rejected(): Readonly<Partial<Record<Rejection, number>>> {
    return this.#rejected.all();
  }

  /**
   * Follows other settings: what stays the same router (name, interface, family, id, version) keeps
   * its role; others end and begin.
   */
  configure(groups: readonly GroupSettings[], now: number): void {
    const wanted = new Set(groups.flatMap(({ routers }) => routers.map(identity)));
    for (const [name, entry] of this.#entries) {
      if (wanted.has(identity(entry.machine.settings))) continue;
      entry.machine.stop(now, 'it is not configured any more');
      this.#entries.delete(name);
    }
    const before = this.#groups;
    this.#groups = new Map();
    this.#places = new Map();
    const changed: Entry[] = [];
    for (const settings of groups) {
      const group = before.get(settings.name) ?? new Group(settings);
      group.settings = settings;
      this.#groups.set(settings.name, group);
      group.routers = settings.routers.map((router) => {
        const entry = this.#entries.get(router.name) ?? this.#create(router, group);
        const { addresses } = entry.machine.settings;
        entry.group = group;
        entry.machine.setSettings(router, now);
        if (!sameAddresses(addresses, router.addresses)) changed.push(entry);
        this.#entries.set(router.name, entry);
        this.#places.set(place(router.interface, router.family, router.vrid), entry);
        return entry.machine;
      });
    }
    for (const { machine, announcer } of changed) {
      if (machine.role === 'master') announcer.taken(now);
    }
    this.turn(now, []);
  }

  /** What an interface allows has changed. */
  link(name: string, state: LinkState, now: number): void {
    this.#links.set(name, state);
    this.turn(now, []);
  }

  /** What is tracked is well, or is not. */
  track(name: string, well: boolean, now: number): void {
    this.#tracked.set(name, well);
    this.turn(now, []);
  }

  /** Before a turn that comes so many milliseconds later than it was due. */
  heldUp(still: number, now: number): void {
    for (const { machine } of this.#entries.values()) machine.heldUp(still, now);
  }

  /** What this unit is for each group, for the other one. */
  report(): Report {
    return new Map(
      [...this.#groups.values()].map(({ key, state, priority }) => [key, { state, priority }]),
    );
  }

  /**
   * What the other unit says over other paths, or that it is silent on all of them. Over a network
   * of a router's own this counts as its advertisement does; what else it means is in pair-view.ts.
   */
  #hearPeer(news: PeerNews, now: number): void {
    this.#pair.hear(news, [...this.#groups.values()]);
    for (const group of this.#groups.values()) {
      const said = news.report.get(group.key);
      if (said?.state !== 'master') continue;
      for (const router of group.routers) this.#hearPath(router, said.priority, news, now);
      this.#settleGroup(group, now);
    }
  }

  #hearPath(machine: VirtualRouter, priority: number, { by }: PeerNews, now: number): void {
    const { settings } = machine;
    const here = by.filter((one) => one.interface === settings.interface);
    const [any] = here;
    // Of equals the higher address wins, so then it must be one of those that VRRP compares.
    const path =
      here.find(({ family }) => family === settings.family) ??
      (priority === machine.priority ? undefined : any);
    if (path === undefined) return;
    const { version, vrid, interval, addresses, password } = settings;
    const advertisement = { version, vrid, priority, interval, addresses, password };
    machine.heard(advertisement, path.remote, path.local, now);
  }

  /** Gives up everything. */
  stop(now: number, why: string): void {
    for (const { machine } of this.#entries.values()) machine.stop(now, why);
    this.#entries.clear();
    this.configure([], now);
  }

  /**
   * `arrivals`: all that have come so far, in order. `news`: what is known of the other unit; null:
   * nothing new.
   */
  turn(now: number, arrivals: readonly Arrival[], news: PeerNews | null = null): void {
    const newest = new Map<string, Heard>();
    for (const arrival of arrivals) {
      const heard = this.#read(arrival);
      if (heard === null) continue;
      const sender = `${heard.entry.machine.settings.name} ${formatAddress(arrival.source)}`;
      // Last in order, too.
      newest.delete(sender);
      newest.set(sender, heard);
    }
    for (const heard of newest.values()) this.#hear(heard, now);
    if (news !== null) this.#hearPeer(news, now);
    this.#pair.elapse([...this.#groups.values()], now);
    this.#settle(now);
    for (const { machine } of this.#entries.values()) machine.elapse(now);
    this.#settle(now);
    for (const entry of this.#entries.values()) {
      const { machine, announcer } = entry;
      if (machine.role !== 'master') {
        entry.wantsAssertion = false;
        continue;
      }
      if (entry.wantsAssertion) this.#send(entry, machine.priority);
      if (!announcer.take(now)) continue;
      entry.announcements += 1;
      this.#port.announce(machine.settings, entry.announcements);
    }
  }

  #settle(now: number): void {
    for (const group of this.#groups.values()) this.#settleGroup(group, now);
  }

  #settleGroup(group: Group, now: number): void {
    group.settle(now, this.#tracked, (router) => this.#obstacle(router.settings));
  }

  #obstacle(settings: RouterSettings): string | null {
    const { name: router, interface: name, family } = settings;
    const link = this.#links.get(name);
    if (link === undefined) return `there is no interface ${name}`;
    if (!link.running) return `interface ${name} has no link`;
    if (link.withoutMac?.has(router) === true) return `it has no virtual MAC address on ${name}`;
    if (this.#source(settings) !== null) return null;
    const kind = link.sources[family] === null ? '' : ' global';
    return `interface ${name} has no${kind} IPv${family} address`;
  }

  /** What it says to which router; null: nothing that counts. */
  #read(arrival: Arrival): Heard | null {
    // Read before anything was checked: it only says who counts the reason.
    const vrid = arrival.message[1] ?? 0;
    const entry = this.#places.get(place(arrival.interface, arrival.family, vrid));
    const refuse = (reason: Rejection): null => {
      (entry?.rejected ?? this.#rejected).add(reason);
      return null;
    };
    if (cameFar(arrival)) return refuse('hop-limit');
    const advertisement = decodeAdvertisement(arrival.message, arrival);
    if (typeof advertisement === 'string') return refuse(advertisement);
    if (entry === undefined) return refuse('vrid-unknown');
    const { settings, priority } = entry.machine;
    const own = this.#source(settings);
    if (own === null) return null;
    const reason = judge(advertisement, arrival, settings, { own, priority });
    if (reason !== null) return refuse(reason);
    entry.received += 1;
    if (!sameAddresses(advertisement.addresses, settings.addresses)) entry.otherAddresses += 1;
    return { entry, advertisement, source: arrival.source, own };
  }

  #hear({ entry, advertisement, source, own }: Heard, now: number): void {
    const { machine } = entry;
    const { role } = machine;
    const { priority } = advertisement;
    entry.master =
      priority === RELEASE_PRIORITY ? null : { address: formatAddress(source), priority };
    machine.heard(advertisement, source, own, now);
    // Where one yields, the others of its group do before they hear more.
    if (machine.role !== role) this.#settleGroup(entry.group, now);
  }

  #source({ interface: name, family, peers: [peer] }: RouterSettings): Uint8Array | null {
    const link = this.#links.get(name);
    if (link === undefined) return null;
    if (peer === undefined || family === 4 || isLinkLocal({ family, bytes: peer })) {
      return link.sources[family];
    }
    const { globals = [] } = link;
    const near = globals.find(({ bytes, prefixLength }) => inPrefix(peer, bytes, prefixLength));
    return (near ?? globals[0])?.bytes ?? null;
  }

  #send(entry: Entry, priority: number): void {
    entry.wantsAssertion = false;
    const messages = this.#messages(entry.machine.settings, priority);
    if (messages.length === 0) return;
    for (const message of messages) this.#port.transmit(message);
    entry.sent += 1;
  }

  #messages(router: RouterSettings, priority: number): readonly Outgoing[] {
    const source = this.#source(router);
    if (source === null) return [];
    const destinations = router.peers.length > 0 ? router.peers : [vrrpGroups[router.family]];
    const { version, vrid, interval, password } = router;
    const addresses = linkLocalFirst(router.addresses);
    return destinations.map((destination) => {
      const ends = { source, destination };
      const message = encodeAdvertisement(
        { version, vrid, priority, interval, addresses, password },
        ends,
        router.checksum,
      );
      return { router, ends, message };
    });
  }

  #create(settings: RouterSettings, group: Group): Entry {
    const announcer = new Announcer(this.#announcements);
    const machine = new VirtualRouter(settings, group.settings.priority, {
      send: (priority) => this.#send(entry, priority),
      assert: () => {
        entry.wantsAssertion = true;
      },
      became: (role, why, at) => this.#became(entry, role, why, at),
      contested: (at) => announcer.contested(at),
      vacated: (at) => announcer.vacated(at),
      mayPreempt: (at, than, sank) => entry.group.mayPreempt(at, than, sank),
      content: () => entry.group.content(),
    });
    const entry: Entry = {
      machine,
      announcer,
      rejected: new RejectionCounts(),
      group,
      wantsAssertion: false,
      master: null,
      sent: 0,
      received: 0,
      otherAddresses: 0,
      takeovers: 0,
      announcements: 0,
    };
    return entry;
  }

  #became(entry: Entry, role: Role, why: string, now: number): void {
    if (role === 'master') {
      entry.takeovers += 1;
      entry.announcer.taken(now);
    } else entry.announcer.released();
    this.#port.changed({ router: entry.machine.settings.name, role, why });
  }
}

function place(name: string, family: Family, vrid: number): string {
  return `${name} ${family} ${vrid}`;
}

function identity({ name, interface: on, family, vrid, version }: RouterSettings): string {
  return `${name} ${place(on, family, vrid)} ${version}`;
}

/** RFC 9568 §5.2.9. */
function linkLocalFirst(addresses: readonly Uint8Array[]): readonly Uint8Array[] {
  const isLinkLocal = (bytes: Uint8Array): boolean =>
    bytes.length === 16 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
  const first = addresses.filter(isLinkLocal);
  return [...first, ...addresses.filter((bytes) => !isLinkLocal(bytes))];
}
