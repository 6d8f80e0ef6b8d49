/**
 * Units with a VRRP engine each, on one simulated link with clients, in simulated time: messages
 * are lost, late, kept apart; units stand still, end, or have a clock that leaps. All that happens
 * by chance comes from the seed.
 *
 * Invariant: nothing here waits or looks at a clock, so a seed repeats a history exactly.
 */
import { readAddress, type Family } from '../../appliance/config/address-codec.js';
import type { Arrival } from '../../appliance/ha/vrrp/acceptance.js';
import { VrrpEngine, type LinkState, type RoleChange } from '../../appliance/ha/vrrp/engine.js';
import { Peer, type Sent } from '../../appliance/ha/vrrp/paths/peer.js';
import type { PathSettings, PathsSettings } from '../../appliance/ha/vrrp/paths/settings.js';
import { VRRP_HOP_LIMIT } from '../../appliance/ha/vrrp/packet.js';
import type {
  AnnouncementSettings,
  GroupSettings,
  RouterSettings,
} from '../../appliance/ha/vrrp/settings.js';
import { generator } from './random.js';

export function bytesOf(text: string): Uint8Array {
  const address = readAddress(text);
  if (address === null) throw new Error(`${text} is no address`);
  return address.bytes;
}

/** A router as most tests want it. */
export function routerOf(part: Partial<RouterSettings> = {}): RouterSettings {
  return {
    name: 'web',
    interface: 'eth0',
    vrid: 51,
    family: 4,
    version: 3,
    interval: 1000,
    addresses: [bytesOf('10.0.0.80')],
    checksum: 'message',
    password: null,
    peers: [],
    virtualMac: false,
    otherAddresses: 'accept',
    ...part,
  };
}

export function groupOf(part: Partial<GroupSettings> = {}): GroupSettings {
  return {
    name: 'web',
    routers: [routerOf()],
    priority: 100,
    preempt: 'weaker',
    preemptDelay: 0,
    tracked: [],
    ...part,
  };
}

/** 10.0.0.1 and fe80::1 for the first unit, and so on. */
export function sourceOf(unit: number, family: Family): Uint8Array {
  return bytesOf(family === 4 ? `10.0.0.${unit + 1}` : `fe80::${(unit + 1).toString(16)}`);
}

export function linkOf(unit: number, running = true): LinkState {
  return { running, sources: { 4: sourceOf(unit, 4), 6: sourceOf(unit, 6) } };
}

/** Paths of a unit of two: `lan` over the network of its routers, others over cables of their own. */
export function pathsOf(unit: number, names: readonly string[]): PathSettings[] {
  return names.map((name, index) => {
    const end = (of: number): Uint8Array =>
      name === 'lan' ? sourceOf(of, 4) : bytesOf(`10.1.${index}.${of + 1}`);
    const on = name === 'lan' ? 'eth0' : `cable${index}`;
    return { name, interface: on, family: 4, local: end(unit), remote: end(1 - unit) };
  });
}

/** Messages that a socket keeps for a process that does not read. */
const SOCKET_ROOM = 200;

export class SimulatedUnit {
  readonly engine: VrrpEngine;
  readonly changes: (RoleChange & { readonly at: number })[] = [];
  /** Rounds of announcements, by router. */
  readonly announced = new Map<string, number>();
  /** `process`: it does not read, but its socket does; `machine`: nothing arrives. */
  still: 'process' | 'machine' | null = null;
  alive = true;
  queue: Arrival[] = [];
  peer: Peer | null = null;
  readonly paths = new Map<string, PathSettings>();
  readonly pathQueue: Sent[] = [];
  #said = '';
  /** Its clock ahead of the others'. */
  ahead = 0;
  wakeAt = Infinity;
  /** When its next turn was due, by its own clock. */
  due = Infinity;

