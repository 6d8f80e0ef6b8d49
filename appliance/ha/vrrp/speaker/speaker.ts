/**
 * The speaker of a unit: what the engine decides, carried out with sockets, a timer and netlink, as
 * its parent says. A process of its own, so that nothing else of the unit can make it late.
 *
 * Invariants:
 * - Every wake reads all that has come before the engine acts on time (engine.ts).
 * - An address is announced after it is held, and never once it was given up.
 * - While it holds anything its lease is renewed with every turn, from before the first address is
 *   put on until after the last one is off.
 * - Without a parent it gives up everything and ends, at once or after a time (parent.ts): nobody
 *   could tell it anything any more.
 */
import { readFileSync } from 'node:fs';
import { SystemError } from '../../../../native/ffi/libc.js';
import { FrameSender } from '../../../../native/ffi/packet-socket.js';
import { Poller } from '../../../../native/ffi/poller.js';
import { monotonicNow, Timer } from '../../../../native/ffi/timer.js';
import { formatAddress } from '../../../config/address-codec.js';
import { movesByItself } from '../../../net/service-addresses.js';
import type { InterfaceAddress } from '../../../net/wire.js';
import { gratuitousArp, unsolicitedAdvertisement } from '../announcement.js';
import { VrrpEngine, type LinkState } from '../engine.js';
import { usualAnnouncements, type GroupSettings, type RouterSettings } from '../settings.js';
import { HeldAddresses } from './addresses.js';
import { Interfaces } from './interfaces.js';
import { GuardProcess } from './guard-process.js';
import { parseSettings, type FromSpeaker } from './messages.js';
import { PairPaths } from './pair-paths.js';
import { Parent, type Told } from './parent.js';
import { Sockets } from './sockets.js';

/** An address that somebody takes off while it is held comes back this much later. */
const PUT_BACK_MS = 1000;
/** The longest that putting on or taking off addresses may take without a turn in between. */
const PLACING_MS = 200;
/** A status takes a few hundred bytes, a message 64 KiB. */
const ROUTERS_A_MESSAGE = 50;

export class Speaker {
  readonly #parent: Parent;
  readonly #guard: GuardProcess;
  readonly #poller = new Poller();
  readonly #timer = new Timer();
  readonly #frames = new FrameSender();
  readonly #engine: VrrpEngine;
  readonly #interfaces: Interfaces;
  readonly #addresses: HeldAddresses;
  readonly #sockets: Sockets;
  readonly #paths: PairPaths;
  #groups: readonly GroupSettings[] = [];
  readonly #linkTexts = new Map<string, string>();
  /** What was told of and is not over. */
  readonly #problems = new Map<string, string>();
  #held = '';
  #placed: Promise<void> = Promise.resolve();
  /** Addresses are being put on or taken off. */
  #placing = 0;
  #wishes: readonly string[] = [];
  #guardPid: number | null = null;
  #announcements: { readonly router: RouterSettings; readonly round: number }[] = [];
  #putBack: NodeJS.Timeout | null = null;
  #ended = false;
  #end: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;

