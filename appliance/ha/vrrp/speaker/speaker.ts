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
import { close, SystemError } from '../../../../native/ffi/libc.js';
import { Poller } from '../../../../native/ffi/poller.js';
import { monotonicNow, Timer } from '../../../../native/ffi/timer.js';
import { VrrpEngine, type Outgoing } from '../engine.js';
import { groupKey, type Report } from '../paths/heartbeat.js';
import type { PeerNews } from '../paths/peer.js';
import { usualAnnouncements, type GroupSettings, type RouterSettings } from '../settings.js';
import { virtualMac } from '../virtual-mac.js';
import { HeldAddresses } from './addresses.js';
import { Announcing } from './announcing.js';
import { Elsewhere } from './elsewhere.js';
import { Following } from './following.js';
import { Holding, type Announcement } from './holding.js';
import { Interfaces } from './interfaces.js';
import { TurnClock } from './lateness.js';
import { Leasing } from './leasing.js';
import type { Farewell } from './lease.js';
import { GuardProcess } from './guard-process.js';
import { parseSettings, type FromSpeaker } from './messages.js';
import { PairPaths } from './pair-paths.js';
import { Parent, type Told } from './parent.js';
import { Sockets } from './sockets.js';
import { VirtualMacs } from './virtual-macs.js';
import { warmUp } from './warm-up.js';

/** An address that somebody takes off while it is held comes back this much later. */
const PUT_BACK_MS = 1000;
/** A turn that comes later than this was held up. */
const STOOD_STILL_MS = 2;
/** A status takes a few hundred bytes, a message 64 KiB. */
const ROUTERS_A_MESSAGE = 50;

/** How long addresses stay after the last word, for the other unit to take them. */
const LEAVING_MS = 100;

interface Leaving {
  readonly held: readonly RouterSettings[];
  /** By groupKey(). */
  readonly groups: readonly string[];
  readonly until: number;
}

export class Speaker {
  readonly #parent: Parent;
  readonly #guard: GuardProcess;
  readonly #poller = new Poller();
  readonly #timer = new Timer();
  readonly #clock = new TurnClock(monotonicNow);
  readonly #announcing: Announcing;
  readonly #holding: Holding;
  readonly #elsewhere = new Elsewhere();
  readonly #engine: VrrpEngine;
  readonly #interfaces: Interfaces;
  readonly #addresses: HeldAddresses;
  readonly #sockets: Sockets;
  readonly #paths: PairPaths;
  readonly #macs: VirtualMacs;
  readonly #following: Following;
  readonly #leasing: Leasing;
  readonly #onConfigured: () => void;
  #groups: readonly GroupSettings[] = [];
  /** What was told of and is not over. */
  readonly #problems = new Map<string, string>();
  #outgoing: Outgoing[] = [];
  #wishes: readonly string[] = [];
  /** When the timer wants a turn. */
  #due = Infinity;
  #guardPid: number | null = null;
  #announcements: Announcement[] = [];
  #leaving: Leaving | null = null;
  #putBack: NodeJS.Timeout | null = null;
  #idleWork: (() => void) | null = null;
  #ended = false;
  #end: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;