  constructor(
    readonly network: VrrpNetwork,
    readonly index: number,
    announcements: AnnouncementSettings,
  ) {
    this.engine = new VrrpEngine(
      {
        transmit: ({ router, ends, message }) => {
          network.carry(this, router, ends, message);
        },
        changed: (change) => {
          this.changes.push({ ...change, at: network.now });
        },
        announce: (router) => {
          this.announced.set(router.name, (this.announced.get(router.name) ?? 0) + 1);
          network.tell(this, router);
        },
      },
      announcements,
    );
  }

  get clock(): number {
    return this.network.now + this.ahead;
  }

  get masters(): readonly string[] {
    return this.alive ? this.engine.held().map(({ name }) => name) : [];
  }

  /** Reads everything that has come, and acts. */
  turn(): void {
    if (!this.alive || this.still !== null) return;
    const queue = this.queue;
    this.queue = [];
    const late = this.clock - this.due;
    if (late > 0) {
      this.engine.heldUp(late, this.clock);
      this.peer?.heldUp(late, this.clock);
    }
    for (const { path, datagram } of this.pathQueue.splice(0)) {
      const answer = this.peer?.receive(path, datagram, this.engine.report(), this.clock) ?? null;
      if (answer !== null) this.network.carryHeartbeat(this, answer);
    }
    this.engine.turn(this.clock, queue, this.peer?.news(this.clock) ?? null);
    this.plan();
  }

  /** Tells the other unit, and plans the next wake. */
  plan(): void {
    this.#tell();
    const deadline = Math.min(this.engine.deadline, this.peer?.deadline ?? Infinity);
    this.due = deadline;
    const at = Math.max(this.network.now, deadline - this.ahead);
    if (at === this.wakeAt || at === Infinity) return;
    this.wakeAt = at;
    this.network.at(at, () => {
      if (this.wakeAt !== at) return;
      this.wakeAt = Infinity;
      this.turn();
    });
  }

  #tell(): void {
    if (this.peer === null || !this.alive) return;
    const report = this.engine.report();
    const said = JSON.stringify([...report]);
    if (said === this.#said && !this.peer.due(this.clock)) return;
    this.#said = said;
    for (const sent of this.peer.send(report, this.clock)) this.network.carryHeartbeat(this, sent);
  }

  /** From now on it has paths to the other one of two. */
  pair(settings: PathsSettings): void {
    const run = Uint8Array.from({ length: 16 }, () => this.network.random(256));
    this.peer = new Peer(settings, run);
    for (const path of settings.paths) this.paths.set(path.name, path);
    this.plan();
  }

  /** Ends in order. */
  stop(): void {
    this.engine.stop(this.clock, 'it was told to');
    this.plan();
    this.kill();
  }

  configure(groups: readonly GroupSettings[]): void {
    const names = new Set(groups.flatMap(({ routers }) => routers.map((r) => r.interface)));
    this.engine.configure(groups, this.clock);
    for (const name of names) this.engine.link(name, linkOf(this.index), this.clock);
    this.plan();
  }

  freeze(how: 'process' | 'machine'): void {
    this.still = how;
  }

  thaw(): void {
    this.still = null;
    this.turn();
  }

  /** The clock leaps forward, as after a pause that nobody else had. */
  leap(milliseconds: number): void {
    this.ahead += milliseconds;
    this.turn();
  }

  /** Ends without a word. */
  kill(): void {
    this.alive = false;
    this.queue = [];
  }
}

export class VrrpNetwork {
  now = 0;
  readonly units: SimulatedUnit[];
  readonly random: (below: number) => number;
  /** Of a hundred messages. */
  loss = 0;
  /** Milliseconds. */
  delay: readonly [number, number] = [0, 1];
  /** The part of the link that each unit is on; a network in one piece has only zeros. */
  parts: number[];
  /** Beside each unit there is a client: whom it believes to hold a router's addresses. */
  readonly beliefs: Map<string, number>[];
  /** Lets a test look at, and lose, messages. */
  passes: (from: number, to: number, router: RouterSettings) => boolean = () => true;
  readonly #events: { readonly at: number; readonly order: number; readonly act: () => void }[] =
    [];
  #order = 0;