  /**
   * `channel`: the descriptor that leads to the parent. `stateFile`: where it says how another one
   * can adopt it; null: nobody can. Throws SystemError.
   */
  constructor(channel: number, stateFile: string | null) {
    this.#parent = new Parent({
      poller: this.#poller,
      channel,
      stateFile,
      onMessage: (message, beside) => this.#obey(message, beside),
      onGone: (why) => this.stop(why),
    });
    this.#guard = new GuardProcess({
      report: (message) => this.#report('guard', message),
      onChange: (pid) => {
        this.#guardPid = pid;
        this.#parent.tell({ kind: 'guard', pid });
      },
    });
    const report = (subject: string, message: string | null): void => {
      this.#report(subject, message);
    };
    this.#engine = new VrrpEngine(
      {
        transmit: (router, ends, message) => {
          const subject = `sending ${router.name}`;
          try {
            this.#sockets.send(router, ends, message);
            report(subject, null);
          } catch (error) {
            if (!(error instanceof SystemError)) throw error;
            report(subject, `cannot send advertisements of ${router.name}: ${error.message}`);
          }
        },
        changed: (change) => this.#tell({ kind: 'role', ...change }),
        announce: (router, round) => this.#announcements.push({ router, round }),
      },
      usualAnnouncements,
    );
    this.#interfaces = new Interfaces({
      poller: this.#poller,
      onChange: () => this.#networkChanged(),
      onFailure: (error) => this.#fail(error),
    });
    this.#addresses = new HeldAddresses(this.#interfaces, report);
    this.#paths = new PairPaths({
      poller: this.#poller,
      interfaces: this.#interfaces,
      onReady: () => this.#turn(),
      report,
    });
    this.#sockets = new Sockets({ poller: this.#poller, onReady: () => this.#turn(), report });
  }

  /** Works until it was told to end, or nobody is there any more to tell. `wishes`: see FromSpeaker. */
  async run(wishes: readonly string[]): Promise<void> {
    await this.#interfaces.read();
    // What one left that was killed: this one begins as a backup.
    await this.#addresses.hold([]);
    await this.#guard.start();
    this.#wishes = wishes;
    this.#poller.ref();
    const ended = new Promise<void>((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
      // A signal may have come meanwhile.
      if (this.#ended) resolve();
    });
    this.#poller.add(this.#timer.fd, () => {
      this.#timer.rest();
      this.#turn();
    });
    this.#parent.listen();
    this.#tell({ kind: 'loaded', wishes });
    try {
      await ended;
    } finally {
      await this.#close();
    }
  }

  /** Gives up everything and ends. */
  stop(why: string): void {
    if (this.#ended) return;
    this.#act((now) => this.#engine.stop(now, why));
    this.#ended = true;
    this.#placed.then(() => this.#end(), this.#fail);
  }

  async #close(): Promise<void> {
    this.#parent.close();
    this.#guard.close();
    if (this.#putBack !== null) clearTimeout(this.#putBack);
    await this.#addresses.hold([]);
    this.#sockets.close();
    this.#paths.close();
    this.#interfaces.close();
    this.#frames.close();
    this.#poller.close();
    this.#timer.close();
  }

  #obey(message: Told, beside: readonly string[]): void {
    switch (message.kind) {
      case 'adopt':
        this.#tellAll();
        break;
      case 'configure':
        this.#configure(JSON.parse(beside[0] ?? 'null'));
        break;
      case 'track':
        this.#act((now) => this.#engine.track(message.name, message.well, now));
        break;
      case 'ask':
        this.#tell({ kind: 'alive' });
        break;
      case 'status':
        this.#tellStatus();
        break;
      case 'stop':
        this.stop('it was told to');
    }
  }

  /** What the last parent knew. */
  #tellAll(): void {
    this.#parent.tell({ kind: 'guard', pid: this.#guardPid });
    this.#tell({ kind: 'loaded', wishes: this.#wishes });
    for (const { router, role } of this.#engine.status()) {
      this.#tell({ kind: 'role', router, role, why: 'it was so when this daemon came' });
    }
    for (const [subject, message] of this.#problems) {
      this.#tell({ kind: 'problem', subject, message });
    }
  }

  #tellStatus(): void {
    const [routers, rejected] = [this.#engine.status(), this.#engine.rejected()];
    let from = 0;
    do {
      const part = routers.slice(from, from + ROUTERS_A_MESSAGE);
      from += ROUTERS_A_MESSAGE;
      this.#tell({ kind: 'status', routers: part, rejected, last: from >= routers.length });
    } while (from < routers.length);
  }

  #configure(said: unknown): void {
    const settings = parseSettings(said);
    if (typeof settings === 'string') {
      this.#tell({ kind: 'refused', reason: settings });
      return;
    }
    this.#groups = settings.groups;
    this.#paths.configure(settings.paths);
    this.#act((now) => {
      this.#followInterfaces(now);
      this.#engine.configure(settings.groups, now);
    });
    this.#tell({ kind: 'configured' });
  }

  #turn(): void {
    if (this.#ended) return;
    this.#act(() => {
      const arrivals = this.#sockets.drain();
      const now = monotonicNow();
      const news = this.#paths.drain(this.#engine.report(), now);
      this.#engine.turn(now, arrivals, news);
    });
  }

  #networkChanged(): void {
    if (this.#ended) return;
    this.#paths.follow();
    this.#act((now) => this.#followInterfaces(now));
    this.#putBackLater();
  }

  /** Lets the engine decide, and carries it out. */
  #act(decide: (now: number) => void): void {
    if (this.#ended) return;
    decide(monotonicNow());
    this.#paths.tell(this.#engine.report(), monotonicNow());
    const paths = this.#paths.changes();
    if (paths !== null) this.#tell({ kind: 'paths', paths });
    const held = this.#engine.held();
    const text = JSON.stringify(held.map(placesOf));
    if (text !== this.#held) {
      this.#held = text;
      this.#place(held);
    }
    this.#renewLease();
    const announcements = this.#announcements;
    this.#announcements = [];
    if (announcements.length > 0) {
      this.#placed.then(
        () => {
          for (const { router, round } of announcements) this.#announce(router, round);
        },
        // Told above.
        () => undefined,
      );
    }
    this.#timer.set(Math.min(this.#engine.deadline, this.#paths.deadline));
  }

  #place(held: readonly RouterSettings[]): void {
    this.#placing += 1;
    this.#guard.farewells = this.#engine.farewells().flatMap(({ router, ends, message }) => {
      const link = this.#interfaces.named(router.interface);
      const { family, interface: name } = router;
      return link === null
        ? []
        : [{ interface: { name, index: link.index }, family, ...ends, message }];
    });
    this.#placed = this.#addresses.hold(held);
    this.#placed.then(
      () => {
        this.#placing -= 1;
        this.#renewLease();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #renewLease(): void {
    const own = this.#engine.leasedUntil;
    // Heard by the other unit in more than one way, it lives for the one that notices first.
    const until = own === Infinity ? own : Math.min(own, this.#paths.leasedUntil);
    if (this.#placing === 0) this.#guard.renew(until);
    else this.#guard.renew(Math.max(until === Infinity ? 0 : until, monotonicNow() + PLACING_MS));
  }

  /** Sockets and what the engine knows of interfaces follow the kernel. */
  #followInterfaces(now: number): void {
    const routers = this.#groups.flatMap((group) => group.routers);
    this.#sockets.want(
      routers.map(({ interface: name, family }) => ({
        name,
        family,
        link: this.#interfaces.named(name),
      })),
    );
    const moving = new Set(routers.flatMap(({ addresses }) => addresses.map(formatAddress)));
    const movable = (address: InterfaceAddress): boolean =>
      movesByItself(address) || moving.has(address.address);
    for (const name of new Set(routers.map((router) => router.interface))) {
      const state = this.#interfaces.stateOf(name, movable) ?? NO_INTERFACE;
      const text = JSON.stringify([state.running, ...Object.values(state.sources).map(String)]);
      if (this.#linkTexts.get(name) === text) continue;
      this.#linkTexts.set(name, text);
      this.#engine.link(name, state, now);
    }
  }

  /** Another program may have taken an address off. */
  #putBackLater(): void {
    if (this.#putBack !== null || this.#held === '[]' || this.#held === '') return;
    this.#putBack = setTimeout(() => {
      this.#putBack = null;
      if (!this.#ended) this.#addresses.hold(this.#engine.held()).catch(this.#fail);
    }, PUT_BACK_MS);
  }

  #announce(router: RouterSettings, round: number): void {
    if (this.#ended || !this.#engine.held().includes(router)) return;
    const link = this.#interfaces.named(router.interface);
    if (link === null || link.mac.length !== 6) return;
    const subject = `announcing ${router.name}`;
    try {
      for (const address of router.addresses) {
        const frame =
          router.family === 4
            ? // Some hosts take notice of one form only, so both are sent in turn.
              gratuitousArp(link.mac, address, round % 2 === 1 ? 'request' : 'reply')
            : unsolicitedAdvertisement(link.mac, address, { router: forwards(router.interface) });
        this.#frames.send(link.index, frame);
      }
      this.#report(subject, null);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#report(subject, `cannot announce the addresses of ${router.name}: ${error.message}`);
    }
  }

  /** Each problem once, and once that it is over. */
  #report(subject: string, message: string | null): void {
    if ((this.#problems.get(subject) ?? null) === message) return;
    if (message === null) this.#problems.delete(subject);
    else this.#problems.set(subject, message);
    this.#tell({ kind: 'problem', subject, message });
  }

  #tell(message: FromSpeaker): void {
    this.#parent.tell(message);
  }
}

const NO_INTERFACE: LinkState = { running: false, sources: { 4: null, 6: null } };

function placesOf({ interface: name, addresses }: RouterSettings): readonly string[] {
  return [name, ...addresses.map(formatAddress)];
}

/** Whether the unit is a router on an interface (RFC 4861 §6.2.1, IsRouter). */
function forwards(name: string): boolean {
  try {
    return readFileSync(`/proc/sys/net/ipv6/conf/${name}/forwarding`, 'utf8').trim() !== '0';
  } catch (error) {
    // It has just gone, or there is no IPv6.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
