/**
 * Carries out what the engine decided, in the order that leaves clients the shortest gap: addresses
 * are put on before anybody is told that this unit is master, and announced in the same breath. So
 * a unit that yields to this one goes on serving until this one can.
 *
 * Invariant: nothing is said, nor announced, of a router that was given up meanwhile.
 */
import { formatAddress } from '../../../config/address-codec.js';
import type { Outgoing } from '../engine.js';
import type { RouterSettings } from '../settings.js';
import type { HeldAddresses } from './addresses.js';

export interface Announcement {
  readonly router: RouterSettings;
  readonly round: number;
}

interface Options {
  readonly addresses: HeldAddresses;
  readonly send: (message: Outgoing) => void;
  readonly announce: (announcement: Announcement) => void;
  /** What goes out at once has gone. */
  readonly onSent: () => void;
  /** Everything is where it should be. */
  readonly onPlaced: () => void;
  readonly onFailure: (error: unknown) => void;
}

export class Holding {
  readonly #options: Options;
  #routers: readonly RouterSettings[] = [];
  #text = '[]';
  readonly #waiting = new Set<string>();
  #placing = 0;
  #placed: Promise<void> = Promise.resolve();

  constructor(options: Options) {
    this.#options = options;
  }

  /** What was last said to be held. */
  get routers(): readonly RouterSettings[] {
    return this.#routers;
  }

  /** Names of routers whose addresses are just being put on. */
  get waiting(): ReadonlySet<string> {
    return this.#waiting;
  }

  /** Whether addresses are being put on or taken off. */
  get placing(): boolean {
    return this.#placing > 0;
  }

  /** Resolves when what was last said to be held is. */
  get placed(): Promise<void> {
    return this.#placed;
  }

  /** Whether these, with these settings, are what is held. */
  same(held: readonly RouterSettings[]): boolean {
    const now = this.#routers;
    return held.length === now.length && held.every((router, index) => router === now[index]);
  }

  /** `held`: all routers that are. */
  carryOut(
    held: readonly RouterSettings[],
    messages: readonly Outgoing[],
    announcements: readonly Announcement[],
  ): void {
    const before = new Set(this.#routers.map(({ name }) => name));
    const fresh = held.filter(({ name }) => !before.has(name));
    for (const { name } of fresh) this.#waiting.add(name);
    const now = messages.filter(({ router }) => !this.#waiting.has(router.name));
    const later = messages.filter(({ router }) => this.#waiting.has(router.name));
    for (const message of now) this.#options.send(message);
    this.#options.onSent();
    if (!this.same(held)) {
      this.#routers = held;
      const text = JSON.stringify(held.map(placesOf));
      if (text !== this.#text) {
        this.#text = text;
        this.#place(fresh);
      }
    }
    if (later.length === 0 && announcements.length === 0) return;
    this.#placed.then(
      () => {
        for (const message of later) if (this.#holds(message)) this.#options.send(message);
        for (const one of announcements) if (this.#holds(one)) this.#options.announce(one);
      },
      // Told by #place().
      () => undefined,
    );
  }

  /** Somebody else may have changed it. */
  repair(): void {
    this.#options.addresses.hold(this.#routers).catch(this.#options.onFailure);
  }

  #holds({ router }: { readonly router: RouterSettings }): boolean {
    return this.#routers.includes(router);
  }

  #place(fresh: readonly RouterSettings[]): void {
    this.#placing += 1;
    this.#placed = this.#options.addresses.hold(this.#routers);
    this.#placed = this.#placed.then(() => {
      this.#placing -= 1;
      for (const { name } of fresh) this.#waiting.delete(name);
    });
    this.#placed.then(() => this.#options.onPlaced(), this.#options.onFailure);
  }
}

function placesOf(router: RouterSettings): readonly string[] {
  const { interface: name, addresses } = router;
  const seat = router.virtualMac ? `${name} ${router.vrid}` : name;
  return [seat, ...addresses.map(formatAddress)];
}