  /**
   * `channel`: the descriptor that leads to the parent. `stateFile`: where it says how another one
   * can adopt it; null: nobody can. `onConfigured`: from now on its times matter. Throws SystemError.
   */
  constructor(channel: number, stateFile: string | null, onConfigured: () => void) {
    this.#onConfigured = onConfigured;
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
        transmit: (outgoing) => this.#outgoing.push(outgoing),
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
    this.#announcing = new Announcing(this.#interfaces, report);
    this.#holding = new Holding({
      addresses: this.#addresses,
      send: (outgoing) => this.#send(outgoing),
      announce: (announcement) => this.#announcing.send(announcement),
      onSent: () => this.#clock.mark('sending'),
      onPlaced: () => {
        if (!this.#holding.placing) this.#elsewhere.settled(this.#holding.routers);
        this.#tellPeer();
        this.#renewLease();
      },
      onFailure: (error) => this.#fail(error),
    });
    this.#paths = new PairPaths({
      poller: this.#poller,
      interfaces: this.#interfaces,
      onReady: () => this.#turn(),
      report,
    });
    this.#sockets = new Sockets({ poller: this.#poller, onReady: () => this.#turn(), report });
    this.#macs = new VirtualMacs(this.#interfaces, report, () => {
      if (!this.#ended && this.#groups.length > 0) {
        this.#act((now) => this.#following.follow(this.#groups, now));
      }
    });
    this.#following = new Following(this.#interfaces, this.#sockets, this.#engine, this.#macs);
    this.#leasing = new Leasing(this.#guard, this.#clock, (message) => this.#tell(message));
  }

  /** Works until it was told to end, or nobody is there any more to tell. `wishes`: see FromSpeaker. */
  async run(wishes: readonly string[]): Promise<void> {
    await this.#interfaces.read();
    // What one left that was killed: this one begins as a backup.
    await this.#addresses.hold([]);
    await this.#macs.want([]);
    await warmUp(this.#interfaces, this.#addresses, this.#announcing);
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

  /**
   * Gives up everything and ends. Where the other unit is heard, addresses stay until it holds
   * them, or for LEAVING_MS: so clients are served all the time.
   */
  stop(why: string): void {
    if (this.#ended || this.#leaving !== null) return;
    const held = this.#engine.held();
    const names = new Set(held.map(({ name }) => name));
    const groups = this.#groups
      .filter(({ routers }) => routers.some(({ name }) => names.has(name)))
      .map(({ name }) => groupKey(name));
    if (held.length > 0 && this.#paths.alive) {
      this.#leaving = { held, groups, until: monotonicNow() + LEAVING_MS };
    }
    this.#act((now) => this.#engine.stop(now, why));
    if (this.#leaving === null) this.#finish();
  }

  /** Runs `work`, which takes long, when the most time is left until something is due. */
  whenIdle(work: () => void): void {
    this.#idleWork = work;
  }

  #finish(): void {
    this.#leaving = null;
    this.#act(() => undefined);
    this.#ended = true;
    this.#holding.placed.then(() => this.#end(), this.#fail);
  }

  /** Whether the other unit has what this one leaves, or does not come for it. */
  #left({ groups, until }: Leaving, news: PeerNews | null, now: number): boolean {
    if (now >= until || news === null || !news.alive) return true;
    return groups.every((group) => news.report.get(group)?.state === 'master');
  }

  async #close(): Promise<void> {
    this.#parent.close();
    this.#guard.close();
    if (this.#putBack !== null) clearTimeout(this.#putBack);
    await this.#addresses.hold([]);
    this.#elsewhere.settled([]);
    this.#elsewhere.close();
    await this.#macs.want([]);
    this.#sockets.close();
    this.#paths.close();
    this.#interfaces.close();
    this.#announcing.close();
    this.#poller.close();
    this.#timer.close();
  }

  #obey(message: Told, beside: readonly number[]): void {
    switch (message.kind) {
      case 'adopt':
        this.#tellAll();
        break;
      case 'configure':
        this.#configure(beside);
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
    this.#tell({ kind: 'paths', paths: this.#paths.status });
    for (const [subject, message] of this.#problems) {
      this.#tell({ kind: 'problem', subject, message });
    }
  }

  #tellStatus(): void {
    const [routers, rejected] = [this.#engine.status(), this.#engine.rejected()];
    const { lateness } = this.#clock;
    let from = 0;
    do {
      const part = routers.slice(from, from + ROUTERS_A_MESSAGE);
      from += ROUTERS_A_MESSAGE;
      const last = from >= routers.length;
      this.#tell({ kind: 'status', routers: part, rejected, lateness, last });
    } while (from < routers.length);
  }

  #configure([text, memory = null]: readonly (number | null)[]): void {
    const settings = parseSettings(JSON.parse(readFileSync(text ?? -1, 'utf8')));
    close(text ?? -1);
    if (typeof settings === 'string') {
      if (memory !== null) close(memory);
      this.#tell({ kind: 'refused', reason: settings });
      return;
    }
    this.#groups = settings.groups;
    this.#elsewhere.follow(
      memory,
      settings.groups.flatMap(({ routers }) => routers),
    );
    this.#paths.configure(settings.paths);
    this.#act((now) => {
      this.#following.follow(this.#groups, now);
      this.#engine.configure(settings.groups, now);
    });
    if (!this.#holding.placing) this.#elsewhere.settled(this.#holding.routers);
    this.#followMacs();
    this.#onConfigured();
    this.#clock.reset();
    this.#tell({ kind: 'configured' });
  }

  #turn(): void {
    if (this.#ended) return;
    let left = false;
    this.#act(() => {
      this.#noteStill(monotonicNow());
      const arrivals = this.#sockets.drain();
      const now = monotonicNow();
      const news = this.#paths.drain(this.#said(), now);
      this.#clock.mark('receiving');
      this.#engine.turn(now, arrivals, news);
      left = this.#leaving !== null && this.#left(this.#leaving, news, now);
    });
    if (left) this.#finish();
  }

  #noteStill(now: number): void {
    const still = now - this.#due;
    if (still < STOOD_STILL_MS) return;
    this.#engine.heldUp(still, now);
    this.#paths.heldUp(still, now);
  }

  #networkChanged(): void {
    if (this.#ended) return;
    this.#paths.follow();
    this.#followMacs();
    this.#act((now) => this.#following.follow(this.#groups, now));
    this.#putBackLater();
  }

  #followMacs(): void {
    this.#macs.want(this.#groups.flatMap(({ routers }) => routers)).catch(this.#fail);
  }

  /** Lets the engine decide, and carries it out. */
  #act(decide: (now: number) => void): void {
    if (this.#ended) return;
    this.#clock.begin();
    decide(monotonicNow());
    this.#clock.mark('deciding');
    const [outgoing, announcements] = [this.#outgoing, this.#announcements];
    [this.#outgoing, this.#announcements] = [[], []];
    const held = this.#leaving === null ? this.#engine.held() : this.#leaving.held;
    if (!this.#holding.same(held)) {
      this.#guard.farewells = this.#farewells();
      this.#elsewhere.here(held);
    }
    this.#holding.carryOut(held, outgoing, announcements);
    this.#clock.mark('placing');
    this.#tellPeer();
    this.#renewLease();
    const next = Math.min(
      this.#engine.deadline,
      this.#paths.deadline,
      this.#leaving?.until ?? Infinity,
    );
    this.#due = next;
    this.#timer.set(next);
    this.#clock.mark('telling');
    this.#clock.end(next);
    this.#leasing.tellNarrow();
    // Just after it has said that it lives, or when nobody waits for that.
    if (outgoing.length > 0 || held.length === 0) this.#doIdleWork();
  }

  #doIdleWork(): void {
    const work = this.#idleWork;
    this.#idleWork = null;
    work?.();
  }

  #tellPeer(): void {
    this.#paths.tell(this.#said(), monotonicNow());
    const paths = this.#paths.changes();
    if (paths !== null) this.#tell({ kind: 'paths', paths });
  }

  /** A group is not held before all of its addresses are there. */
  #said(): Report {
    const report = this.#engine.report();
    const { waiting } = this.#holding;
    if (waiting.size === 0) return report;
    const early = this.#groups.filter(({ routers }) => routers.some((r) => waiting.has(r.name)));
    const keys = new Set(early.map(({ name }) => groupKey(name)));
    return new Map(
      [...report].map(([key, { state, priority }]) => [
        key,
        { state: keys.has(key) && state === 'master' ? 'backup' : state, priority },
      ]),
    );
  }

  #send({ router, ends, message }: Outgoing): void {
    const subject = `sending ${router.name}`;
    try {
      if (router.virtualMac) this.#announcing.advertise({ router, ends, message });
      else this.#sockets.send(router, ends, message);
      this.#report(subject, null);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#report(subject, `cannot send advertisements of ${router.name}: ${error.message}`);
    }
  }

  /** What the guard would have to say, if it changes. */
  #farewells(): readonly Farewell[] {
    return this.#engine.farewells().flatMap(({ router, ends, message }) => {
      const link = this.#interfaces.named(router.interface);
      const { family, interface: name } = router;
      return link === null
        ? []
        : [
            {
              interface: { name, index: link.index },
              family,
              mac: router.virtualMac ? virtualMac(router) : null,
              ...ends,
              message,
            },
          ];
    });
  }

  #renewLease(): void {
    const own = this.#engine.leasedUntil;
    // Heard by the other unit in more than one way, it lives for the one that notices first.
    const until = own === Infinity ? own : Math.min(own, this.#paths.leasedUntil);
    this.#leasing.renew(until, this.#holding.placing || this.#leaving !== null);
  }

  /** Another program may have taken an address off. */
  #putBackLater(): void {
    if (this.#putBack !== null || this.#holding.routers.length === 0) return;
    this.#putBack = setTimeout(() => {
      this.#putBack = null;
      if (!this.#ended) this.#holding.repair();
    }, PUT_BACK_MS);
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