  constructor(count: number, seed: number, announcements: AnnouncementSettings) {
    this.random = generator(seed);
    this.units = Array.from({ length: count }, (_, i) => new SimulatedUnit(this, i, announcements));
    this.parts = this.units.map(() => 0);
    this.beliefs = this.units.map(() => new Map<string, number>());
  }

  at(at: number, act: () => void): void {
    const event = { at, order: this.#order, act };
    this.#order += 1;
    let index = this.#events.length;
    while (index > 0 && (this.#events[index - 1]?.at ?? -1) > at) index -= 1;
    this.#events.splice(index, 0, event);
  }

  /** Lets time pass; `look` is called after everything that happens. */
  pass(milliseconds: number, look: () => void = () => undefined): void {
    const end = this.now + milliseconds;
    for (;;) {
      const next = this.#events[0];
      if (next === undefined || next.at > end) break;
      this.#events.shift();
      this.now = Math.max(this.now, next.at);
      next.act();
      look();
    }
    this.now = end;
  }

  /** How many units believe to be master, by router. */
  masters(router: string): number[] {
    return this.units.filter(({ masters }) => masters.includes(router)).map(({ index }) => index);
  }

  get changes(): number {
    return this.units.reduce((sum, { changes }) => sum + changes.length, 0);
  }

  #reaches(from: number, to: number): boolean {
    return this.parts[from] === this.parts[to] && this.random(100) >= this.loss;
  }

  #late(): number {
    const [least, most] = this.delay;
    return least + (this.random(1000) / 1000) * (most - least);
  }

  carry(
    from: SimulatedUnit,
    router: RouterSettings,
    ends: { readonly source: Uint8Array; readonly destination: Uint8Array },
    message: Uint8Array,
  ): void {
    const { interface: on, family } = router;
    const arrival = { interface: on, family, ...ends, hopLimit: VRRP_HOP_LIMIT, message };
    for (const unit of this.units) {
      if (unit === from || !this.#reaches(from.index, unit.index)) continue;
      if (!this.passes(from.index, unit.index, router)) continue;
      this.at(this.now + this.#late(), () => {
        if (!unit.alive || unit.still === 'machine') return;
        if (unit.queue.length < SOCKET_ROOM) unit.queue.push(arrival);
        unit.turn();
      });
    }
  }

  /** Names of paths that are cut; `lan` is also when its network is in parts. */
  readonly cut = new Set<string>();
  /** All heartbeats that were ever sent. */
  readonly heartbeats: { readonly to: number; readonly sent: Sent }[] = [];

  carryHeartbeat(from: SimulatedUnit, sent: Sent): void {
    const to = this.units[1 - from.index];
    this.heartbeats.push({ to: 1 - from.index, sent });
    const { name } = sent.path;
    if (to === undefined || this.cut.has(name)) return;
    if (name === 'lan' && !this.#reaches(from.index, to.index)) return;
    this.at(this.now + this.#late(), () => this.deliver(to, sent));
  }

  /** A heartbeat arrives, be it one that was sent long ago. */
  deliver(to: SimulatedUnit, { path, datagram }: Sent): void {
    const by = to.paths.get(path.name);
    if (!to.alive || to.still === 'machine' || by === undefined) return;
    if (to.pathQueue.length < SOCKET_ROOM) to.pathQueue.push({ path: by, datagram });
    to.turn();
  }

  tell(from: SimulatedUnit, router: RouterSettings): void {
    this.beliefs.forEach((beliefs, client) => {
      if (!this.#reaches(from.index, client)) return;
      this.at(this.now + this.#late(), () => beliefs.set(router.name, from.index));
    });
  }
}
